"""Functions of ``corpus/`` by ``nbgrad.njit``: first and second derivatives, forward and reverse.

Each takes seconds to compile in every way, so that a run takes some ways of some functions, evenly
chosen; ``NBGRAD_CORPUS=all`` takes all, a number that many. ``NBGRAD_CORPUS_ONLY=recursions`` looks at names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from corpus import CASES, oracle
from corpus.table import Case

import nbgrad as ng

CHOSEN = os.environ.get("NBGRAD_CORPUS", "5")
ONLY = os.environ.get("NBGRAD_CORPUS_ONLY", "")
Function = Callable[..., Any]


def forward(phi: Function, xs: Any, ds: Any) -> Any:
    return ng.jvp(phi, xs, ds)[1]


def reverse(phi: Function, xs: Any, ds: Any) -> Any:
    _, back = ng.vjp(phi, *xs)
    return inner(back(1.0), ds)


def forward_twice(phi: Function, xs: Any, ds: Any) -> Any:
    return forward(lambda *xs: forward(phi, xs, ds), xs, ds)


def forward_over_reverse(phi: Function, xs: Any, ds: Any) -> Any:
    derive = ng.grad(phi, argnums=tuple(range(len(xs))))
    return inner(ng.jvp(derive, xs, ds)[1], ds)


def reverse_twice(phi: Function, xs: Any, ds: Any) -> Any:
    derive = ng.grad(phi, argnums=tuple(range(len(xs))))
    return reverse(lambda *xs: inner(derive(*xs), ds), xs, ds)


def inner(a: Any, b: Any) -> Any:
    """The product of two nested tuples, the sum over all elements."""
    return oracle.weigh(a, oracle.leaves(b))


WAYS = {
    way.__name__: (order, way)
    for order, way in (
        (1, forward),
        (1, reverse),
        (2, forward_over_reverse),
        (2, forward_twice),
        (2, reverse_twice),
    )
}


def combinations() -> list[tuple[str, str, str, bool]]:
    """A function, a way, a dtype, whether inside of jit: all that make sense."""
    return [
        (name, way, dtype, jitted)
        for name, case in CASES.items()
        for way, (order, _) in WAYS.items()
        for dtype in ("float64", "float32")
        for jitted in (False, True)
        if ONLY in name and (order == 1 or case.order2) and (dtype == "float64" or case.float32)
    ]


def chosen() -> list[tuple[str, str, str, bool]]:
    found = combinations()
    if CHOSEN == "all":
        return found
    n = min(int(CHOSEN), len(found))
    return [found[k * len(found) // n] for k in range(n)]


@cache
def expected(name: str) -> tuple[Any, list[Any], tuple[float, float, float]]:
    """A direction, weights of the results, and the derivatives by the oracle."""
    case = CASES[name]
    rng = np.random.default_rng(len(name))
    picked = lambda a: rng.uniform(-1.0, 1.0, np.shape(a))[()]
    ds = tuple(oracle.combined(picked, case.args[k]) for k in case.wrt)
    results = oracle.python(case.function)(*oracle.along(case, ds, 0.0))
    weights = [rng.uniform(0.5, 1.5, np.shape(y))[()] for y in oracle.leaves(results)]
    return ds, weights, oracle.derivatives(case, ds, weights)


@cache
def wrapped(name: str) -> Any:
    return ng.njit(CASES[name].function)


def cast(x: Any, dtype: str) -> Any:
    """Floating-point numbers and arrays in *dtype*, all else as it is."""
    if isinstance(x, float):
        return x if dtype == "float64" else np.dtype(dtype).type(x)
    if getattr(x, "dtype", None) == np.float64:
        return x.astype(dtype)
    return x


def function_of_the_differentiated(case: Case, dtype: str, weights: list[Any]) -> Function:
    """A scalar function of what is differentiated alone."""
    args = oracle.combined(lambda a: cast(a, dtype), case.args)
    compiled = wrapped(case.name)

    def phi(*xs: Any) -> Any:
        given = dict(zip(case.wrt, xs, strict=True))
        return oracle.weigh(compiled(*(given.get(k, a) for k, a in enumerate(args))), weights)

    return phi


@pytest.mark.parametrize(("name", "way", "dtype", "jitted"), chosen())
def test_derivative(name: str, way: str, dtype: str, jitted: bool) -> None:
    case = CASES[name]
    ds, weights, (value, first, second) = expected(name)
    order, derive = WAYS[way]
    as_dtype = lambda tree: oracle.combined(lambda a: cast(a, dtype), tree)
    xs = as_dtype(tuple(case.args[k] for k in case.wrt))
    phi = function_of_the_differentiated(case, dtype, [as_dtype(w) for w in weights])
    run = lambda xs, ds: (phi(*xs), derive(phi, xs, ds))
    got_value, got = (ng.jit(run) if jitted else run)(xs, as_dtype(ds))
    want, scale = (first, second)[order - 1], sum(map(abs, (value, first, second)[: order + 1]))
    rtol = case.rtol * (1, 100)[order - 1] if dtype == "float64" else 2e-3
    assert abs(float(got_value) - value) <= (1e-11 if dtype == "float64" else 1e-4) * abs(scale)
    assert abs(float(got) - want) <= rtol * scale, f"{float(got)!r} is not {want!r}"


def test_there_are_functions_enough() -> None:
    assert len(CASES) >= 80
