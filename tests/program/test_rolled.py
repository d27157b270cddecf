"""Loops of scalars and small arrays as one kernel: the same bits as a step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scratch_scan import bound, scan

import nbgrad as ng
from nbgrad.backends.base import Work
from nbgrad.backends.cpu.program import CpuProgram
from nbgrad.backends.reference import ReferenceProgram
from nbgrad.core.aval import make_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.tape import Tape
from nbgrad.engine.tiers import Executable
from nbgrad.ops.kinds.forms import Rounds
from nbgrad.program import program as planning
from nbgrad.program.loops import Loop
from nbgrad.program.program import Program, make_program
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.calls import expanded
from nbgrad.transforms.simplify import simplify

N = 7
RNG = np.random.default_rng(5)


def loop(f: Callable[..., Any], xs: list[Any], constants: int, carry: int, reverse: bool) -> Any:
    """The tape of a scan of *f*, which takes and returns tensors."""
    inputs = [placeholder(make_aval(np.shape(x), np.asarray(x).dtype)) for x in xs]
    rounds = Rounds(constants, carry, N, reverse)
    found = bound(lambda *n: [y._node for y in f(*map(Tensor, n))], inputs, rounds)
    return simplify(linearize(list(found), inputs)[0])


def both(tape: Tape, monkeypatch: Any) -> tuple[Program, Program]:
    """The program of *tape*, and the one whose loops run a step at a time."""
    tape = expanded(tape)
    fast = make_program(tape)
    monkeypatch.setattr(planning, "rolled", lambda item: None)
    slow = make_program(tape)
    monkeypatch.undo()
    return fast, slow


def kernels(program: Program) -> list[bool]:
    return [s.kernel is not None for s in program.steps if isinstance(s, Loop)]


def step_of_scalars(a: Any, c: Any, d: Any, x: Any) -> Any:
    new = ng.tanh(a * c - 3.25 * d) + ng.exp(-x) * ng.log(a)
    return new, ng.where(new > x, c, d / 3), new * d, new > x


def step_that_swaps(a: Any, c: Any, d: Any, x: Any) -> Any:
    return d, c, c * x, a


def step_of_arrays(a: Any, c: Any, d: Any, x: Any) -> Any:
    moved = ng.concatenate([c[1:], x[:1] * a]) + ng.roll(d.T[0], 1)
    grown = d * moved[:, None] + ng.linalg.outer(x, moved) / 8
    return moved, grown - grown[::-1] * 0.5, grown.sum(axis=0), moved.max() - (moved * x).sum()


def step_of_numbers(a: Any, c: Any, d: Any, x: Any) -> Any:
    return c * a + x, d & (c > x), (c % 5) * x, ng.where(d, x, -c)


def step_in_float32(a: Any, c: Any, d: Any, x: Any) -> Any:
    return ng.sin(c * a) + x / 3, d * 0.9 + c.astype(np.float64), c.mean(), x * x


SCALAR = [np.array(1.7), np.array(0.3), np.array(-0.6), RNG.normal(size=N)]
CASES: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "scalars": (step_of_scalars, SCALAR),
    "swap": (step_that_swaps, SCALAR),
    "arrays": (
        step_of_arrays,
        [np.array(0.4), RNG.normal(size=3), RNG.normal(size=(3, 3)), RNG.normal(size=(N, 3))],
    ),
    "numbers": (
        step_of_numbers,
        [np.array(3), np.array(2**40 + 1), np.array(True), RNG.integers(-9, 9, N)],
    ),
    "float32": (
        step_in_float32,
        [np.float32(1.3), np.ones(2, np.float32), np.ones(2), RNG.normal(size=(N, 2)).astype("f")],
    ),
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", list(CASES))
def test_bits_of_a_kernel_that_holds_the_loop(name: str, reverse: bool, monkeypatch: Any) -> None:
    f, xs = CASES[name]
    xs = [np.asarray(x) for x in xs]
    tape = loop(f, xs, 1, 2, reverse)
    fast, slow = both(tape, monkeypatch)
    assert kernels(fast) == [True] and kernels(slow) == [False]
    found, expected = CpuProgram(fast).run(xs), CpuProgram(slow).run(xs)
    reference = ReferenceProgram(tape).run(xs)
    for mine, its, reference_ in zip(found, expected, reference, strict=True):
        assert_array_equal(mine, its)
        tolerance = 1e-5 if mine.dtype == np.float32 or name == "float32" else 1e-12
        assert_allclose(mine, reference_, rtol=tolerance)
    again = CpuProgram(fast, "block").run(xs)
    for mine, its in zip(again, reference, strict=True):
        assert_allclose(mine, its, rtol=1e-5)


@pytest.mark.parametrize("name", ["scalars", "swap", "arrays"])
def test_bits_of_the_way_back(name: str, monkeypatch: Any) -> None:
    f, xs = CASES[name]
    inputs = [placeholder(make_aval(np.shape(x), np.asarray(x).dtype)) for x in xs]

    def loss(*tensors: Any) -> Any:
        nodes = [t._node for t in tensors]
        rounds = Rounds(1, 2, N, False)
        outs = bound(lambda *n: [y._node for y in f(*map(Tensor, n))[:3]], nodes, rounds)
        return sum((Tensor(y) ** 2).sum() for y in outs)

    gradients = ng.grad(loss, range(4))(*map(Tensor, inputs))
    tape = simplify(linearize([g._node for g in gradients], inputs)[0])
    fast, slow = both(tape, monkeypatch)
    assert all(kernels(fast)) and len(kernels(fast)) >= 2
    for mine, its in zip(CpuProgram(fast).run(xs), CpuProgram(slow).run(xs), strict=True):
        assert_array_equal(mine, its)


def test_what_is_no_kernel_of_scalars() -> None:
    """Products by BLAS, arrays of more than a few elements, more statements than one should have."""
    large = RNG.normal(size=(N, 100))

    def wide(c: Any, x: Any) -> Any:
        return c + x, c

    def product(c: Any, x: Any) -> Any:
        return c @ c, x

    def long(c: Any, x: Any) -> Any:
        for _ in range(600):
            c = ng.sin(c) * x
        return c, x

    cases: list[Any] = [(wide, large[0], large), (product, np.ones((8, 8)), np.ones(N))]
    for f, init, xs in [*cases, (long, np.ones(()), np.ones(N))]:
        nodes = [placeholder(make_aval(np.shape(x), np.dtype(float))) for x in (init, xs)]
        outs = scan(f, Tensor(nodes[0]), Tensor(nodes[1]))
        program = make_program(linearize([y._node for y in outs], nodes)[0])
        assert kernels(program) == [False]
    program = make_program(loop(step_of_scalars, SCALAR, 1, 2, False))
    assert "for at in range(n):" in program.source()


def test_a_long_loop_is_compiled_before_its_first_run() -> None:
    """Thousands of rounds in Python take longer than the compiler; a few do not."""

    def tape_of(count: int) -> Tape:
        nodes = [placeholder(make_aval(s, np.dtype(float))) for s in ((), (count,))]
        last, _ = ng.scan(lambda c, x: (ng.sin(c) + x, c), *map(Tensor, nodes))
        return linearize([last._node], nodes)[0]

    assert Work(tape_of(1000)).equations == 1 + 2 * 1000
    assert isinstance(Executable(tape_of(3))._choose(), ReferenceProgram)
    assert isinstance(Executable(tape_of(100_000))._choose(), CpuProgram)
