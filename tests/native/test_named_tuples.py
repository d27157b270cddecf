"""Named tuples that begin as constants, and what containers of constants say."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

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
