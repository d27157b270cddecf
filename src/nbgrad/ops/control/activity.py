"""Which operands and results of a body a derivative passes through: bits for each, to a fixed point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbgrad.core.tape import Tape
from nbgrad.ops.kinds.forms import Rounds

Flags = list[bool]


def moved_by(tape: Tape, inputs: Sequence[bool]) -> Flags:
    """Which outputs depend differentiably on the inputs that are marked."""
    active: set[Any] = {v for v, on in zip(tape.inputs, inputs, strict=True) if on}
    for eqn in tape.eqns:
        if eqn.sig.differentiable and not active.isdisjoint(eqn.inputs):
            active.update([out for out in eqn.outs if out.aval.inexact])
    return [a in active for a in tape.outputs]


def leading_to(tape: Tape, outputs: Sequence[bool]) -> Flags:
    """Which inputs the outputs that are marked depend on differentiably."""
    needed: set[Any] = {a for a, on in zip(tape.outputs, outputs, strict=True) if on}
    for eqn in reversed(tape.eqns):
        if eqn.sig.differentiable and not needed.isdisjoint(eqn.outs):
            needed.update(eqn.inputs)
    return [v in needed for v in tape.inputs]


def carried(tape: Tape, rounds: Rounds, inputs: Sequence[bool]) -> tuple[Flags, Flags]:
    """Which inputs and outputs of a loop's body depend on the operands that are marked."""
    n, rows = rounds.constants, rounds.constants + rounds.carry
    given = [on and v.aval.inexact for on, v in zip(inputs, tape.inputs, strict=True)]
    while True:
        found = moved_by(tape, given)
        carry = [a or b for a, b in zip(given[n:rows], found[: rounds.carry], strict=True)]
        if carry == given[n:rows]:
            return given, found
        given[n:rows] = carry


def carried_back(tape: Tape, rounds: Rounds, outputs: Sequence[bool]) -> tuple[Flags, Flags]:
    """Which inputs and outputs of a loop's body the results that are marked depend on."""
    n, c = rounds.constants, rounds.carry
    asked = list(outputs)
    while True:
        found = leading_to(tape, asked)
        carry = [a or b for a, b in zip(asked[:c], found[n : n + c], strict=True)]
        if carry == asked[:c]:
            return found, asked
        asked[:c] = carry
