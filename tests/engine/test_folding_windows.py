"""Folded loops that read an array step by step: one plan serves wherever the windows are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.engine import flushing

N, LIMIT = 420, 160
RNG = np.random.default_rng(5)
X, PLANE = RNG.normal(size=N) * 0.3, RNG.normal(size=(N, 3)) * 0.3


def forwards(x: Any, rows: Any) -> Any:
    y = x[0] * 1.0
    for k in range(1, N):
        y = np.sin(y + x[k]) * 0.9 + x[k - 1]
    return y


def backwards_by_twos(x: Any, rows: Any) -> Any:
    y = x[0] * 1.0
    for k in range(N - 1, 1, -2):
        y = np.sin(y) * 0.9 + x[k] * x[1]
    return y


def rows_and_columns(x: Any, rows: Any) -> Any:
    y, across = rows[0] * x[0], rows.T
    for k in range(1, N):
        y = np.tanh(y * 0.5 + rows[k]) + across[:, N - k] * x[3]
    return y.sum()


def windows_of_an_array(x: Any, rows: Any) -> Any:
    y = x[:5] * 1.0
    for k in range(N - 5):
        y = np.sin(y) * 0.9 + x[k : k + 5]
    return y.sum()


def another_way_from_the_middle_on(x: Any, rows: Any) -> Any:
    y = x[0] * 1.0
    for k in range(N):
        y = np.sin(y) * 0.9 + x[k if k < 222 else (7 * k) % N]
    return y


def other_windows_from_the_middle_on(x: Any, rows: Any) -> Any:
    """All alike but for where they begin; those of the second half do not move."""
    y = x[0] * 1.0
    for k in range(N):
        y = np.sin(y) * 0.9 + x[k if k < 222 else 5]
    return y


def neighbours(x: Any, rows: Any) -> Any:
    """Windows that stay where they are; which of the two is which tells where they begin alone."""
    y = rows[:9, 0] * x[0]
    for k in range(N):
        a, b = (y[1:], y[:-1]) if k < 210 else (y[:-1], y[1:])
        z = np.sin(a * 0.7) - 0.5 * b
        y = ng.numpy.concatenate([z, z[:1] * x[1]]) * 0.9
    return y.sum()


LOOPS = [forwards, backwards_by_twos, rows_and_columns, windows_of_an_array]
LOOPS += [another_way_from_the_middle_on, other_windows_from_the_middle_on, neighbours]


def gradients(f: Callable[..., Any], limit: int, tracked: bool) -> tuple[Any, ...]:
    with ng.configure(max_pending=limit, tier="reference"):
        x, p = ng.tensor(X, requires_grad=True), ng.tensor(PLANE, requires_grad=tracked)
        y = f(x, p)
        found = ng.autograd.grad(y, [x, p] if tracked else [x], allow_unused=True)
        return y.detach().numpy(), *[0.0 if g is None else g.numpy() for g in found]


@pytest.mark.parametrize("f", LOOPS, ids=lambda f: f.__name__)
def test_windows_of_folded_loops(f: Callable[..., Any]) -> None:
    y, *mine = gradients(f, LIMIT, True)
    expected, *theirs = gradients(f, 10**9, True)
    assert_array_equal(y, expected)
    for a, b in zip(mine, theirs, strict=True):
        assert_allclose(a, b, rtol=1e-11, atol=1e-13)


def test_data_that_is_not_tracked() -> None:
    def f(given: Any, p: Any) -> Any:
        y = p[0] * 1.0
        for k in range(1, N):
            y = np.sin(y) * p[1] + given[k] * given[k - 1] * p[2]
        return y

    found = []
    for given, limit in ((ng.tensor(X), LIMIT), (ng.tensor(X[::-1].copy()), LIMIT), (X, 10**9)):
        with ng.configure(max_pending=limit, tier="reference"):
            p = ng.tensor([0.3, 0.8, 1.1], requires_grad=True)
            f(given, p).backward()
            assert p.grad is not None
            found.append(p.grad.numpy())
    assert_allclose(found[0], found[2], rtol=1e-11)
    assert not np.allclose(found[0], found[1], rtol=1e-3)


def test_one_plan_serves_all_parts_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def cut(*args: Any, _original: Any = flushing._cut) -> Any:
        made.append(_original(*args))
        return made[-1]

    flushing.cuts.clear()
    monkeypatch.setattr(flushing, "_cut", cut)
    gradients(forwards, LIMIT, False)
    assert sum(c.fold is not None for c in made) <= 3  # of 10 parts
