"""The compiled Levenberg-Marquardt method against NIST's certified answers and SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize

import nbgrad as ng
from nbgrad.examples import nist, nist_data
from nbgrad.examples.nist_models import MODELS
from nbgrad.solvers import least_squares, solve

T = np.linspace(0.0, 3.0, 25)
NOISE = np.random.default_rng(3).standard_normal(25)
Y = 2.5 * np.exp(-1.3 * T) + 0.5 + 0.05 * NOISE


def decay(p, t=T, y=Y):
    return p[0] * np.exp(-p[1] * t) + p[2] - y


def scipy_of(fun, x0, **given):
    jac = ng.jacobian(fun)
    with np.errstate(all="ignore"):
        return scipy.optimize.least_squares(fun, x0, jac=lambda x: jac(x), **given)


@pytest.mark.parametrize("name", ["Misra1a", "Thurber", "MGH09", "Lanczos3"])
def test_nist(name):
    data = nist_data.load(name)
    y = nist.response(data)
    model = MODELS[name]
    for start in data.starts:
        found = solve(
            "nb-lm", lambda b: model(b, data.x) - y, np.array(start, float), ftol=1e-15, xtol=1e-15,
            gtol=1e-15, max_nfev=5000,
        )  # fmt: skip
        m, n = found.jac.shape
        deviations = np.sqrt(np.diag(found.cov) * 2 * found.cost / (m - n))
        np.testing.assert_allclose(found.x, data.certified, rtol=1e-6)
        np.testing.assert_allclose(deviations, data.standard_deviations, rtol=1e-6)


def test_calls_are_no_more_than_scipys():
    for start in ([1.0, 1.0, 0.0], [3.0, 0.9, 5.0], [0.1, 2.0, 0.4]):
        found, expected = least_squares(decay, start), scipy_of(decay, start, method="lm")
        np.testing.assert_allclose(found.x, expected.x, rtol=1e-5)
        assert found.nfev <= expected.nfev + 1 and found.njev <= expected.njev + 1
        np.testing.assert_allclose(found.jac, expected.jac, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.fun, decay(found.x))
        np.testing.assert_allclose(found.cost, 0.5 * (found.fun**2).sum())
        np.testing.assert_allclose(found.cov, np.linalg.inv(found.jac.T @ found.jac), rtol=1e-8)


@pytest.mark.parametrize("loss", ["soft_l1", "huber", "cauchy", "arctan"])
def test_losses(loss):
    y = Y.copy()
    y[[3, 11, 17]] += [4.0, -3.0, 5.0]
    f = lambda p: decay(p, T, y)
    given = {"loss": loss, "f_scale": 0.1}
    found = least_squares(f, [2.0, 1.0, 0.4], **given, ftol=1e-12, xtol=1e-12)
    expected = scipy_of(f, [2.0, 1.0, 0.4], **given, ftol=1e-12, xtol=1e-12)
    np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-7)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-4)
    # At outliers SciPy takes less of negative curvature.
    np.testing.assert_allclose(found.jac, expected.jac, atol=0.1)
    np.testing.assert_allclose(found.grad, 0.0, atol=1e-5)
    np.testing.assert_allclose(found.cov, np.linalg.inv(found.jac.T @ found.jac), rtol=1e-8)
    t = ng.tensor(y, requires_grad=True)
    again = least_squares(
        lambda p: decay(p, T, t), [2.0, 1.0, 0.4], **given, ftol=1e-12, xtol=1e-12
    )
    for name in ("fun", "jac", "cov"):
        np.testing.assert_allclose(again[name].detach(), found[name], rtol=1e-5, atol=1e-6)


def test_bounds():
    rng = np.random.default_rng(8)
    for _ in range(12):
        low = np.array([1.0, 0.5, -1.0]) + rng.uniform(-0.5, 0.5, 3)
        high = low + rng.uniform(0.1, 2.0, 3)
        x0 = low + (high - low) * rng.uniform(0.0, 1.0, 3)
        given = {"bounds": (low, high), "ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12}
        found, expected = least_squares(decay, x0, **given), scipy_of(decay, x0, **given)
        assert (found.x >= low).all() and (found.x <= high).all()
        assert found.success and found.cost <= expected.cost * (1 + 1e-6)
    fixed = least_squares(decay, [2.0, 1.0, 0.25], bounds=([0, 0, 0.25], [9, 9, 0.25]))
    assert fixed.x[2] == 0.25 and fixed.success


@pytest.mark.parametrize("loss", ["linear", "soft_l1", "cauchy"])
def test_steps_that_bounds_cut(loss):
    """A first step goes far beyond the bounds, where the linear model says nothing."""
    y = 3 * np.exp(-1.5 * T)
    y[4] += 3
    f = lambda p: p[0] * np.exp(-p[1] * T) - y
    for high in ([2.5, 9.0], [9.0, 1.2], [2.5, 1.0]):
        given = {"loss": loss, "f_scale": 0.1, "bounds": ([0.0, 0.0], high)}
        found, expected = least_squares(f, [1.0, 0.9], **given), scipy_of(f, [1.0, 0.9], **given)
        assert found.success and found.nfev <= 2 * expected.nfev
        np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-6)


def test_jacobians_that_are_singular():
    found = least_squares(lambda p: (p[0] + p[1]) * T - Y, [1.0, 1.0])
    assert found.success and np.isnan(found.cov).all()
    best = (T @ Y) / (T @ T)
    np.testing.assert_allclose(found.x.sum(), best, rtol=1e-6)
    nothing = least_squares(lambda p: Y + 0 * p[0], [1.0])
    assert nothing.status == 1 and nothing.x == [1.0]
    fewer = least_squares(lambda p: np.stack([p[0] + p[1] * p[2] - 3]), [0.1, 0.2, 0.3])
    assert fewer.cost < 1e-15
    exact = least_squares(lambda p: p - np.arange(3.0), np.arange(3.0))
    assert exact.cost == 0 and exact.nfev == 1


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="residuals are not finite at x0"):
        least_squares(decay, [np.nan, 1.0, 1.0])
    with pytest.raises(ValueError, match="x0 is not within the bounds"):
        least_squares(decay, [1.0, 1.0, 1.0], bounds=(0.0, [2, 2, 0.5]))
    with pytest.raises(ValueError, match=r"no value is within the bounds of x\[1\], 3.0 and 2.0"):
        least_squares(decay, [1.0, 1.0, 1.0], bounds=([0, 3, 0], [2, 2, 2]))
    with pytest.raises(ValueError, match="as many elements as x0"):
        least_squares(decay, [1.0, 1.0, 1.0], bounds=([0, 3], [2, 2]))
    with pytest.raises(ValueError, match="no loss is called 'l1'"):
        least_squares(decay, [1.0, 1.0, 1.0], loss="l1")
    with pytest.raises(ValueError, match="x_scale must be"):
        least_squares(decay, [1.0, 1.0, 1.0], x_scale=[1.0, -1.0, 1.0])
    least_squares(decay, [1.0, 1.0, 1.0], x_scale=[1.0, 2.0, 1.0])


def test_results_are_differentiable():
    y = ng.tensor(Y, requires_grad=True)
    found = least_squares(lambda p, y: decay(p, T, y), [1.0, 1.0, 0.0], args=(y,), ftol=1e-14)
    found.x[1].backward()
    h = np.zeros(25)
    h[4] = 1e-4
    ends = [
        least_squares(lambda p, e=e: decay(p, T, Y + e), found.x, ftol=1e-15, xtol=1e-15).x[1]
        for e in (h, -h)
    ]
    assert float(y.grad[4]) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-4)
    held = lambda c: (
        least_squares(
            lambda p: decay(p, T, Y * c), [1.0, 1.0, 0.0], bounds=([0, 0, -1], [2.0, 9, 1])
        ).x
    )
    jacobian = ng.jacobian(held)(1.0)
    assert abs(jacobian[0]) < 1e-12 and abs(jacobian[2]) > 1e-3
    np.testing.assert_allclose(ng.jit(held)(1.0), held(1.0), rtol=1e-9)


def test_residuals_as_a_list():
    found = least_squares(lambda p: [p[0] - 1, (p[1:] - 2) * 3, 0.5], np.zeros(3))
    np.testing.assert_allclose(found.x, [1.0, 2.0, 2.0])
    np.testing.assert_allclose(found.fun, [0, 0, 0, 0.5], atol=1e-8)


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="no extended precision here")
def test_deviations_of_lanczos1_are_lost_in_the_data_alone():
    """Its residuals are rounding of the data: from the printed digits, at the same point, they are as certified."""
    data = nist_data.load("Lanczos1")
    y, start = nist.response(data), np.array(data.starts[1], float)
    misfit = lambda b: MODELS["Lanczos1"](b, data.x) - y
    found = solve("nb-lm", misfit, start, ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=5000)
    exact = lambda values: np.array([np.longdouble(repr(float(v))) for v in values])
    b, t = np.asarray(found.x, np.longdouble), exact(data.x)
    model = sum(b[k] * np.exp(-b[k + 1] * t) for k in (0, 2, 4))
    rest = model - exact(y)
    deviations = np.sqrt(np.diag(found.cov) * float(rest @ rest) / (len(y) - 6))
    assert nist.digits(deviations, data.standard_deviations) > 6
    assert np.sqrt(np.mean(found.fun**2)) < 200 * np.spacing(np.abs(y)).max()
