"""Loops and choices that are no kernel, on the emulator: what is carried stays on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.backends.cuda import looping, program
from nbgrad.backends.cuda.runtime import runtime
from nbgrad.program import scalars, steps

RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No loop is small enough to be one thread's."""
    for module in (scalars, steps):
        monkeypatch.setattr(module, "MAX_ELEMENTS", 4)
    with ng.configure(cuda="emulator"):
        yield


def heat(u: Any, k: Any) -> Any:
    """Points read their neighbours; sums of all; a stack of what was."""

    def step(u: Any, _: Any) -> Any:
        inner = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4.0 * u[1:-1, 1:-1]
        new = u + ng.pad(k * inner, 1)
        return new, (new.sum(), u[1])

    return ng.scan(step, u, length=5)


def rows_from_the_end(u: Any, k: Any) -> Any:
    rows = ng.stack([u * 0.1, u * 0.2, u * 0.3])
    return ng.scan(lambda c, x: (c @ x + k, c.sum(0)), u, rows, reverse=True)


def nested(u: Any, k: Any) -> Any:
    inner = lambda c, _: (ng.roll(c, 1, 0) * k + c.mean(), c[0])
    outer = lambda c, x: (ng.scan(inner, c * x.sum(), length=2)[0], c.T)
    return ng.scan(outer, u, ng.stack([u, u + 1.0]))


def until(u: Any, k: Any) -> Any:
    going = lambda c: (c * c).sum() > 0.5
    return ng.while_loop(going, lambda c: 0.5 * ng.roll(c, 1) + 0.1 * k * c[::-1], u)


def never(u: Any, k: Any) -> Any:
    return ng.while_loop(lambda c: (c * c).sum() < 0.0, lambda c: ng.roll(c, 1) * k, u) * 2.0


def never_within(u: Any, k: Any) -> Any:
    """A round gives back what it was given, in the place that a later one writes to."""
    step = lambda c, x: (never(c[0], k) * 0.5, c[0] + x + ng.roll(c[1], 1))
    return ng.scan(lambda c, x: (step(c, x), x), (u, u), ng.stack([u] * 4))


def chosen(u: Any, k: Any) -> Any:
    long = lambda u: ng.scan(lambda c, _: (ng.roll(c, 1) * k, c[0]), u, length=3)[0]
    return ng.cond(k > 0.2, long, lambda u: u * k, u), ng.cond(k < 0.2, long, lambda u: u @ u, u)


LOOPS = [heat, rows_from_the_end, nested, until, never, never_within, chosen]


@pytest.mark.parametrize("f", LOOPS)
def test_values_and_gradients_are_those_of_home(f: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, before = [], looping.looped

    def noted(*args: Any) -> Any:
        made.append(before(*args))
        return made[-1]

    monkeypatch.setattr(program, "looped", noted)
    u, k = RNG.uniform(0.5, 1.5, (5, 5)), np.array(0.3)

    def loss(u: Any, k: Any) -> Any:
        leaves = ng.tree.leaves(f(u, k))
        return sum([(y * y).sum() for y in leaves])

    for g in (f, ng.grad(loss, argnums=(0, 1))):
        expected = [np.asarray(y) for y in ng.tree.leaves(g(ng.tensor(u), ng.tensor(k)))]
        there = ng.jit(g, device="cuda")
        for _ in range(3):
            found = [np.asarray(y.cpu()) for y in ng.tree.leaves(there(u, k))]
            for ours, theirs in zip(found, expected, strict=True):
                assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
        assert any(made), "no loop was run by the host"
        made.clear()


def test_nothing_comes_home_from_a_loop_of_so_many_rounds() -> None:
    x = ng.tensor(RNG.uniform(0.5, 1.5, (8, 8)), device="cuda")
    k = ng.tensor(0.1, device="cuda")
    step = ng.jit(ng.grad(lambda u, k: (heat(u, k)[0] ** 2).sum()))
    step(x, k)
    counts = runtime.store().counts  # type: ignore[attr-defined]
    before = dict(counts)
    step(x, k)
    assert counts.get("out", 0) == before.get("out", 0)
    assert counts["launches"] >= before["launches"] + 10


def test_what_is_carried_takes_two_places() -> None:
    """However many rounds there are."""
    made = []
    for n in (4, 40):
        f = ng.jit(
            lambda u, n=n: ng.scan(lambda c, _: (ng.roll(c, 1) * 0.5, None), u, length=n)[0]
        )
        x = ng.tensor(np.ones(32), device="cuda")
        f(x)
        counts = runtime.store().counts  # type: ignore[attr-defined]
        before = counts["made"]
        f(x)
        made.append(counts["made"] - before)
    assert made[0] == made[1]


def test_an_index_out_of_bounds_in_a_round_raises() -> None:
    f = ng.jit(lambda u, i: ng.scan(lambda c, k: (ng.roll(c, 1)[i + k], c.sum()), u, np.arange(4)))
    i = ng.tensor(np.array([0, 1, 2, 3]), device="cuda")
    with pytest.raises(IndexError, match="index 4 is out of bounds for axis 0 with size 4"):
        f(ng.tensor(np.ones(4), device="cuda"), i)
