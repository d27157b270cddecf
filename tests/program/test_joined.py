"""Loops of a tape are made fewer and smaller before they are planned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from golden_programs import trace
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.backends.cpu.program import CpuProgram
from nbgrad.backends.reference import ReferenceProgram
from nbgrad.core.tape import Tape
from nbgrad.program.joined import joined
from nbgrad.program.program import make_program

XS = np.linspace(0.2, 1.0, 9)


def loss(a: Any, b: Any, c0: Any, xs: Any) -> Any:
    def step(c: Any, x: Any) -> Any:
        return (ng.tanh(a * c[0] + x), c[1] * b + c[0]), (c[0] * x, c[1] - x)

    (c, d), (ys, zs) = ng.scan(step, (c0, c0 / 3), xs)
    return c + d + (ys**2).sum() + zs[3]


def loops(tape: Tape) -> list[Any]:
    return [eqn for eqn in tape.eqns if eqn.prim.name == "scan"]


def same_results(tape: Tape, args: list[Any]) -> None:
    expected = ReferenceProgram(tape).run(args)
    for found in (
        ReferenceProgram(joined(tape)).run(args),
        CpuProgram(make_program(tape)).run(args),
    ):
        for mine, its in zip(found, expected, strict=True):
            assert_allclose(mine, its, rtol=1e-12)


def test_value_and_gradient_are_one_loop_forward_and_one_back() -> None:
    def both(*args: Any) -> Any:
        value, found = ng.value_and_grad(loss, range(4))(*args)
        return [value, *found]

    tape = trace(both, (), (), (), XS.shape)
    assert len(loops(tape)) == 3 and len(loops(joined(tape))) == 2
    same_results(tape, [np.array(0.3), np.array(0.9), np.array(-0.2), XS])


@pytest.mark.parametrize("wanted", [0, 1, 2, 3])
def test_what_nobody_reads_is_not_computed(wanted: int) -> None:
    """One of the results: of two parts of the carry only the one it depends on goes round."""

    def step(c: Any, x: Any) -> Any:
        return (c[0] * x, ng.sin(c[1]) + c[0] / 7), (c[0] + x, c[1] - x)

    def one(c0: Any, xs: Any) -> Any:
        (c, d), (ys, zs) = ng.scan(step, (c0, c0 * 2), xs)
        return [(c, d, ys, zs)[wanted]]

    tape = trace(one, (), XS.shape)
    (found,) = loops(joined(tape))
    assert found.params["rounds"].carry == (1, 2, 1, 2)[wanted]
    assert len(found.outs) == (1, 2, 2, 3)[wanted]
    same_results(tape, [np.array(0.7), XS])


def test_loops_that_carry_otherwise_stay_two() -> None:
    def two(c0: Any, xs: Any) -> Any:
        first, ys = ng.scan(lambda c, x: (c * x, c), c0, xs)
        second, zs = ng.scan(lambda c, x: (c + x, c), c0, xs)
        third, ws = ng.scan(lambda c, x: (c * x, c - 1), c0, xs)
        back, _ = ng.scan(lambda c, x: (c * x, c), c0, xs, reverse=True)
        return [first, ys, second, zs, third, ws, back]

    tape = trace(two, (), XS.shape)
    assert len(loops(tape)) == 4 and len(loops(joined(tape))) == 3
    same_results(tape, [np.array(0.7), XS])
