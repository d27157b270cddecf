"""What a loop carries: nested data whose shapes and dtypes its body keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.bodies import NUMBERS, Ran, boxed, leaves_of, names_of, nodes_of
from nbgrad.core.aval import Aval, make_aval, placed, weak_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.placing import moved, stays
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.core.tree import unflatten
from nbgrad.errors import CARRY_CHANGES, CARRY_NESTING
from nbgrad.ops.basis import cast, strong

MAX_PROMOTIONS = 3


class Carry:
    """What a loop carries: leaves with names, nested, whose Python numbers take the body's dtype."""

    def __init__(self, init: Any, where: str, name: str) -> None:
        self.where = where
        self.leaves, self.structure = leaves_of(init)
        self.names = names_of(self.structure, name)
        self.nodes = nodes_of(self.leaves, self.names, where)
        self.numbers = [x.__class__ in NUMBERS or n.aval.weak for x, n in self._pairs()]
        self.avals = [
            weak_aval(n.dtype) if number else n.aval
            for n, number in zip(self.nodes, self.numbers, strict=True)
        ]

    def _pairs(self) -> list[tuple[Any, Node]]:
        return list(zip(self.leaves, self.nodes, strict=True))

    def settled(self, trace: Callable[[Sequence[Aval]], tuple[Ran, Any]]) -> Ran:
        """What *trace* gives of the avals that the body keeps; the results as well, from then on.

        ``trace(avals)`` returns what ran and how the carry among its results is nested.
        """
        for _ in range(MAX_PROMOTIONS):
            found, structure = trace(self.avals)
            if structure != self.structure:
                given, out = self._nesting(self.structure), self._nesting(structure)
                raise TypeError(CARRY_NESTING.format(where=self.where, given=given, found=out))
            avals = [self._joined(k, out) for k, out in enumerate(found.avals[: len(self.avals)])]
            if avals == self.avals:
                break
            self.avals = avals
        self.nodes = [
            moved(cast(strong(n), dtype=a.dtype), a.device) if n.aval is not a else n
            for n, a in zip(self.nodes, self.avals, strict=True)
        ]
        return found

    def _nesting(self, structure: Any) -> Any:
        return unflatten(structure, names_of(structure, "*"))

    def _joined(self, k: int, out: Aval) -> Aval:
        """The aval of leaf *k*, of which the body makes *out*."""
        given = self.avals[k]
        if out is given:
            return given
        if self.numbers[k] and not out.shape:
            number = given.dtype.type(0).item() if given.weak else given.dtype
            dtype = np.result_type(out.dtype, number)
            return placed(make_aval((), dtype), out.device)  # type: ignore[no-any-return]
        there: Aval = placed(given, out.device)
        if given.device is None and there is out and not stays(self.nodes[k]):
            return there  # what was made of numbers alone goes where the loop is
        self.refuse(k, given, out)
        raise AssertionError

    def refuse(self, k: int, given: Aval, out: Aval) -> None:
        """Raise for leaf *k*."""
        name, fix = self.names[k], f"cast the new value, y.astype({given.dtype.name!r})"
        if given.shape != out.shape:
            fix = f"start with an array of shape {out.shape}, or return one of shape {given.shape}"
        elif np.result_type(given.dtype, out.dtype) == out.dtype:
            fix += f", or start with {out.dtype.name}"
        shown = repr(given)
        raise TypeError(
            CARRY_CHANGES.format(where=self.where, name=name, given=shown, found=out, fix=fix)
        )

    def rebuilt(self, nodes: Sequence[Node]) -> Any:
        return boxed(self.structure, nodes)


def casted(tape: Tape, avals: Sequence[Aval]) -> Tape:
    """*tape* with its first outputs in the dtypes of *avals*."""
    eqns, outputs = list(tape.eqns), list(tape.outputs)
    for k, aval in enumerate(avals):
        var = outputs[k]
        if isinstance(var, Var) and var.aval is not aval:
            x = placeholder(var.aval)
            made = linearize([cast(x, dtype=aval.dtype)], [x])[0].eqns[0]
            eqns.append(Equation(made.sig, (var,), made.outs))
            outputs[k] = made.out
    return Tape(tape.inputs, tuple(eqns), tuple(outputs))
