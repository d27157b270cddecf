"""A loop as one kernel: what a step computes are scalars, those of a small array one by one.

The carry stays in registers, rows of stacks are read and written as the loop goes, and what is the
same in every step is computed before it. Each statement is that of the nest which a step run by
itself would have, in the same order, so both give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nbgrad.core.tape import Var
from nbgrad.program.loops import Round
from nbgrad.program.scalars import MAX_ELEMENTS, MAX_STATEMENTS, NotScalar, Step
from nbgrad.program.steps import define
from nbgrad.program.text import Emitted, Number, Pointer
from nbgrad.program.values import CODES


def rolled(item: Round) -> Emitted | None:
    """The loop *item* as one kernel, or None if a step is more than scalars and small arrays."""
    sizes = [v.aval.size for v in item.tape.inputs[item.rounds.constants :]]
    if max(sizes, default=0) > MAX_ELEMENTS or len(item.tape) > MAX_STATEMENTS:
        return None
    try:
        return _Writer(item).emitted()
    except NotScalar:
        return None


class _Writer:
    """Writes the text of one loop."""

    def __init__(self, item: Round) -> None:
        self.item = item
        self.step = step = Step()
        step.param("n", "i8", Number(item.rounds.count))
        self.operands()
        for eqn in item.tape.eqns:
            define(step, eqn)
        self.results = [step.read(a, a.aval.dtype).ravel().tolist() for a in _vars(item)]

    def operands(self) -> None:
        rounds, step = self.item.rounds, self.step
        first, last = rounds.constants, rounds.constants + rounds.carry
        pairs = zip(self.item.eqn.inputs, self.item.tape.inputs, strict=True)
        self.start: list[tuple[str, str]] = []
        for k, (operand, var) in enumerate(pairs):
            assert isinstance(operand, Var)
            aval = var.aval
            if aval.dtype not in CODES or not aval.size:
                raise NotScalar
            code, elements = CODES[aval.dtype], range(aval.size)
            name = step.param(f"x{k}", f"{code}*", Pointer(operand, 0))
            if k < first:
                step.tables[var] = name
                if aval.size > MAX_ELEMENTS:
                    continue
            if first <= k < last:
                texts = [_state(k - first, aval.size, e) for e in elements]
                self.start += [(text, f"{name}[{e}]") for e, text in enumerate(texts)]
            elif k < first:
                texts = [f"{name}[{e}]" for e in elements]
            else:
                texts = [f"{name}[{_place(aval.size, e)}]" for e in elements]
            numbers = [step.add(t, (), code, k >= first, first <= k < last) for t in texts]
            step.env[var] = np.array(numbers, np.int64).reshape(aval.shape)

    def emitted(self) -> Emitted:
        step, rounds, kernel = self.step, self.item.rounds, self.step.kernel
        used = step.used(k for row in self.results for k in row)
        step.bound(used)
        before = list(step.statements(used, False))
        inside = list(step.statements(used, True))
        for k, out in enumerate(self.item.eqn.outs):
            step.param(f"y{k}", f"{CODES[out.aval.dtype]}*", Pointer(out, 0))
        order = "range(n - 1, -1, -1)" if rounds.reverse else "range(n)"
        carried = [k for row in self.results[: rounds.carry] for k in row]
        body = [*inside, *self.rows(), *step.moves([name for name, _ in self.start], carried)]
        lines = [
            *before,
            *(f"{name} = {text}" for name, text in self.start),
            f"for at in {order}:",
            *(f"    {line}" for line in body),
            *self.ends(),
        ]
        return kernel.emitted(f"loop_{len(inside)}", lines)

    def rows(self) -> Iterator[str]:
        carry = self.item.rounds.carry
        for k, row in enumerate(self.results[carry:], carry):
            for e, number in enumerate(row):
                yield f"y{k}[{_place(len(row), e)}] = {self.step.name(number)}"

    def ends(self) -> Iterator[str]:
        names = iter([name for name, _ in self.start])
        for k, row in enumerate(self.results[: self.item.rounds.carry]):
            for e, _ in enumerate(row):
                yield f"y{k}[{e}] = {next(names)}"


def _vars(item: Round) -> list[Var]:
    return [a for a in item.tape.outputs if isinstance(a, Var)]


def _place(size: int, element: int) -> str:
    row = "at" if size == 1 else f"at * {size}"
    return f"{row} + {element}" if element else row


def _state(part: int, size: int, element: int) -> str:
    return f"s{part}_{element}" if size > 1 else f"s{part}"
