"""What stands for functions of NumPy's in derivatives: dtypes that are asked for, any rank, matrices that are singular."""

from __future__ import annotations

import numba
import numpy as np

import nbgrad as ng
from nbgrad.native import making


@numba.njit
def made(x, a):
    whole = np.full(2, 2.5 * x, np.int64)[1] + np.array([x, 3.5 * x], dtype=np.int32)[1]
    like = np.full_like(np.array([1, 2]), 2.7 * x)[0]
    zeros = np.zeros(2, float)
    zeros[1] = np.full(2, 0.5 * x, "float64")[1] + np.full(2, 0.6 * x, float)[0]
    single = np.full((2, 2), x, dtype="f4")[1, 0] * zeros[1] / 1.1
    return whole * x, like * x, single, np.linalg.det(a)


def test_dtypes_that_are_asked_for_any_rank_and_singular_matrices() -> None:
    """A column of zeros leaves elimination without a pivot, but the determinant depends on others."""
    x, b = 0.9, np.arange(8.0).reshape(2, 2, 2) ** 2
    np.testing.assert_array_equal(making._diff(b)(b), np.diff(b))
    a = np.array([[0.0, 0.4, 0.0], [0.0, 0.0, 0.3], [0.0, 0.0, -0.8]])
    (*values, det), (*slopes, by_a) = ng.jvp(ng.njit(made), (x, a), (1.0, np.eye(3)[[2, 0, 1]]))
    np.testing.assert_allclose(values, [5 * x, 2 * x, x * x], rtol=1e-7)
    np.testing.assert_allclose(slopes, [5.0, 2.0, 2 * x], rtol=1e-7)
    np.testing.assert_allclose([det, by_a], [0.0, 0.4 * 0.8], atol=1e-12)


@numba.njit
def picked(k, *xs):
    return xs[k] * xs[-1 - k]


@numba.njit
def halves(a, s):
    for k in range(a.shape[0]):
        s = 0.5 * s + a[k]
        yield s * a[k]


@numba.njit
def drawn(a):
    s = 0.0
    for x in halves(a, a[0]):
        q, r = divmod(x, 0.3)
        s += x * x + q * r
    for k in range(3):
        s += picked(k, a[0], 2.0, s)
    return s


def test_generators_that_read_before_they_yield_and_tuples_of_several_types() -> None:
    a = np.array([0.5, -1.0, 0.8])
    found, h = ng.grad(ng.njit(drawn))(a), 1e-6
    for k, step in enumerate(h * np.eye(3)):
        np.testing.assert_allclose(found[k], (drawn(a + step) - drawn(a - step)) / (2 * h), 1e-8)
