"""Many fits in one loop: each as it is alone, failures marked one by one."""

from __future__ import annotations

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.solvers import least_squares

T = np.linspace(0.0, 3.0, 25)
RNG = np.random.default_rng(4)
TRUE = np.array([2.5, 1.3, 0.5]) * RNG.uniform(0.8, 1.2, (600, 3))
Y = TRUE[:, :1] * np.exp(-TRUE[:, 1:2] * T) + TRUE[:, 2:] + 0.01 * RNG.standard_normal((600, 25))
START = np.array([1.0, 1.0, 0.0])


def decay(p, y):
    return p[0] * np.exp(-p[1] * T) + p[2] - y


@pytest.mark.parametrize("threads", [1, 2])
def test_each_has_the_bits_that_it_has_alone(threads):
    before = ng.get_num_threads()
    ng.set_num_threads(threads)
    try:
        found = ng.fit_many(decay, START, Y)
    finally:
        ng.set_num_threads(before)
    assert found.success.all()
    for k in range(0, 600, 97):
        alone = least_squares(decay, START, args=(Y[k],))
        np.testing.assert_array_equal(found.x[k], alone.x)
        np.testing.assert_allclose(found.cov[k], alone.cov * 2 * alone.cost / 22)
        assert (found.cost[k], found.nfev[k], found.status[k]) == (
            alone.cost, alone.nfev, alone.status,
        )  # fmt: skip


def test_those_that_fail_are_marked():
    y, starts = Y.copy(), np.tile(START, (600, 1))
    bad = np.arange(7, 600, 40)
    y[bad, 3] = np.nan
    starts[11] = np.inf
    found = ng.fit_many(decay, starts, y)
    expected = np.ones(600, bool)
    expected[[*bad, 11]] = False
    np.testing.assert_array_equal(found.success, expected)
    assert (found.status[bad] == -1).all() and "not finite" in found.message(7)
    assert np.isnan(found.cov[bad]).all() and np.isfinite(found.cov[expected]).all()
    short = ng.fit_many(decay, starts, Y, max_nfev=3)
    assert (short.status[:7] == 0).all() and "largest number" in short.message(0)

    def factor(p, a):
        return ng.linalg.cholesky(a) @ p - 1

    a = np.stack([np.eye(2), -np.eye(2), 4 * np.eye(2)])
    found = ng.fit_many(factor, np.zeros(2), a)
    np.testing.assert_array_equal(found.success, [True, False, True])
    assert found.status[1] == -4
    np.testing.assert_allclose(found.x[2], 0.5)


def test_several_arrays_of_any_shape():
    weight = RNG.uniform(0.5, 2.0, 600)
    count = np.arange(600) % 3
    f = lambda p, y, w, c: w * decay(p * (c + 1), y)
    found = ng.fit_many(f, START, (Y, weight, count))
    assert found.success.all()
    alone = least_squares(decay, START, args=(Y[5],), ftol=1e-12)
    np.testing.assert_allclose(found.x[5] * 3, alone.x, rtol=1e-5)
    single = ng.fit_many(lambda p, y: decay(p, y), START, Y.astype(np.float32)[::-1])
    np.testing.assert_allclose(single.x[::-1], ng.fit_many(decay, START, Y).x, rtol=1e-4)


def test_bounds_and_losses_are_those_of_one_fit():
    y = Y.copy()
    y[:, 5] += 3.0
    given = {"bounds": ([0, 0, 0.45], [9, 9, 0.5]), "loss": "soft_l1", "f_scale": 0.1}
    found = ng.fit_many(decay, [1.0, 1.0, 0.5], y, **given)
    alone = least_squares(decay, [1.0, 1.0, 0.5], args=(y[9],), **given)
    np.testing.assert_array_equal(found.x[9], alone.x)
    assert (found.x[:, 2] <= 0.5).all()


def test_results_are_differentiable():
    y = ng.tensor(Y[:3], requires_grad=True)
    found = ng.fit_many(decay, START, y, ftol=1e-14, xtol=1e-14)
    found.x[1, 1].backward()
    alone = ng.tensor(Y[1], requires_grad=True)
    least_squares(decay, START, args=(alone,), ftol=1e-14, xtol=1e-14).x[1].backward()
    np.testing.assert_allclose(y.grad[1], alone.grad, rtol=1e-6)
    assert not np.asarray(y.grad[0]).any()


def test_what_is_wrong_is_said():
    with pytest.raises(ValueError, match="as many rows"):
        ng.fit_many(decay, np.tile(START, (5, 1)), Y)
    with pytest.raises(ValueError, match="p0 must be real numbers"):
        ng.fit_many(decay, np.zeros((2, 2, 2)), Y)
    with pytest.raises(ValueError, match=r"p0\[0\] is not within the bounds"):
        ng.fit_many(decay, START, Y, bounds=(2.0, 3.0))
    with pytest.raises(ValueError, match="no loss is called"):
        ng.fit_many(decay, START, Y, loss="l1")
    assert ng.fit_many(decay, START, Y[:0]).x.shape == (0, 3)


def test_residuals_that_have_no_compiled_program():
    looking = lambda p, y: decay(p, y) if p[0] > 0 else -decay(p, y)
    y = Y[:4].copy()
    y[2, 2] = np.inf
    found, expected = ng.fit_many(looking, START, y), ng.fit_many(decay, START, y)
    np.testing.assert_allclose(found.x[[0, 1, 3]], expected.x[[0, 1, 3]], rtol=1e-9)
    np.testing.assert_array_equal(found.status, expected.status)
    with ng.configure(tier="reference"):
        np.testing.assert_allclose(
            ng.fit_many(decay, START, y[:1]).cov, expected.cov[:1], rtol=1e-6
        )


def test_fits_of_data_that_are_not_known_yet():
    expected = ng.fit_many(decay, START, Y[:3]).x
    traced = ng.jit(lambda y: ng.fit_many(decay, START, y).x)
    np.testing.assert_allclose(traced(Y[:3]), expected, rtol=1e-7)
    parts = ng.vmap(lambda y: ng.fit_many(decay, START, y).x)(Y[:4].reshape(2, 2, 25))
    np.testing.assert_allclose(parts.reshape(4, 3)[:3], expected, rtol=1e-7)
