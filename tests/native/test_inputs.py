"""Arguments that are read where they lie, without an array of active numbers."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest

import nbgrad as ng
from nbgrad.native import entry, routes


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """By the tape; how many arguments each function that is made reads where they lie."""
    others = {name: made for name, made in routes.ROUTES.items() if name != "source"}
    monkeypatch.setattr(routes, "ROUTES", others)
    monkeypatch.setattr(
        routes, "_again", lambda key: None
    )  # what an earlier run has kept is not made
    found: list[Any] = []
    made = entry._made

    def noted(request: Any, key: Any, carrying: Any, direct: Any = frozenset()) -> Any:
        code = made(request, key, carrying, direct)
        found.append(len(direct))
        return code

    monkeypatch.setattr(entry, "_made", noted)
    return found


@numba.njit
def by_element(a, w, k):
    s = 0.0
    for i in range(len(a)):
        s += a[i] * math.sin(w[i % w.shape[0], -1]) + a[-1] * w[np.uint8(0), k]
    if a.size > 2 and w.ndim == 2:
        s *= a[a.size - 1 - k] * a[2]
    return s


@numba.njit
def by_parts(a, w, k):
    c = a.copy()
    c[0] = c[0] * w[0][k]
    return c[0] * w[1:][0, k] + c[1]


@numba.njit
def guarded(a, w, k):
    return a[k] * w[0, 0]


DRAW = np.random.default_rng(3)
A, W = DRAW.standard_normal(5), DRAW.standard_normal((3, 2))


@pytest.mark.parametrize(("f", "count"), [(by_element, 2), (by_parts, 0)])
def test_gradients(f: Any, count: int, direct: list[Any]) -> None:
    value, slopes = ng.value_and_grad(ng.njit(f), argnums=(0, 1))(A, W, 1)
    assert value.item() == f(A, W, 1)
    assert max(direct) == count
    for number, (x, slope) in enumerate(zip((A, W), slopes, strict=True)):
        for place in np.ndindex(x.shape):
            step = np.zeros(x.shape)
            step[place] = 1e-6
            ends = [[A, W], [A, W]]
            ends[0][number], ends[1][number] = x + step, x - step
            difference = (f(*ends[0], 1) - f(*ends[1], 1)) / 2e-6
            np.testing.assert_allclose(slope[place], difference, rtol=1e-7, atol=1e-8)


def test_second_derivatives_single_precision_and_no_elements() -> None:
    @ng.njit
    def product(a: Any) -> Any:
        s = 1.0
        for i in range(a.shape[0]):
            s *= a[i]
        return s

    x = np.array([2.0, 3.0, 5.0])
    np.testing.assert_allclose(ng.grad(product)(x), [15.0, 10.0, 6.0])
    np.testing.assert_allclose(ng.hessian(product)(x), [[0, 5, 3], [5, 0, 2], [3, 2, 0]])
    single = ng.grad(product)(x.astype(np.float32))
    assert single.dtype == np.float32 and single.tolist() == [15.0, 10.0, 6.0]
    assert ng.grad(product)(np.zeros(0)).shape == (0,)


def test_bounds_are_checked_where_they_are_asked_for(direct: list[Any]) -> None:
    f = ng.njit(numba.njit(boundscheck=True)(guarded.py_func))
    with pytest.raises(IndexError):
        ng.grad(f)(A, W, 9)
    assert max(direct) == 0


def test_products_by_operator_are_ours_whatever_was_declared_before() -> None:
    @ng.njit
    def first(a: Any, v: Any) -> Any:
        return (a @ v)[0]

    np.testing.assert_array_equal(ng.grad(first, argnums=1)(W, W[0]), W[0])


def test_an_argument_that_a_function_made_inside_is_given() -> None:
    """What is called is an expression: asked for what it has not, it raised KeyError."""

    @ng.njit
    def f(x):
        def parts(a):
            return a[0] * a[1], a.sum()

        p, s = parts(x)
        return p * s

    np.testing.assert_allclose(ng.grad(f)(np.array([1.0, 2.0])), [8.0, 5.0])
