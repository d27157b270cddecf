"""``least_squares`` and ``curve_fit``: exact Jacobians, covariances, intervals, and what goes wrong."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.optimize as so
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.examples import nist_data
from nbgrad.examples.nist import digits
from nbgrad.examples.nist_models import MODELS, response
from nbgrad.optimize import curve_fit, least_squares

T = np.linspace(0.0, 1.0, 15)
NOISE = 0.1 * np.sin(20 * T) + 0.03 * np.cos(50 * T)
Y = 2.0 * np.exp(-3.0 * T) + NOISE


def decay(t: Any, size: Any, rate: Any) -> Any:
    return size * np.exp(-rate * t)


def slopes(t: Any, size: Any, rate: Any) -> Any:
    e = np.exp(-rate * t)
    return np.stack([e, -size * t * e], -1)


def misfit(p: Any, t: Any, y: Any) -> Any:
    return decay(t, p["size"], p["rate"]) - y


START = {"size": 1.0, "rate": np.array(1.0)}
TIGHT: dict[str, Any] = {"ftol": 1e-14, "xtol": 1e-14, "gtol": 1e-13}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "lm": {"method": "lm"},
    "dogbox": {"method": "dogbox", "bounds": (0.0, [1.9, 5.0])},
    "huber": {"loss": "huber", "f_scale": 0.05},
    "soft": {"loss": "soft_l1"},
    "cauchy": {"loss": "cauchy"},
    "arctan": {"loss": "arctan"},
    "products": {"tr_solver": "lsmr"},
    "sparse": {"jac_sparsity": "auto"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_least_squares_are_scipys_with_derivatives(name: str) -> None:
    given = SETTINGS[name] | TIGHT
    ours = least_squares(misfit, START, args=(T, Y), **given)
    plain = {k: x for k, x in given.items() if k != "jac_sparsity"}
    plain |= {"tr_solver": "lsmr"} if name == "sparse" else {}
    theirs = so.least_squares(
        lambda p: decay(T, *p) - Y, [1.0, 1.0], jac=lambda p: slopes(T, *p), **plain
    )
    assert ours.nfev <= theirs.nfev
    assert_allclose([ours.x["size"], ours.x["rate"]], theirs.x, rtol=1e-6)

    def solved(y: Any) -> Any:
        return least_squares(misfit, START, args=(T, y), **given).x["rate"]

    found, direction = ng.grad(solved)(Y), np.cos(3 * T)
    h = 1e-4 if name == "huber" else 1e-3  # it has kinks
    rise = (solved(Y + h * direction) - solved(Y - h * direction)) / (2 * h)
    assert_allclose(found @ direction, rise, rtol=2e-3, atol=1e-5)


def test_a_jacobian_of_the_users_is_taken_and_callbacks_are_called() -> None:
    seen: list[Any] = []
    found = least_squares(
        lambda p: decay(T, *p) - Y,
        [1.0, 1.0],
        lambda p: slopes(T, *p),
        method="lm",
        callback=lambda p: seen.append(p),
    )
    assert found.success and len(seen) > 3
    part = least_squares(misfit, START, args=(T, Y), time_limit=1e-9)
    assert part.status == 99 and part.nfev == 1


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="not finite"), np.errstate(all="ignore"):
        least_squares(lambda x: np.log(x), [-1.0, 1.0])
    with pytest.raises(ValueError, match="outside of provided bounds"):
        least_squares(lambda x: x - 1.0, [5.0], bounds=(0.0, 1.0))
    with pytest.raises(ValueError, match="no value lies between"):
        least_squares(lambda x: x - 1.0, [0.5], bounds=(1.0, 0.0))
    with pytest.raises(ValueError, match="a pair"):
        least_squares(lambda x: x - 1.0, [0.5], bounds=(1.0,))
    singular = least_squares(lambda x: np.stack([x[0] - x[1], x[0] - x[1]]), [1.0, 2.0])
    assert singular.cost < 1e-12


# ----------------------------------------------------------------------------------------------- fits


SIGMA = 0.1 + 0.05 * T
CORRELATED = np.diag(SIGMA**2) + 0.002


@pytest.mark.parametrize("sigma", [None, SIGMA, CORRELATED], ids=["none", "each", "matrix"])
@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0.0, 10.0)], ids=["free", "bounds"])
def test_covariances_are_scipys(sigma: Any, absolute: bool, bounds: Any) -> None:
    given = {"sigma": sigma, "absolute_sigma": absolute, "bounds": bounds}
    ours = curve_fit(decay, T, Y, [1.0, 1.0], **given)
    theirs = so.curve_fit(decay, T, Y, [1.0, 1.0], jac=slopes, full_output=True, **given)
    popt, pcov = ours
    assert_allclose(popt, theirs[0], rtol=1e-6)
    assert_allclose(pcov, theirs[1], rtol=1e-4)
    assert ours.result.nfev <= theirs[2]["nfev"]
    taken = curve_fit(decay, T, Y, [1.0, 1.0], jac=slopes, **given)
    assert_allclose(taken.pcov, theirs[1], rtol=1e-4)


@pytest.mark.parametrize("kind", ["list", "tuple", "dict", "arrays", "none"])
def test_parameters_of_fits_are_nested(kind: str) -> None:
    p0: Any = {
        "list": [1, 1],
        "tuple": (1.0, 1.0),
        "dict": {"size": 1.0, "rate": 1.0},
        "arrays": (np.ones(1), np.ones(1)),
        "none": None,
    }[kind]
    fit = curve_fit(decay, T, Y, p0)
    assert_allclose(ng.tree.ravel(fit.popt)[0], so.curve_fit(decay, T, Y)[0], rtol=1e-6)
    assert_allclose(ng.tree.ravel(fit.stderr)[0] ** 2, np.diag(fit.pcov))
    assert ng.tree.structure(fit.stderr) == ng.tree.structure(fit.popt)
    assert_allclose(np.diag(fit.correlation), 1.0)


def test_fits_are_differentiated_by_data_and_sigma() -> None:
    def answers(y: Any, sigma: Any) -> Any:
        fit = curve_fit(decay, T, y, [1.0, 1.0], sigma, xtol=1e-14, ftol=1e-14)
        return np.stack([fit.popt[1], fit.pcov[0, 1], fit.stderr[0]])

    for k, at in ((0, Y), (1, SIGMA), (1, CORRELATED)):
        args = [Y, SIGMA if at is Y else at]
        step = 1e-4 * (np.cos(np.arange(15.0)) if at.ndim == 1 else np.eye(15) * 0.1)
        ends = [
            answers(*[a + s * step if j == k else a for j, a in enumerate(args)]) for s in (1, -1)
        ]
        found = ng.jvp(
            answers, tuple(args), tuple(step if j == k else 0 * a for j, a in enumerate(args))
        )[1]
        assert_allclose(found, (ends[0] - ends[1]) / 2, rtol=2e-3, atol=1e-9)


def test_profiles_bound_what_the_likelihood_allows() -> None:
    fit = curve_fit(decay, T, Y)
    ends = fit.profile(0.9)
    plain = fit.interval(0.9)
    assert_allclose(ends, plain, rtol=0.3)
    from scipy import stats

    rise = fit.chi2 / fit.dof * stats.f.ppf(0.9, 1, fit.dof)
    for end in ends[1]:
        best = so.least_squares(lambda a, r=end: decay(T, a[0], r) - Y, [1.0])
        assert_allclose(2 * best.cost - fit.chi2, rise, rtol=1e-4)
    wide = {"sigma": SIGMA, "absolute_sigma": True, "bounds": (-5, 5)}
    loose = curve_fit(lambda t, a, b: a + 1e-3 * b * t, T, Y, **wide)
    assert (loose.profile()[1] == [-5.0, 5.0]).all()


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "nan": (lambda: curve_fit(decay, T, Y * np.nan), ValueError, "NaN"),
    "empty": (lambda: curve_fit(decay, [], []), ValueError, "empty"),
    "sigma": (lambda: curve_fit(decay, T, Y, sigma=[1.0]), ValueError, "15 data"),
    "indefinite": (
        lambda: curve_fit(decay, T, Y, sigma=-np.eye(15)),
        ValueError,
        "positive definite",
    ),
    "few": (lambda: curve_fit(decay, [1.0], [2.0]), TypeError, "exceed"),
    "args": (lambda: curve_fit(lambda t, *p: t, T, Y), ValueError, "pass p0"),
    "none": (lambda: curve_fit(lambda t: t, T, Y), ValueError, "no parameters"),
    "policy": (lambda: curve_fit(decay, T, Y, nan_policy="x"), ValueError, "omit"),
    "bounds": (
        lambda: curve_fit(decay, T, Y, bounds=(0, 9), method="lm"),
        ValueError,
        "no bounds",
    ),
    "evaluations": (lambda: curve_fit(decay, T, Y, maxfev=3), RuntimeError, "not found"),
    "level": (lambda: curve_fit(decay, T, Y).profile(95), ValueError, "between 0 and 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name: str) -> None:
    call, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        call()


def test_a_singular_jacobian_has_no_covariances() -> None:
    with pytest.warns(so.OptimizeWarning, match="could not be estimated"):
        fit = curve_fit(lambda t, a, b: (a + b) * t, T, Y)
    assert np.isinf(fit.pcov).all()


def test_nan_may_be_left_out() -> None:
    y = np.where(T > 0.9, np.nan, Y)
    fit = curve_fit(decay, T, y, sigma=SIGMA, nan_policy="omit")
    theirs = so.curve_fit(decay, T, y, sigma=SIGMA, nan_policy="omit")
    assert_allclose(fit.popt, theirs[0], rtol=1e-5)


@pytest.mark.parametrize("name", nist_data.names())
def test_nists_fits_and_their_certified_deviations(name: str) -> None:
    """From both starts, by one setting: 6 digits of parameters and standard deviations."""
    data = nist_data.load(name)
    model, y = MODELS[name], response(data)
    for start in data.starts:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            fit = curve_fit(
                lambda x, *b: model(b, x), data.x, y, start, method="trf", x_scale="jac",
                ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=5000,
            )  # fmt: skip
        assert digits(fit.popt, data.certified) > 6
        scale = 1.0
        if name == "Lanczos1":  # its residuals are those of rounding
            scale = np.sqrt(data.residual_sum_of_squares / fit.chi2)
        assert digits(fit.stderr * scale, data.standard_deviations) > 6
