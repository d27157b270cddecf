"""Functions that were given signatures, or types of locals: they are what Numba makes of them, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import float64, int64, njit
from numpy.testing import assert_allclose

import nbgrad as ng


def powers(x: Any, a: float) -> Any:
    s = 0.0
    for i in range(x.shape[0]):
        s += a * x[i] ** 2 / 3
    return s


@pytest.mark.parametrize("signature", ["float64(float64[:], float64)", "(float64[::1], float64)"])
def test_signatures_with_arrays(signature: str) -> None:
    w = ng.njit(njit(signature)(powers))
    x = np.arange(4.0)
    assert_allclose(ng.grad(w, argnums=(0, 1))(x, 2.0)[0], 4 * x / 3)
    assert_allclose(ng.grad(w, argnums=1)(x, 2.0), x @ x / 3)
    assert_allclose(ng.jit(ng.grad(w))(x, 3), 2 * x)


@pytest.mark.parametrize(
    "signature",
    ["int64(float64[:], float64)", "float32(float64[:], float64)", "(float64[:], int64)"],
)
def test_signatures_that_convert_are_refused(signature: str) -> None:
    """What is differentiated would be another function than the one that is called."""
    w = ng.njit(njit(signature)(powers))
    with pytest.raises(TypeError, match="was given signatures"):
        ng.grad(w)(np.arange(4.0), 2.7)
    with pytest.raises(TypeError, match="was given signatures"):
        ng.grad(ng.njit(njit("float64(int64)")(single)))(2.7)


def single(a: float) -> Any:
    return 1.5 * a * a


def test_what_is_kept_knows_what_a_signature_returns() -> None:
    """Another signature, or none, of the same code has other results."""
    whole, real = (ng.njit(njit(f"{ty}(float64)")(single)) for ty in ("int64", "float64"))
    x = ng.tensor(2.7)
    assert (whole(x).dtype, real(x).dtype) == (np.int64, np.float64)
    assert_allclose(ng.grad(real)(2.7), 8.1)


@njit("int64(float64)")  # type: ignore[untyped-decorator]
def whole(x: float) -> Any:
    return 1.5 * x


@njit("float64(float64)")  # type: ignore[untyped-decorator]
def real(x: float) -> Any:
    return 1.5 * x


def test_signatures_of_functions_that_are_called() -> None:
    assert_allclose(ng.grad(ng.njit(lambda x: real(x) * x))(2.7), 8.1)
    with pytest.raises(TypeError, match="a signature by which whole converts what it returns"):
        ng.grad(ng.njit(lambda x: whole(x) * x))(2.7)


@njit("float64(float64, int64)")  # type: ignore[untyped-decorator]
def cut(x: float, n: int) -> Any:
    return x * n**2 / 3


@njit("float64(float32)")  # type: ignore[untyped-decorator]
def halved(x: float) -> Any:
    return np.float64(x) ** 2


@njit(["float64(float64, boolean)", "int64(int64, boolean)"])  # type: ignore[untyped-decorator]
def flagged(x: float, flag: bool) -> Any:
    return x * x if flag else -x


@njit("complex128(complex128)")  # type: ignore[untyped-decorator]
def turned(z: complex) -> Any:
    return z * z * 1j


@njit("float64(optional(float64), UniTuple(float64, 2))")  # type: ignore[untyped-decorator]
def perhaps(x: float | None, both: tuple[float, float]) -> Any:
    return both[0] * both[1] if x is None else x**3


@njit("float64[:](float64[:], int64[:])")  # type: ignore[untyped-decorator]
def picked(x: Any, where: Any) -> Any:
    return x[where] * 2.0


@njit("void(float64[:])")  # type: ignore[untyped-decorator]
def doubled(x: Any) -> None:
    x[0] *= x[1]


@njit(locals={"s": float64, "n": int64})  # type: ignore[untyped-decorator]
def typed(x: float) -> Any:
    s = 0
    n = 3
    for k in range(n):
        s += x * k
    return s / n


def written(x: float) -> Any:
    held = np.array([x, x, 2.0])
    doubled(held)
    return held[0] * picked(held, np.array([2, 1]))[1]


CONVERTING: dict[str, Callable[[Any], Any]] = {
    "int64": lambda x: cut(x, x) * x + cut(3, 2 * x),
    "float32": lambda x: halved(x) * x,
    "boolean": lambda x: flagged(x, x) * flagged(x, x - 2.5) + flagged(3, x),
    "complex128": lambda x: turned(x).imag * x + turned(x + 1j * x).real,
    "optional": lambda x: perhaps(x, (x, 1)) * perhaps(None, (2, x)),
    "arrays": written,
    "locals": lambda x: typed(x) * x,
}


@pytest.mark.parametrize("name", CONVERTING)
def test_what_a_signature_converts_is_converted_in_derivatives(name: str) -> None:
    """The derivative was of a function for any types: its value, too, was another than Numba's."""
    plain = njit(CONVERTING[name])
    w, x = ng.njit(plain), 2.6
    tolerance = 1e-3 if name == "float32" else 1e-8
    value, slope = ng.value_and_grad(w)(x)
    assert_allclose(value, plain(x), rtol=1e-15)
    assert_allclose(ng.jvp(w, (x,), (1.0,))[0], plain(x), rtol=1e-15)
    h = 1e-3 if name == "float32" else 1e-6
    assert_allclose(slope, (plain(x + h) - plain(x - h)) / (2 * h), rtol=tolerance)
    assert_allclose(ng.jvp(w, (x,), (1.0,))[1], slope, rtol=1e-14)


def test_second_derivatives_past_what_is_cut() -> None:
    w = ng.njit(CONVERTING["int64"])
    assert_allclose(ng.grad(ng.grad(w))(2.6), 8 / 3)


def test_signatures_of_functions_that_are_called_with_arguments() -> None:
    """An argument is only read, which no signature of an array says: Numba finds no overload for it."""
    x = np.array([1.5, 2.5, 3.0])
    w = ng.njit(lambda x: picked(x, np.array([2, 0])).sum())
    assert_allclose(ng.grad(w)(x), [2.0, 0.0, 2.0])
    with pytest.raises(TypeError, match="writes into an argument"):
        ng.grad(ng.njit(lambda x: doubled(x)))(x)


@njit(locals={"n": int64})  # type: ignore[untyped-decorator]
def whole_local(x: float) -> Any:
    n = x * 2.5
    return n * x


def test_locals_that_cut_are_refused() -> None:
    for f in (whole_local, njit(lambda x: whole_local(x))):
        with pytest.raises(TypeError, match=r"No conversion from .* to int64 for 'n'"):
            ng.grad(ng.njit(f))(2.7)
