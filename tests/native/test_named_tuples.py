"""Named tuples that begin as constants, signatures with arrays, and what containers of constants say."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose

import nbgrad as ng

State = namedtuple("State", "x v")
Kinds = namedtuple("Kinds", "number plain state")


def mixed(a: float) -> Any:
    s = State(a, 1.0)
    for _ in range(3):
        s = State(v=s.v - 0.1 * s.x, x=s.x + 0.1 * s.v)
    return s.x * s.v


def constant(a: float) -> Any:
    s = State(0.0, 1.0)
    for _ in range(3):
        s = State(s.x + 0.1 * a * s.v, s.v - 0.1 * s.x)
    return s.x * s.v


def nested(a: float) -> Any:
    m = Kinds(0, 1j, State(0.0, 1.0))
    for _ in range(3):
        m = Kinds(m.number + 1, m.plain * a, State(m.state.x + a * m.number, m.state.v * 2.0))
    return m.plain.imag * m.state.x + m.state.v * 0.1 * a * m.number


@njit  # type: ignore[untyped-decorator]
def step(s: Any, h: float) -> Any:
    return State(s.x + h * s.v, s.v - h * s.x)


def called(a: float) -> Any:
    s, n = State(*(0.0, 1.0)), 0
    while n < 4:
        s = step(s, a)
        n += 1
    x, v = s
    return x if v > 5.0 else v * s[0]


@pytest.mark.parametrize("f", [mixed, constant, nested, called])
def test_named_tuples_take_numbers_where_constants_were(f: Callable[[float], Any]) -> None:
    w, at, h = ng.njit(f), 0.7, 1e-6
    expected = (f(at + h) - f(at - h)) / (2 * h)
    assert_allclose(ng.grad(w)(at), expected, rtol=1e-7)
    assert_allclose(ng.jvp(w, (at,), (1.0,))[1], expected, rtol=1e-7)
    second = (ng.grad(w)(at + 1e-5) - ng.grad(w)(at - 1e-5)) / 2e-5
    assert_allclose(ng.grad(ng.grad(w))(at), second, rtol=1e-7, atol=1e-9)


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


def in_a_list(a: float) -> Any:
    found = [0.0] * 3
    for k in range(3):
        found[k] = a * k
    return found[0] + found[2]


def in_a_dictionary(a: float) -> Any:
    found = {0: 0.0}
    found[0] = a * a
    return found[0]


@pytest.mark.parametrize("f", [in_a_list, in_a_dictionary])
def test_containers_of_constants_say_what_to_write(f: Callable[[float], Any]) -> None:
    with pytest.raises(TypeError, match="of constants takes no number that is differentiated"):
        ng.grad(ng.njit(f))(0.5)
