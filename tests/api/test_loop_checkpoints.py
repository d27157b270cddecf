"""Loops that keep less for the way back, run many times, and run in many threads."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from subprocesses import run

import nbgrad as ng
from nbgrad.core.aval import avals_of
from nbgrad.core.node import leaf_node
from nbgrad.core.tape import Body, Tape
from nbgrad.ops.control.runs import Runs
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.trace import trace

RNG = np.random.default_rng(3)
W, TABLE = RNG.normal(size=(3, 3)) / 2, RNG.normal(size=40)
FEW = {
    "every": {"checkpoint": 3},
    "root": {"checkpoint": "sqrt"},
    "budget": {"max_bytes": 32 * 10},
}


def loss(w: Any, h: Any, xs: Any, table: Any, **settings: Any) -> Any:
    table = ng.as_tensor(table)

    def step(c: Any, x: Any) -> Any:
        h, i = c
        new = ng.tanh(w @ h + x[0]) * table[i % 40] + table[1]
        return (new, i + 1), (new * x[1]).sum()

    (last, _), ys = ng.scan(step, (h, 0), xs, **settings)
    return (last**2).sum() + (ys**3).sum()


@pytest.mark.parametrize("count", [1, 2, 7, 23])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", FEW)
def test_the_same_bits(name: str, reverse: bool, count: int) -> None:
    given = (W, RNG.normal(size=3), RNG.normal(size=(count, 2, 3)), TABLE)
    argnums = (0, 1, 2, 3)
    for tier in ("reference", "fused"):
        with ng.configure(tier=tier):
            found, expected = (
                ng.grad(lambda *xs: loss(*xs, reverse=reverse, **how), argnums)(*given)  # noqa: B023
                for how in (FEW[name], {})
            )
        for mine, its in zip(found, expected, strict=True):
            assert_array_equal(mine, its)


def test_second_derivatives_of_checkpointed_loops() -> None:
    given = W, RNG.normal(size=3), RNG.normal(size=(5, 2, 3)), TABLE
    second = []
    for how in ({}, {"checkpoint": 2}):
        inner = ng.grad(lambda h: loss(W, h, *given[2:], **how))  # noqa: B023
        second.append(ng.grad(lambda h: (inner(h) ** 2).sum())(given[1]))  # noqa: B023
    np.testing.assert_allclose(second[1], second[0], rtol=1e-12)


def largest(tape: Tape) -> int:
    """Bytes of the largest result of an equation, in bodies too."""
    found = [0]
    for eqn in tape.eqns:
        found += [aval.nbytes for aval in avals_of(eqn.sig.aval)]
        found += [largest(p.tape) for p in eqn.params.values() if p.__class__ is Body]
    return max(found)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({}, 1000),
        ({"checkpoint": 50}, 50),
        ({"checkpoint": "sqrt"}, 33),
        ({"max_bytes": 80_000 * 70}, 33),
        ({"max_bytes": 80_000 * 35}, 11),
        ({"max_bytes": 80_000_000}, 1000),
    ],
)
def test_what_is_kept(settings: dict[str, Any], parts: int) -> None:
    def f(x: Any) -> Any:
        g = ng.grad(
            lambda x: ng.scan(lambda c, _: (ng.sin(c), None), x, length=1000, **settings)[0].sum()
        )
        return g(Tensor(x))._node

    tape = trace(f, [leaf_node(np.zeros(10_000)).aval]).tape
    assert largest(tape) <= parts * 80_000
    assert largest(tape) > parts * 80_000 // 3


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 17, 100])
@pytest.mark.parametrize("budget", [None, 1, 64, 200])
def test_runs_are_gone_through_backwards(steps: int, budget: int | None) -> None:
    alive: list[int] = []

    def step(c: Any) -> Any:
        alive.append(1)
        return [c[0] + 1.0]

    runs = Runs(lambda c: c[0] < steps, step, None, budget)
    assert [c[0] for c in runs.backwards([np.float64(0.0)])] == list(range(steps))[::-1]
    assert len(alive) <= steps * (2 if budget is None else 8)


def test_a_while_loop_in_a_budget() -> None:
    def f(x: Any, **settings: Any) -> Any:
        return ng.while_loop(
            lambda c: (c**2).sum() < 1e4, lambda c: c * 1.05 + 0.1 * ng.sin(c), x, **settings
        ).sum()

    x = np.array([0.3, 0.7])
    plain = ng.grad(f)(x)
    for budget in (1, 100, 10_000):
        assert_array_equal(ng.grad(lambda x: f(x, max_bytes=budget))(x), plain)  # noqa: B023


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"checkpoint": 0}, "checkpoint=0 must be a number of runs"),
        ({"checkpoint": "all"}, "checkpoint='all'"),
        ({"checkpoint": True}, "checkpoint=True"),
        ({"checkpoint": 2, "max_bytes": 100}, "not both"),
        ({"max_bytes": 10}, "max_bytes=10 is less than any way .* 100 runs .* 8 bytes needs: 1"),
    ],
)
def test_errors(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        ng.scan(lambda c, _: (c * 2, None), 1.0, length=100, **settings)


LOOPS = {
    "scan": lambda x: ng.scan(lambda c, r: (c * 0.5 + ng.sin(r), c), 0.0, x)[0],
    "fori_loop": lambda x: ng.fori_loop(0, 3, lambda i, c: c * x[0] + i, 1.0),
    "while_loop": lambda x: ng.while_loop(lambda c: c < 3.0, lambda c: c * 2 + x[0] ** 2, 1.0),
    "cond": lambda x: ng.cond(x[0] > 0, lambda: x.sum(), lambda: x[0]),
    "switch": lambda x: ng.scan(
        lambda c, k: (ng.switch(k, [lambda: c * x[0], lambda: c + x[1]]), None), 1.0, np.arange(3)
    )[0],
    "map": lambda x: ng.map(lambda v: v * x[0], x).sum(),
    "associative_scan": lambda x: ng.associative_scan(lambda a, b: a * b, x).sum(),
}


@pytest.mark.parametrize("name", LOOPS)
def test_threads_get_the_same_bits(name: str) -> None:
    xs = [np.random.default_rng(k).uniform(0.5, 1.0, 5) for k in range(4)]
    f = ng.value_and_grad(LOOPS[name])

    def work(k: int) -> Any:
        return [f(x) for x in xs]

    with ng.configure(tier="fused"), ThreadPoolExecutor(8) as pool:
        alone = work(0)
        for found in pool.map(work, range(8)):
            for (a, da), (b, db) in zip(found, alone, strict=True):
                assert a == b
                assert_array_equal(da, db)


def test_loops_leave_nothing_behind() -> None:
    """Each call traces anew: memory must not grow with their number."""
    run(
        f"""
        import gc, resource, sys
        sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
        import numpy as np
        import nbgrad as ng
        from test_loop_checkpoints import LOOPS

        def memory():
            gc.collect()
            with open('/proc/self/statm') as file:
                return int(file.read().split()[1]) * resource.getpagesize()

        x = np.array([0.6, 0.7, 0.8])
        ng.configure(tier='reference')
        functions = [ng.grad(f) for f in LOOPS.values()]
        def calls(n):
            for _ in range(n):
                for f in functions:
                    f(x)
        calls(60)
        before = memory()
        calls(100)
        assert memory() - before < 1 << 20, memory() - before
        """
    )
