"""Functions of NumPy's in compiled code, of active numbers: values as NumPy has them, and difference quotients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose

import nbgrad as ng


def clipped(x: Any) -> Any:
    found = np.interp(x, np.array([0.0, 1.0, 2.0]), x[:3].copy())
    return np.clip(x, None, x[3]), np.clip(x, 1.0, None), found


def convolved(x: Any) -> Any:
    v = x[:2].copy()
    return np.convolve(v, x, "same"), np.convolve(x, v), np.convolve(x, v, mode="valid")


def correlated(x: Any) -> Any:
    v = x[:2].copy()
    return np.correlate(v, x, "same"), np.correlate(x, v, "same"), np.correlate(x, v)


def arranged(x: Any) -> Any:
    a, y = x.copy().reshape(2, 2), x.copy()
    y[1] = np.nan
    sums = np.nansum(y), np.nanmean(y) * x[1]
    return np.triu(a, 1), np.tril(a, -1), np.repeat(a, 2), np.diff(x, 2), sums


@njit  # type: ignore[untyped-decorator]
def folded(*args: Any) -> Any:
    t = args[0]
    for v in args:
        t = t * v + v
    return t


def tuples(x: Any) -> Any:
    t = folded(x[0], 2.0, x[1])
    for v in (1.0, x[2]):
        t += v * v
    return (t,)


def flat(found: Any) -> Any:
    items = [flat(x) if isinstance(x, tuple) else np.ravel(x) for x in found]
    return np.concatenate(items)


@pytest.mark.parametrize("f", [clipped, convolved, correlated, arranged, tuples])
def test_functions_of_numpys(f: Callable[[Any], Any]) -> None:
    x, t, h = np.array([1.32, 0.74, 2.15, 1.93]), np.array([0.3, -0.4, 1.1, 0.7]), 1e-6
    values, slopes = ng.jvp(ng.njit(f), (x,), (t,))
    assert_allclose(flat(values), flat(f(x)), rtol=1e-13)
    quotients = (flat(f(x + h * t)) - flat(f(x - h * t))) / (2 * h)
    assert_allclose(flat(slopes), quotients, rtol=1e-6, atol=1e-7)


def test_gradients_of_loops_over_tuples() -> None:
    x = np.array([1.32, 0.74, 2.15])
    found = ng.grad(ng.njit(lambda x: tuples_of(x)[0]))(x)
    assert_allclose(found, [0.74 * 7.28, 2 * 1.32**2 + 2 * 1.32 + 3, 4.3], rtol=1e-12)


tuples_of = njit(tuples)


def of_types(x: Any) -> Any:
    a = x * 2.0
    b = a.reshape(2, 2).T
    s = a[0] * a.itemsize + a[1] * a.nbytes + a[2] * b.strides[0]
    if a.dtype == np.dtype("float64"):
        s *= x[3]
    return s * x[0] if np.isscalar(x[0]) and not np.isscalar(a) else s


def test_what_asks_for_types_is_told_what_numba_has() -> None:
    """Numbers that carry derivatives were no scalars, of no dtype that was known, and twice as wide."""
    x, h = np.array([1.32, 0.74, 2.15, 1.93]), 1e-6
    plain = njit(of_types)
    value, slope = ng.value_and_grad(ng.njit(plain))(x)
    assert_allclose(value, plain(x), rtol=1e-14)
    assert_allclose(ng.jvp(ng.njit(plain), (x,), (x,))[1], slope @ x)
    assert_allclose(slope, [(plain(x + s) - plain(x - s)) / (2 * h) for s in h * np.eye(4)], 1e-7)


def compared(x: Any) -> Any:
    z = complex(x[0], 1.0)
    if not isinstance(x[0], float) or isinstance(x[0], int) or isinstance(z, float):
        return 0.0
    near = np.isclose(x[0], x[0] + 1e-12) and np.allclose(x, x, atol=x[1])
    if isinstance(z, (int, complex)) and near and not np.array_equal(x, x[::-1]):
        return np.round(x, 1)[0] * x[1] + np.around(x[2]) * x[2] * x[0]
    return 1.0


def test_comparisons_and_roundings_look_at_values() -> None:
    """They were refused, as Numba knows no such number."""
    x = np.array([1.32, 0.74, 2.15])
    value, slope = ng.value_and_grad(ng.njit(compared))(x)
    assert_allclose(value, njit(compared)(x))
    assert_allclose(slope, [2.0 * 2.15, 1.3, 2.0 * 1.32])


BYTES: dict[str, Callable[[Any], Any]] = {
    "integers": lambda x: (x.view(np.int64)[1] >> 52) * x[0],
    "complex": lambda x: x.copy().view(np.complex128)[1].imag * x[0],
    "buffer": lambda x: np.frombuffer(x.copy())[1] * x[0],
    "address": lambda x: x[0] if x.ctypes.data else x[1],
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_are_not_read_as_another_type(name: str) -> None:
    """They were those of numbers that carry derivatives: what came out was any number."""
    with pytest.raises(TypeError, match="Cannot read the bytes"):
        ng.grad(ng.njit(BYTES[name]))(np.ones(4))


def test_a_view_as_the_same_type() -> None:
    @ng.njit
    def f(x: Any) -> Any:
        a = x.copy()
        b = a.view(np.float64)
        b[0] = x[1] * 2.0
        return a[0] * a[2] + np.arange(2).view(np.uint64)[1] * x[1]

    assert_allclose(ng.grad(f)(np.array([1.0, 3.0, 5.0])), [0.0, 11.0, 6.0])
