"""The plan of buffers: never two live values in one place, nothing kept that nobody needs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from differential import agree, plan_of, positive, with_gradient
from golden_programs import GOLDEN, program
from hypothesis import given
from hypothesis import strategies as st

import nbgrad as ng
from nbgrad.backends.cpu.program import CpuProgram, compile_price
from nbgrad.core.aval import make_aval
from nbgrad.core.tape import Var
from nbgrad.program.plan import ALIGNMENT, Space, reads, writes
from nbgrad.program.program import Program
from nbgrad.program.text import Emitted

# ---------------------------------------------------------------------------------------- property


def check_plan(program: Program) -> None:
    """Assert all that kernels rely on: they are compiled on the promise that buffers are apart."""
    tape, offsets = program.tape, program.plan.offsets
    outputs = {a for a in tape.outputs if isinstance(a, Var)}
    shared = program.shared  # the memory of an output holds another value, or the output itself
    fixed = {*tape.inputs, *outputs, *shared}
    assert not outputs & set(shared) and len(set(shared.values())) == len(shared)
    written: dict[Var, int] = {}
    needed: dict[Var, int] = {}
    for k, item in enumerate(program.items):
        for var in reads(item):
            assert var in written or var in tape.inputs, f"step {k} reads what nobody wrote"
            needed[var] = k
        for var in writes(item):
            assert var not in tape.inputs, f"step {k} writes to an input"
            assert var not in reads(item), f"step {k} reads what it writes"
            written.setdefault(var, k)
            needed[var] = k
    assert not set(written) & set(shared.values())
    assert outputs <= {*written, *tape.inputs, *map(shared.get, written)}
    assert set(offsets) == set(written) - fixed
    for k in range(len(program.items)):
        live = [v for v in offsets if written[v] <= k <= needed[v]]
        places = sorted((offsets[v], offsets[v] + v.aval.nbytes) for v in live)
        for (_, end), (start, _) in pairwise(places):
            assert end <= start, f"two live buffers overlap at step {k}"
        assert all(start % ALIGNMENT == 0 for start, _ in places)
        assert not places or places[-1][1] <= program.plan.arena_bytes


@pytest.mark.parametrize("name", list(GOLDEN))
def test_golden_programs(name: str) -> None:
    check_plan(program(name))


SIDE = 6
# Operations on a list of values, each of shape (SIDE, SIDE) or (SIDE,).
UNARY = {
    "exp": lambda x: ng.exp(x * 0.125),
    "shift": lambda x: ng.concatenate([x[1:], x[:1]]),
    "flip": lambda x: x[::-1] * 0.5,
    "pair": lambda x: (x[1:] * x[:-1]).sum() + x,
    "centre": lambda x: x - x.mean(axis=-1, keepdims=True),
    "normalize": lambda x: x / (ng.sqrt((x * x).sum(axis=0)) + 1.0),
    "cumulate": lambda x: x.max(axis=0) * 0.5 + x,
    "turn": lambda x: x.T + 1.0,
    "row": lambda x: x.sum(axis=0) * 0.125 if x.ndim == 2 else x[::-1],
    "regroup": lambda x: x.reshape(-1)[::-1].reshape(x.shape),
}
BINARY = {
    "add": lambda x, y: x + y,
    "multiply": lambda x, y: x * y * 0.25,
    "matmul": lambda x, y: (x @ y if x.ndim + y.ndim > 2 else x * y) * 0.125,
    "maximum": lambda x, y: ng.maximum(x, y),
}
step = st.tuples(st.sampled_from([*UNARY, *BINARY]), st.integers(0, 99), st.integers(0, 99))


def build(steps: Sequence[tuple[str, int, int]], kept: Sequence[int]) -> Any:
    """The function that applies *steps*, each to earlier results, and returns those *kept*."""

    def f(a: Any, b: Any) -> list[Any]:
        values = [a, b]
        for name, i, j in steps:
            x, y = values[i % len(values)], values[j % len(values)]
            values.append(UNARY[name](x) if name in UNARY else BINARY[name](x, y))
        return [values[k % len(values)] for k in kept]

    return f


some_steps = st.lists(step, min_size=1, max_size=12)
some_outputs = st.lists(st.integers(0, 99), min_size=1, max_size=3)


@given(some_steps, some_outputs)
def test_random_programs(steps: list[tuple[str, int, int]], kept: list[int]) -> None:
    check_plan(plan_of(build(steps, kept), (SIDE, SIDE), (SIDE,)))


@given(some_steps, some_outputs)
def test_random_gradients(steps: list[tuple[str, int, int]], kept: list[int]) -> None:
    def loss(a: Any, b: Any) -> Any:
        return sum((y * y).sum() for y in build(steps, kept)(a, b))

    check_plan(plan_of(with_gradient(loss), (SIDE, SIDE), (SIDE,)))


@given(some_steps, some_outputs)
def test_random_programs_run(steps: list[tuple[str, int, int]], kept: list[int]) -> None:
    # The block tier compiles a kernel for each operation, not for each program.
    arrays = positive(SIDE, SIDE), positive(SIDE, seed=1)
    agree(build(steps, kept), *arrays, tiers=["block"], rtol=1e-9)


# ------------------------------------------------------------------------------------------ totals


def test_stats_add_up() -> None:
    def f(x: Any, y: Any) -> Any:
        return (x @ y).exp() + 1.0, x.sum(axis=0), ng.argmax(x)

    plan = plan_of(f, (5, 4), (4, 3))
    stats = plan.stats()
    assert stats["equations"] == len(plan.tape)
    assert stats["input_bytes"] == 8 * (5 * 4 + 4 * 3)
    assert stats["output_bytes"] == 8 * (5 * 3 + 4 + 1)
    assert stats["arena_bytes"] == plan.plan.arena_bytes == 128  # the product, rounded up
    calls = stats["kernels"] + stats["library_calls"] + stats["host_calls"]
    assert calls == len(plan.steps) and stats["kernels"] == 2


def test_outputs_that_repeat_or_are_inputs_are_written_by_the_kernel_that_reads_them() -> None:
    plan = plan_of(lambda x: ((x * 2).sum(), x * 2, x * 2, x), (5,))
    assert CpuProgram(plan).direct and plan.stats()["kernels"] == 1
    assert plan.stats()["output_bytes"] == 8 * 16


def test_dead_buffers_are_used_again() -> None:
    def f(x: Any, w: Any) -> Any:
        for _ in range(20):
            x = ng.tanh(x @ w)
        return x

    # Of the twenty products and twenty activations two or three live at a time.
    assert plan_of(f, (8, 8), (8, 8)).stats()["arena_bytes"] <= 3 * 8 * 8 * 8


def twenty(x: Any) -> Any:
    y = x
    for k in range(6):
        y = ng.sin(y * (0.5 + k)) + x
    return (y * y).sum()


def test_the_gradient_of_a_long_chain_needs_no_full_temporary() -> None:
    n = 1_000_000
    stats = plan_of(with_gradient(twenty), (n,)).stats()
    assert stats["equations"] >= 40
    assert stats["arena_bytes"] <= n * 8 / 100
    assert stats["kernels"] == 2  # one pass, and the merge of its partial sums


def test_a_stencil_gradient_needs_no_temporary_for_each_slice() -> None:
    def f(u: Any) -> Any:
        inside = u[1:-1, 1:-1]
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        return ((around - 4.0 * inside) ** 2).sum()

    stats = plan_of(with_gradient(f), (500, 500)).stats()
    # One for the residual, whose five pads would compute it five times.
    assert stats["arena_bytes"] <= 1.01 * 500 * 500 * 8


def test_steps_of_a_stencil_are_few_kernels_however_many_there_are() -> None:
    """Each step is stored: two in one nest would compute each value at five places."""

    def steps(count: int) -> Any:
        def f(u: Any) -> Any:
            for _ in range(count):
                v = u[1:-1, 1:-1]
                around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
                u = np.pad(v + 0.1 * (around - 4.0 * v), 1)
            return (u * u).sum()

        return plan_of(lambda u: ng.grad(f)(u), (40, 40))

    few, many = steps(4), steps(16)
    sources = [{s.source for s in p.steps if isinstance(s, Emitted)} for p in (few, many)]
    assert sources[0] == sources[1] and len(sources[0]) <= 6
    assert compile_price(few) == compile_price(many)  # each text is compiled once
    assert many.stats()["kernels"] <= 2.5 * 16
    assert max(source.count("\n") for source in sources[1]) < 100


def test_a_dear_value_read_at_two_places_is_computed_once() -> None:
    program = plan_of(lambda x: (lambda y: y[1:] - y[:-1])(ng.exp(x)), (50,))
    assert program.source().count("exp_f8(") == 1
    program = plan_of(lambda x: (lambda y: y[1:] - y[:-1])(x * 2.0), (50,))
    assert program.stats()["kernels"] == 1  # two products are cheaper than memory


def test_first_fit_fills_a_gap() -> None:
    space = Space()
    assert [space.take(64) for _ in range(4)] == [0, 64, 128, 192]
    space.give(64, 64)
    assert space.take(128) == 256
    assert space.take(64) == 64


def test_gaps_beside_each_other_are_one() -> None:
    space = Space()
    for _ in range(5):
        space.take(64)
    for start in (64, 192, 128):
        space.give(start, 64)
    assert space.gaps == [(64, 256)]
    space.give(256, 64)
    assert space.take(512) == 64  # the gap at the end grows
    assert space.end == 576


def test_an_empty_value_still_has_a_place_of_its_own() -> None:
    plan = plan_of(lambda x: (x @ x.T).exp(), (0, 3))
    check_plan(plan)
    agree(lambda x: (x @ x.T).exp(), np.zeros((0, 3)))
    assert make_aval((0, 0), np.dtype(float)).nbytes == 0
