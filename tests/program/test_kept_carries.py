"""Loops over programs that keep what was carried: in the rows of the result, with nothing copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.backends.cpu import runner
from nbgrad.program.loops import Loop
from nbgrad.program.program import make_program

RNG = np.random.default_rng(5)
U, W = RNG.normal(size=(2, 40, 30)), RNG.normal(size=(40, 30))


def loop(u: Any, v: Any, w: Any, count: int, reverse: bool) -> Any:
    """Two parts of a carry, both kept, one of them twice; larger than what a kernel holds."""

    def step(carry: Any, row: Any) -> Any:
        a, b = carry
        return (np.sin(a) * b + row.sum() * w, b * 0.9 + a.T.T * w), (a, b, a, a * b)

    rows = ng.tensor(np.linspace(-1, 1, 3 * count).reshape(count, 3))
    return ng.scan(step, (u, v), rows, reverse=reverse)


@pytest.mark.parametrize("tier", ["fused", "block"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_rows_of_what_was_carried(count: int, reverse: bool, tier: str) -> None:
    def run(u: Any) -> Any:
        (a, b), (first, second, again, product) = loop(u[0], u[1], W, count, reverse)
        return a, b, first, second, again, product

    def loss(u: Any) -> Any:
        a, b, first, second, again, product = run(u)
        return (a * b).sum() + (first * np.cos(second)).sum() + (again * product).mean()

    with ng.configure(tier="reference"):
        wanted, slope = run(ng.tensor(U)), ng.grad(loss)(U)
    with ng.configure(tier=tier):
        for x, y in zip(run(ng.tensor(U)), wanted, strict=True):
            assert_allclose(x.numpy(), y.numpy(), rtol=1e-12)
        assert_allclose(ng.grad(loss)(U), slope, rtol=1e-10, atol=1e-13)
        compiled = ng.jit(ng.grad(loss))
        assert_allclose(compiled(U), slope, rtol=1e-10, atol=1e-13)
        assert_array_equal(compiled(U), compiled(U))


def test_what_was_carried_is_no_output_of_a_run() -> None:
    derivative = ng.grad(lambda u: loop(u[0], u[1], W, 5, False)[0][0].sum())
    tape = ng.make_tape(derivative)(U)._tape
    (kept, back) = [step for step in make_program(tape).steps if isinstance(step, Loop)]
    assert len(kept.kept) == 2
    assert len(kept.inner.tape.outputs) == len(kept.eqn.outs) - 2
    assert not back.kept


def test_of_large_memory_only_the_last_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "KEEP_ARENA", 1 << 10)
    monkeypatch.setattr(runner, "KEEP_ONE", 1 << 20)

    class Large:
        def __init__(self, arena_bytes: int) -> None:
            self.arena_bytes, self.pool = arena_bytes, list[Any]()

    keep: Any = runner.Runner._keep
    one, other, huge = Large(1 << 15), Large(1 << 15), Large(1 << 21)
    first, second = object(), object()
    keep(one, first)
    assert one.pool == [first]
    keep(huge, second)
    assert (one.pool, huge.pool) == ([first], [])
    keep(other, second)
    assert (one.pool, other.pool) == ([], [second])
