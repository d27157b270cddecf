"""Which functions are differentiated from their source, and what the way back without guards gives."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest

import nbgrad as ng

njit = ng.njit(error_model="numpy")


@njit
def saturated(x, b):
    z = math.exp(x) * b
    return 1.0 / (1.0 + z)


def code_of(f, *args):
    """The report of the code that a gradient takes."""
    ng.grad(f)(*args)
    (made,) = f._known.values()
    return next(c.report for (*_, reverse, _), c in made._codes.items() if reverse)


@pytest.mark.parametrize("jitted", [False, True])
def test_a_cotangent_of_zero_stays_zero_where_the_other_factor_is_infinite(jitted: bool) -> None:
    derive = ng.grad(saturated, argnums=(0, 1))
    found = (ng.jit(derive) if jitted else derive)(800.0, 2.0)
    assert [float(x) for x in found] == [0.0, 0.0]


def test_what_is_not_a_number_stays_so() -> None:
    assert np.isnan(float(ng.grad(saturated)(math.nan, 1.0)))


@ng.njit
def summed(a):
    s = 0.0
    for x in a:
        s += x * x
    return s


@ng.njit
def recursive(x, n):
    return x if n == 0 else x * recursive_inner(x, n - 1)


@ng.njit
def recursive_inner(x, n):
    return x if n == 0 else x * recursive_inner(x, n - 1)


def test_the_report_says_which_way_was_taken_and_why() -> None:
    assert "generated from source" in code_of(summed, np.ones(3))
    report = code_of(recursive, 2.0, 3)
    assert "generated" not in report
    assert "recursion" in report


def by_threads(x):
    total = 0.0
    for i in numba.prange(x.size):
        total += math.exp(x[i]) * x[i] if x[i] > 0 else x[i] ** 2
    return total


def test_prange_is_serial_in_derivatives() -> None:
    x = np.linspace(-2, 2, 1001)
    threaded, serial = ng.njit(parallel=True)(by_threads), ng.njit()(by_threads)
    assert "generated from source" in code_of(threaded, x)
    found = ng.grad(serial)(x)
    for _ in range(2):
        np.testing.assert_array_equal(ng.grad(threaded)(x), found)
    np.testing.assert_allclose(found, np.where(x > 0, (1 + x) * np.exp(x), 2 * x), rtol=1e-14)
