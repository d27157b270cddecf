"""Loops over the same rows that are run by turns: each reads what it would read if they were run one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_array_equal

import nbgrad as ng
from nbgrad.backends.cpu.program import CpuProgram
from nbgrad.backends.cpu.timed import TimedProgram
from nbgrad.program import bands, taken
from nbgrad.program.arrange import Arranged
from nbgrad.program.nest import Load
from nbgrad.program.plan import writes
from nbgrad.program.program import Program, make_program
from tests.program.test_plan import SIDE, build, some_outputs, some_steps
from tests.support.differential import plan_of, positive

Function = Callable[..., Any]


class Memory:
    """Which variable each byte was last written for."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.arena = np.zeros(program.plan.arena_bytes + 1, np.int64)
        self.held: dict[Any, Any] = {}
        self.found: dict[Any, Any] = {}
        self.numbers = dict.fromkeys(program.tape.inputs, 0)

    def place(self, var: Any, at: Any) -> tuple[Any, Any]:
        """The array that stands for the memory of *var*, and where in it elements start."""
        base = self.program.shared.get(var, var)
        base = self.program.taken.get(base, base)
        starts = at * var.aval.dtype.itemsize
        offset = self.program.plan.offsets.get(base)
        if offset is not None:
            return self.arena, starts + offset
        if base not in self.held:
            self.held[base] = np.zeros(max(1, base.aval.nbytes), np.int64)
        return self.held[base], starts

    def read(self, var: Any, at: Any) -> None:
        memory, starts = self.place(var, at)
        assert (memory[starts] == self.numbers[var]).all()

    def write(self, var: Any, at: Any) -> None:
        memory, starts = self.place(var, at)
        memory[starts] = self.numbers.setdefault(var, len(self.numbers) + 1)


def run(item: Any, part: slice, memory: Memory) -> None:
    """What *item* reads and writes at some of its points."""
    if not isinstance(item, Arranged):
        for var in item.reads:
            memory.read(var, np.arange(var.aval.size))
        for var in writes(item):
            memory.write(var, np.arange(var.aval.size))
        return
    nest = item.nest

    def at(operand: Any) -> Any:
        found = memory.found.get((id(item), id(operand)))
        if found is None:
            points = np.indices(nest.extents).reshape(len(nest.extents), -1)
            found = getattr(operand, "offset", 0) + np.array(operand.strides, np.int64) @ points
            memory.found[id(item), id(operand)] = found
        return found[part]

    for value in nest.body:
        if isinstance(value, Load) and not value.guards:
            memory.read(value.buffer, at(value))
    for store in nest.stores:
        memory.write(store.buffer, at(store))
    for r in nest.reductions:
        blocks = np.arange(item.blocks) * item.kept
        where = at(r)
        memory.write(r.buffer, where if item.blocks == 1 else (where[:, None] + blocks).ravel())


def check(program: Program, order: Callable[[range], Any]) -> None:
    """Go through the steps, those of a band by rows, in any *order*; results are there in the end."""
    memory = Memory(program)
    starts = {band.start: band for band in program.bands}
    k = 0
    while k < len(program.items):
        band = starts.get(k)
        if band is None:
            run(program.items[k], slice(None), memory)
            k += 1
            continue
        items: Any = program.items[k : band.stop]
        for b in order(range(band.count)):
            for item, n in zip(items, band.tasks, strict=True):
                each = item.nest.size // rows_of(items)
                per = n * rows_of(items) // item.tasks  # rows of its tasks
                run(item, slice(b * per * each, (b + 1) * per * each), memory)
        k = band.stop
    for out in program.tape.outputs:
        if out not in program.tape.inputs:
            var = next(
                (v for v, o in program.shared.items() if o is out and v in last(program)), out
            )
            memory.read(var, np.arange(out.aval.size))


def rows_of(items: Any) -> int:
    return int(items[0].n_cells)


def last(program: Program) -> set[Any]:
    """What nothing is written over."""
    over = set()
    for item in program.items:
        for store in item.nest.stores if isinstance(item, Arranged) else ():
            if store.onto is not None:
                over.add(item.nest.body[store.onto].buffer)  # type: ignore[union-attr]
    return {v for item in program.items for v in writes(item)} - over


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of the fewest rows, of arrays of any size."""
    monkeypatch.setattr(bands, "LEAST", 0)
    monkeypatch.setattr(bands, "BYTES", 1)
    monkeypatch.setattr(taken, "LARGE", 0)


@given(some_steps, some_outputs)
def test_random_programs(steps: list[tuple[str, int, int]], kept: list[int]) -> None:
    plain = plan_of(build(steps, kept), (SIDE, SIDE), (SIDE,))
    with pytest.MonkeyPatch.context() as patch:
        small.__wrapped__(patch)  # type: ignore[attr-defined]
        for given_away in ((), (0, 1)):
            program = make_program(plain.tape, given=frozenset(given_away))
            check(program, lambda numbers: numbers)
            check(program, reversed)
    args = [positive(SIDE, SIDE), positive(SIDE, seed=1)]
    wanted = CpuProgram(plain, "block").run([a.copy() for a in args])
    for x, y in zip(CpuProgram(program, "block").run([*args]), wanted, strict=True):
        assert_array_equal(x, y)


def log_sum_exp(x: Any, w: Any) -> Any:
    top = x.max(axis=1, keepdims=True)
    return (ng.log(ng.exp(x - top).sum(axis=1)) + top[:, 0]).sum() + (w * w).sum()


def layer_norm(x: Any, w: Any) -> Any:
    d = x - x.mean(-1)[:, None]
    y = d / ng.sqrt((d * d).mean(-1)[:, None] + 1e-5) * w
    return (y * y).sum()


def softmax(x: Any, w: Any) -> Any:
    e = ng.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True) * w


def rows_and_columns(x: Any, w: Any) -> Any:
    y = x / x.sum(axis=1, keepdims=True)
    return (y - y.mean(axis=0)) * w, y.T @ y


def with_gradients(f: Function) -> Function:
    def both(x: Any, w: Any) -> Any:
        value, gradients = ng.value_and_grad(f, argnums=(0, 1))(x, w)
        return (value, *gradients)

    return both


CASES: dict[str, tuple[Function, int]] = {
    "log-sum-exp": (with_gradients(log_sum_exp), 4),
    "LayerNorm": (with_gradients(layer_norm), 9),
    "softmax": (softmax, 3),
    "rows and columns": (rows_and_columns, 2),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_are_run_together_with_the_same_bits(name: str, small: None) -> None:
    f, least = CASES[name]
    program = plan_of(f, (2048, 128), (128,))
    assert max((b.stop - b.start for b in program.bands), default=0) >= least
    check(program, reversed)
    args = positive(2048, 128), positive(128, seed=1)
    together = CpuProgram(program).run([*args])
    for x, y in zip(together, TimedProgram(program).run([*args]), strict=True):
        assert_array_equal(x, y)


def test_large_rows_are_in_bands_that_fit_the_cache() -> None:
    program = plan_of(CASES["LayerNorm"][0], (4096, 1024), (1024,))
    (band,) = program.bands
    assert band.count >= 64 and len(program.items) - (band.stop - band.start) <= 3
    assert not plan_of(CASES["LayerNorm"][0], (40, 100), (100,)).bands
    assert not plan_of(CASES["softmax"][0], (16, 1 << 18), (1 << 18,)).bands


def test_only_what_reads_its_own_rows_is_in_a_band(small: None) -> None:
    def f(x: Any) -> Any:
        e = ng.exp(x - x.max(axis=1, keepdims=True))
        total = e.sum(axis=1)
        return e / total[:, None], e[::-1] + total, e + total

    program = plan_of(f, (SIDE, SIDE))
    check(program, reversed)
    (band,) = program.bands
    assert 2 <= band.stop - band.start < len(program.items)


@pytest.mark.parametrize("rows", [64, 1 << 14], ids=["of small arrays", "of large ones"])
def test_looking_for_bands_is_linear(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    take, counted = bands.Group.take, []
    monkeypatch.setattr(
        bands.Group, "take", lambda group, item: (counted.append(1), take(group, item))
    )

    def looks(n: int) -> int:
        operations = (ng.sin, ng.tanh, ng.exp, ng.cos, ng.arctan)

        def f(x: Any) -> Any:
            for k in range(n):  # at no period, so that it is no loop
                x = operations[k * k % 7 % 5](x) - x.sum(axis=1)[:, None] * 0.001
            return x

        counted.clear()
        plan_of(f, (rows, 64))
        return len(counted)

    assert looks(40) > 0 and looks(160) <= 5 * looks(40)
