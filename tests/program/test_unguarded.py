"""Products that do not ask for zeros give what those that ask give, wherever a factor is infinite or NaN."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from differential import plan_of
from emulator import in_tasks, run
from numpy.testing import assert_array_equal

import nbgrad as ng
from nbgrad.program import pieces, unguarded

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
N = 2500  # three pieces of the loop
INF, NAN = np.inf, np.nan


def gains(w: Any, x: Any, y: Any) -> Any:
    """Where *w* is 0 the derivatives by *x* and *y* are, though these are 0, infinite or NaN."""
    return w * (ng.log(x) * ng.sqrt(y) / (x * y) * y)


def first(w: Any, x: Any, y: Any) -> Any:
    return ng.grad(lambda *a: gains(*a).sum(), argnums=(0, 1, 2))(w, x, y)


def second(w: Any, x: Any, y: Any) -> Any:
    return ng.grad(lambda *a: (first(*a)[1] * w).sum(), argnums=(0, 1))(w, x, y)


def valued(w: Any, x: Any, y: Any) -> Any:
    value, found = ng.value_and_grad(lambda *a: gains(*a).sum(), argnums=(0, 1, 2))(w, x, y)
    return [value, *found]


def arrays(dtype: Any) -> list[Any]:
    w, x, y = np.random.default_rng(0).uniform(0.5, 2.0, (3, N)).astype(dtype)
    hard = [
        (a, b, c)
        for a in (0.0, -0.0, 1.0)
        for b in (0.0, INF, NAN, 2.0)
        for c in (0.0, INF, NAN, 2.0)
    ]
    for k, row in enumerate(hard):  # in the second piece, and past it
        w[1000 + k], x[1000 + k], y[1000 + k] = row
    w[2400], x[2400] = 0.0, NAN
    return [w, x, y]


def plans(monkeypatch: Any, f: Any, dtype: Any) -> list[Any]:
    """The program as ever, and that which does not ask."""
    found = []
    for points in (1 << 60, 1):
        monkeypatch.setattr(unguarded, "POINTS", points)
        found.append(plan_of(f, (N,), (N,), (N,), dtype=dtype))
    asking, plain = (plan.source() for plan in found)
    assert "odd" not in asking and "if odd != odd:" in plain
    return found


@pytest.mark.parametrize(
    ("f", "dtype"), [(first, np.float64), (second, np.float64), (valued, np.float32)]
)
def test_what_does_not_ask_gives_the_same(monkeypatch: Any, f: Any, dtype: Any) -> None:
    xs = arrays(dtype)
    with np.errstate(all="ignore"):
        asking, plain = (run(p, xs, in_tasks(1 << 30)) for p in plans(monkeypatch, f, dtype))
    for a, b in zip(asking, plain, strict=True):
        assert_array_equal(a, b)
    assert np.isnan(plain[1]).any() and not np.isnan(plain[1]).all()


def test_machine_code_sees_what_is_not_a_number(monkeypatch: Any) -> None:
    """A sum in any order, of vectors, must be NaN if one of its terms is."""
    monkeypatch.setattr(unguarded, "POINTS", 1)
    xs = arrays(np.float32)
    with ng.configure(tier="reference"):
        wanted = first(*xs)
    with ng.configure(tier="fused"):
        found = ng.jit(first)(*xs)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    zero = xs[0] == 0
    assert zero.sum() == 33 and all((np.asarray(g)[zero] == 0).all() for g in found[1:])


@pytest.mark.parametrize(
    "last",
    [ng.exp, lambda x: 1 / x, lambda x: ng.maximum(x, 0.0)],
    ids=["exp", "inverse", "maximum"],
)
def test_what_is_read_by_more_than_sums_and_products_asks(monkeypatch: Any, last: Any) -> None:
    """exp(-inf) hides an infinity, 1/x shows the sign of a zero, a maximum may hide NaN."""
    monkeypatch.setattr(unguarded, "POINTS", 1)
    found = plan_of(lambda *a: [last(g) for g in first(*a)], (N,), (N,), (N,))
    assert "odd" not in found.source()


@pytest.mark.parametrize("worth", [pieces.WORTH, 1 << 60], ids=["pieces", "whole"])
def test_few_points_are_computed_again(monkeypatch: Any, worth: int) -> None:
    """Where a result is NaN, those of its tile, of one loop or of several."""
    monkeypatch.setattr(unguarded, "POINTS", 1)
    monkeypatch.setattr(pieces, "WORTH", worth)
    text = plan_of(first, (N,), (N,), (N,)).source()
    assert ("room" in text) == (worth < N)
    again = text.split("if odd != odd:")[1]
    assert re.search(r"for k in range\(\w+, \w+, \d+\):", text) and "in range(k, min(k" in again


def test_short_loops_ask() -> None:
    assert "odd" not in plan_of(first, (N,), (N,), (N,)).source()
