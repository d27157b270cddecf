"""Steps within steps: what is written inside a loop or a branch has names of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.program.scalars import Elements, Step
from nbgrad.program.values import CODES

Define = Callable[[Step, Equation], None]
BOOL = np.dtype(bool)


class Scope:
    """The step of a loop or a branch within another step, and what it reads of that."""

    def __init__(self, outer: Step, args: list[int]) -> None:
        self.outer, self.args = outer, args
        self.step = Step(outer)
        self.known: dict[int, int] = {}

    def bring(self, x: Any, var: Var) -> Elements | None:
        """What *var* is within: the numbers of the operand *x* of the loop, which stay the same."""
        if x in self.outer.tables:
            self.step.tables[var] = self.outer.tables[x]
        if x not in self.outer.env:
            return None
        found = self.outer.read(x, var.aval.dtype)
        numbers = [self._brought(int(k)) for k in found.ravel()]
        return np.array(numbers, np.int64).reshape(var.aval.shape)

    def _brought(self, k: int) -> int:
        if k not in self.known:
            scalar = self.outer.scalars[k]
            self.args.append(k)
            self.known[k] = self.step.add(self.outer.name(k), (), scalar.code, False, True)
        return self.known[k]

    def state(self, name: str, aval: Any) -> Elements:
        """Names for the elements of what is another in each run."""
        size, code = aval.size, CODES[aval.dtype]
        texts = [
            f"{self.step.prefix}{name}_{e}" if size > 1 else f"{self.step.prefix}{name}"
            for e in range(size)
        ]
        numbers = [self.step.add(text, (), code, True, True) for text in texts]
        return np.array(numbers, np.int64).reshape(aval.shape)

    def enter(self, tape: Tape, given: Sequence[Elements | None], define: Define) -> None:
        """Define what *tape* computes of these inputs; one that is None is read by number."""
        step = self.step
        step.env.update({v: x for v, x in zip(tape.inputs, given, strict=True) if x is not None})
        for eqn in tape.eqns:
            define(step, eqn)

    def run(self, tape: Tape, given: Sequence[Elements | None], define: Define) -> list[Elements]:
        """The outputs of *tape*."""
        self.enter(tape, given, define)
        step = self.step
        return [step.read(a, a.aval.dtype if isinstance(a, Var) else BOOL) for a in tape.outputs]

    def names_of(self, rows: Iterable[Elements]) -> list[str]:
        return [self.step.name(k) for k in flat(rows)]


def flat(rows: Iterable[Elements]) -> list[int]:
    """The numbers of several arrays, one after another."""
    return [k for row in rows for k in row.ravel().tolist()]
