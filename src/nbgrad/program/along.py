"""Where one dimension of an array goes: which equations keep it, sum over it, or make it by a broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbgrad.core.node import Node
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.ops import axes
from nbgrad.ops.axes import Lost


class Along:
    """Where the dimension is in the variables of a tape, from the operand that has it.

    ``axis`` has the variables in which it is, ``inside`` the results that are computed part by part, ``sums``
    those that are sums over all parts. What reads it otherwise is neither.
    """

    def __init__(self, tape: Tape, var: Var, at: int) -> None:
        self.tape = tape
        self.size = var.aval.shape[at]
        self.made = {out: eqn for eqn in tape.eqns for out in eqn.outs}
        self.axis: dict[Any, int] = {var: at}
        self.inside: set[Any] = set()
        self.sums: set[Any] = set()
        known = 0
        while known != len(self.axis):  # what an operand must be may bring others along
            known = len(self.axis)
            for eqn in tape.eqns:
                if any(a in self.axis for a in eqn.inputs):
                    self._forward(eqn)
        self._verify()

    def _verify(self) -> None:
        """What is found later may contradict what was found."""
        for eqn in self.tape.eqns:
            there, out = [self.axis.get(a) for a in eqn.inputs], eqn.out
            if out in self.inside and there != _operands(eqn, self.axis[out]):
                raise Lost
            if out not in self.sums:
                continue
            if out in self.axis or not axes.is_sum(eqn.sig, _avals(eqn), out.aval, there):
                raise Lost

    def _put(self, var: Any, at: axes.Axis) -> None:
        """Say that *var* has it there, and so what it is computed of."""
        if at is None or var.__class__ is not Var:
            return
        if self.axis.setdefault(var, at) != at or var.aval.shape[at] != self.size:
            raise Lost
        eqn = self.made.get(var)
        if eqn is None or var in self.inside:
            return
        found = _operands(eqn, at)
        if found is not None:
            self.inside.add(var)
            for x, axis in zip(eqn.inputs, found, strict=True):
                self._put(x, axis)

    def _forward(self, eqn: Equation) -> None:
        there = [self.axis.get(a) for a in eqn.inputs]
        try:
            if len(eqn.outs) != 1:
                raise Lost
            found = axes.result(eqn.sig, _avals(eqn), eqn.out.aval, there)
        except Lost:
            return  # reads all of it
        if found is not None:
            self._put(eqn.out, found)
            return
        self.sums.add(eqn.out)
        for x, axis in zip(eqn.inputs, axes.summed(eqn.sig, eqn.out.aval), strict=False):
            self._put(x, axis)


def _avals(eqn: Equation) -> axes.Avals:
    return [a.aval if a.__class__ is Var else None for a in eqn.inputs]


def _operands(eqn: Equation, at: int) -> list[axes.Axis] | None:
    """Where it is in the operands of *eqn*, in whose result it is at *at*; None if nobody knows."""
    if len(eqn.outs) != 1:
        return None
    return axes.operands(eqn.sig, _avals(eqn), eqn.out.aval, at)


def resized(eqn: Equation, xs: Sequence[Any], at: axes.Axis, size: int) -> Node:
    """*eqn* on parts of its operands: its result is of *size* at *at*, or a sum, or its part of a mean, over so many."""
    first = _avals(eqn)[0] if eqn.inputs else None
    return axes.resized(eqn.sig, first, xs, at, size)
