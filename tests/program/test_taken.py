"""Results in the place of inputs that are given away: which may, and that nothing shows but the memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_array_equal

import nbgrad as ng
from nbgrad.backends.cpu.program import CpuProgram
from nbgrad.program import taken
from nbgrad.program.arrange import Arranged
from nbgrad.program.nest import Load, Nest
from nbgrad.program.plan import reads, writes
from nbgrad.program.program import Program, make_program
from tests.program.test_plan import SIDE, build, some_outputs, some_steps
from tests.support.differential import plan_of, positive

N = 12
Function = Callable[..., Any]


def given_away(f: Function, *shapes: tuple[int, ...], of: int = 2) -> tuple[Program, Program]:
    """The program of *f*, and the one that may write to the first *of* its arguments."""
    plain = plan_of(f, *shapes)
    return plain, make_program(plain.tape, given=frozenset(range(of)))


def places(nest: Nest, operand: Any) -> Any:
    """Where each point of *nest* reads or writes *operand*."""
    index = np.indices(nest.extents).reshape(len(nest.extents), -1)
    return operand.offset + np.array(operand.strides, np.int64) @ index


def check(program: Program) -> None:
    """No element is read after it was written, or by another point than that which writes it."""
    written: dict[Any, Any] = {}
    for item in program.items:
        nest = item.nest if isinstance(item, Arranged) else Nest((), frozenset(), ())
        stores = [
            (program.taken.get(program.shared.get(s.buffer, s.buffer)), s) for s in nest.stores
        ]
        ours = {var: s for var, s in stores if var is not None}
        assert not written.keys() & set(reads(item))
        for number, load in enumerate(nest.body):
            if isinstance(load, Load) and load.buffer in ours:
                store = ours[load.buffer]
                assert store.onto == number
                assert_array_equal(places(nest, load), places(nest, store))
        for var, store in ours.items():
            assert var not in written
            assert_array_equal(np.sort(places(nest, store)), np.arange(var.aval.size))
            written[var] = store
    assert set(program.taken.values()) == set(written)


@given(some_steps, some_outputs)
def test_random_programs(steps: list[tuple[str, int, int]], kept: list[int]) -> None:
    plain, program = given_away(build(steps, kept), (SIDE, SIDE), (SIDE,))
    check(program)
    args = [positive(SIDE, SIDE), positive(SIDE, seed=1)]
    wanted = CpuProgram(plain, "block").run([a.copy() for a in args])
    own = [a.copy() for a in args]
    found = CpuProgram(program, "block").run(list(own))
    for x, y in zip(found, wanted, strict=True):
        assert_array_equal(x, y)
    inputs = dict(zip(program.tape.inputs, own, strict=True))
    for out, var in program.taken.items():
        assert found[program.tape.outputs.index(out)] is inputs[var]


def memory_of(program: Program, var: Any) -> Any:
    """Where *var* lies: in the memory of an argument or a result, or at an offset of the arena."""
    var = program.shared.get(var, var)
    return program.plan.offsets.get(var, program.taken.get(var, var))


def check_dying(program: Program) -> int:
    """Run through the steps with what each memory holds; return how many results took a place."""
    holds: dict[Any, Any] = {}
    count = 0
    for item in program.items:
        for var in reads(item):
            assert var in program.tape.inputs or holds[memory_of(program, var)] is var
        for store in item.nest.stores if isinstance(item, Arranged) else ():
            if store.onto is not None:
                load = item.nest.body[store.onto]
                assert_array_equal(places(item.nest, load), places(item.nest, store))
                assert memory_of(program, load.buffer) == memory_of(program, store.buffer)
                others = [
                    v.buffer
                    for k, v in enumerate(item.nest.body)
                    if isinstance(v, Load) and k != store.onto
                ]
                assert load.buffer not in others
                count += 1
        for var in writes(item):
            holds[memory_of(program, var)] = var
    for var in program.tape.outputs:
        assert var in program.tape.inputs or holds[memory_of(program, var)] in (
            var,
            *[v for v, out in program.shared.items() if out is var],
        )
    return count


@given(some_steps, some_outputs)
def test_random_programs_whose_values_die(
    steps: list[tuple[str, int, int]], kept: list[int]
) -> None:
    plain = plan_of(build(steps, kept), (SIDE, SIDE), (SIDE,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taken, "LARGE", 0)
        programs = [make_program(plain.tape, given=frozenset(g)) for g in ((), (0, 1))]
    args = [positive(SIDE, SIDE), positive(SIDE, seed=1)]
    wanted = CpuProgram(plain, "block").run([a.copy() for a in args])
    for program in programs:
        check_dying(program)
        for x, y in zip(
            CpuProgram(program, "block").run([a.copy() for a in args]), wanted, strict=True
        ):
            assert_array_equal(x, y)


def log_sum_exp(x: Any, y: Any) -> Any:
    top = x.max(axis=1, keepdims=True)
    return (ng.log(ng.exp(x - top).sum(axis=1)) + top[:, 0]).sum() + (x * y).sum()


def test_a_backward_pass_of_rows_goes_on_in_one_memory() -> None:
    plain = plan_of(ng.grad(log_sum_exp), (300, 130), (300, 130))
    assert plain.plan.arena_bytes < 300 * 130 * 8
    assert check_dying(plain) == 1  # exponentials, and what comes of them
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taken, "LARGE", 1 << 60)
        apart = make_program(plain.tape)
    assert check_dying(apart) == 0
    args = positive(300, 130), positive(300, 130, seed=1)
    for x, y in zip(CpuProgram(plain).run([*args]), CpuProgram(apart).run([*args]), strict=True):
        assert_array_equal(x, y)


x_and_y = (N, N), (N, N)
TAKEN: dict[str, tuple[int, Function]] = {
    "elementwise": (1, lambda x, y: x - 0.1 * ng.cos(x) * y),
    "twice read": (1, lambda x, y: x * x + x),
    "two": (2, lambda x, y: (x + y, x - y)),
    "crossed": (2, lambda x, y: (y * 2.0, x * 3.0)),
    "with a sum": (1, lambda x, y: (x - 0.5 * y, (x * y).sum(axis=0))),
    "after a sum": (1, lambda x, y: x - x.mean(axis=1, keepdims=True)),
    "after a product": (1, lambda x, y: x - 0.1 * (x @ y)),
    "after a shift": (1, lambda x, y: ng.concatenate([x[1:], x[:1]]) + x),
    "windows": (1, lambda x, y: x + ng.pad(y[1:-1, 1:-1], 1)),
    "another shape": (1, lambda x, y: (x.reshape(-1) * 2.0).reshape(N, N)),
    "a row": (1, lambda x, y: x * y[0] + y[:, :1]),
    "not read": (1, lambda x, y: y.T + y),
    "returned": (1, lambda x, y: (x * y[0, 0] * y.T, x, y)),
}
APART: dict[str, Function] = {
    "turned": lambda x, y: x + x.T,
    "flipped": lambda x, y: x[::-1] * 2.0,
    "shifted window": lambda x, y: x + ng.pad(x[1:], ((0, 1), (0, 0))),
    "a row of its own": lambda x, y: x * x[0],
    "of another dtype": lambda x, y: (x + y).astype(np.float32),
    "read by a product": lambda x, y: x @ y,
    "before what may fail": lambda x, y: ng.linalg.solve(x * 2.0, y * 2.0),
    "in parts": lambda x, y: ng.concatenate([x[:3] * 2.0, y[3:]]),
    "cumulated": lambda x, y: ng.cumsum(x, axis=0),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_may_take_a_place_does(name: str) -> None:
    count, f = TAKEN[name]
    plain, program = given_away(f, *x_and_y)
    check(program)
    assert len(program.taken) == count
    args = positive(N, N), positive(N, N, seed=1)
    wanted = CpuProgram(plain).run([a.copy() for a in args])
    for layout in "CF":
        for x, y in zip(
            CpuProgram(program).run([a.copy(layout) for a in args]), wanted, strict=True
        ):
            assert_array_equal(x, y)


@pytest.mark.parametrize("name", APART)
def test_what_may_not_is_apart(name: str) -> None:
    assert not given_away(APART[name], *x_and_y, of=1)[1].taken


def test_what_fails_has_written_nothing() -> None:
    _, program = given_away(lambda x, y: x * 2.0 + ng.linalg.solve(y, x), *x_and_y)
    assert len(program.taken) == 1
    x, y = positive(N, N), np.zeros((N, N))
    before = x.copy()
    with pytest.raises(np.linalg.LinAlgError):
        CpuProgram(program).run([x, y])
    assert_array_equal(x, before)
    assert not y.any()


def test_results_in_place_are_the_same_by_parallel_tasks() -> None:
    n = 600
    plain, program = given_away(lambda x, y: (x - y * ng.exp(-x), y + x), (n, n), (n, n))
    assert len(program.taken) == 2 and program.steps[0].grain  # type: ignore[union-attr]
    args = positive(n, n), positive(n, n, seed=1)
    wanted = CpuProgram(plain).run([a.copy() for a in args])
    for x, y in zip(CpuProgram(program).run([a.copy() for a in args]), wanted, strict=True):
        assert_array_equal(x, y)


def test_what_is_filled_first_takes_no_place() -> None:
    """The gradient of a flip is zeros, of which all are written then, where the argument is read."""
    f = ng.grad(lambda x: (x[::-1] ** 2).sum() + (x[::-1][::-1] ** 2).sum())
    plain, program = given_away(f, (N,), of=1)
    check(program)
    x = positive(N)
    assert_array_equal(
        CpuProgram(program, "block").run([x.copy()]), CpuProgram(plain, "block").run([x])
    )
