"""What else a kernel that holds a loop computes: rows by number, branches, loops of few rounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.backends.cpu.program import CpuProgram
from nbgrad.backends.reference import ReferenceProgram
from nbgrad.core.aval import make_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.tape import Tape
from nbgrad.program import program as planning
from nbgrad.program.loops import Loop
from nbgrad.program.program import Program, make_program
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.simplify import simplify

ARGS = [np.array(0.7), np.linspace(0.1, 2, 90), np.arange(90) % 7 - 3]


def elements(a: Any, t: Any, k: Any) -> Any:
    return ng.fori_loop(0, 80, lambda i, c: ng.sin(c * a + t[i]) * t[2 * i - 70], a * 0.5)


def rows(a: Any, t: Any, k: Any) -> Any:
    m, first = t.reshape(30, 3), k[1]

    def step(c: Any, i: Any) -> Any:
        row = m[-1 - i]
        return c * a + (row * row).sum() + c * row[1], (c, m[i + first])

    last, (ys, zs) = ng.scan(step, a, k * k)
    return last + ys.sum() + (zs * ys[:, None]).sum()


def ring(a: Any, t: Any, k: Any) -> Any:
    def step(c: Any, i: Any) -> Any:
        buffer, x = c
        y = ng.sin(buffer[i] * a + x)
        return (buffer.at[i].set(y), y), buffer[ng.stack([i, i + 1])]

    (buffer, x), ys = ng.scan(step, (t[:8], a), k)
    return buffer.sum() + x + (ys**2).sum()


def branches(a: Any, t: Any, k: Any) -> Any:
    def step(c: Any, given: Any) -> Any:
        x, i = given
        y = ng.cond(c > x, lambda c: c * a + x, lambda c: ng.exp(-c) * a, c)
        z = ng.switch(i, [lambda v: v, lambda v: v * v / 3, lambda v: ng.sin(v)], y)
        return z, y

    last, ys = ng.scan(step, a, (t, k))
    return last + (ys**2).sum()


def nested(a: Any, t: Any, k: Any) -> Any:
    def step(c: Any, x: Any) -> Any:
        inner = lambda d, y: (ng.tanh(d * a + y), d * y)
        d, ys = ng.scan(inner, c, ng.stack([x, x * 2, c]), reverse=True)
        return d, d * x + ys[1]

    last, ys = ng.scan(step, a, t)
    return last + ys.sum()


FUNCTIONS = [elements, rows, ring, branches, nested]


def traced(f: Callable[..., Any]) -> tuple[Tape, list[Any]]:
    """The tape of *f*, and its arguments."""
    inputs = [placeholder(make_aval(x.shape, x.dtype)) for x in ARGS]
    tape, captured = linearize([y._node for y in f(*map(Tensor, inputs))], inputs)
    return simplify(tape), [*ARGS, *(np.asarray(c.value) for c in captured)]  # type: ignore[attr-defined]


def kernels(program: Program) -> list[bool]:
    return [s.kernel is not None for s in program.steps if isinstance(s, Loop)]


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("back", [False, True], ids=["forward", "back"])
def test_steps_as_scalars(f: Any, back: bool, monkeypatch: Any) -> None:
    given = (lambda *args: ng.grad(f, (0, 1))(*args)) if back else (lambda *args: [f(*args)])
    tape, args = traced(given)
    program = make_program(tape)
    assert all(kernels(program)) and len(kernels(program)) == 1 + back
    monkeypatch.setattr(planning, "rolled", lambda item: None)
    slow = make_program(tape)
    found, expected = CpuProgram(program).run(args), CpuProgram(slow).run(args)
    reference = ReferenceProgram(tape).run(args)
    blocks = CpuProgram(program, "block").run(args)
    for mine, its, third, fourth in zip(found, expected, reference, blocks, strict=True):
        if kernels(slow):  # a step has no branch that Python takes
            assert_array_equal(mine, its)
        assert_allclose(mine, third, rtol=1e-10, atol=1e-13)
        assert_allclose(fourth, third, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_derivatives_of_such_steps(f: Any) -> None:
    a, eps = 0.7, 1e-6
    value = lambda a, t: f(a, ng.as_tensor(t), ng.tensor(ARGS[2]))
    with ng.configure(tier="fused"):
        slope = float(ng.grad(value)(a, ARGS[1]))
        expected = (float(value(a + eps, ARGS[1])) - float(value(a - eps, ARGS[1]))) / (2 * eps)
        assert_allclose(slope, expected, rtol=2e-6)


@pytest.mark.parametrize("index", [30, -31, 2**40])
def test_a_row_that_is_none_ends_the_loop(index: int) -> None:
    table = ng.tensor(np.arange(60.0).reshape(30, 2))
    total = lambda k: ng.scan(lambda c, i: (c + table[i].sum(), c), 0.0, k)[0]
    with ng.configure(tier="fused"):
        assert total(np.array([1, -30, 29])).item() == 5 + 1 + 117
        last = total(np.array([1, index, 2]))
        shown = min(index, 2**31 - 1)
        with pytest.raises(
            IndexError, match=f"index {shown} is out of bounds for axis 0 with size 30"
        ):
            last.item()
        assert total(np.array([0, 0, -1])).item() == 119


def test_a_branch_that_reads_by_number_runs_alone() -> None:
    """What is out of bounds in a branch that is not taken is no fault."""
    table = ng.tensor(np.arange(3.0))

    def step(c: Any, i: Any) -> Any:
        return ng.cond(i < 3, lambda c: c + table[i], lambda c: c * 2, c), None

    with ng.configure(tier="fused"):
        assert ng.scan(step, 1.0, np.array([2, 5, 1]))[0].item() == 7.0
