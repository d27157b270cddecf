"""Sums over the rows of a product of matrices, which are the product of a sum of rows.

The gradient of what is subtracted from all points is such a sum: computed first, the product is an array
as large as the points, which is written and read for nothing else.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from nbgrad.core.tape import Equation, Tape, Var, living
from nbgrad.ops.basis import reshape
from nbgrad.ops.kinds.algebra import MATRIX_PRODUCT, TOTAL, signs_of
from nbgrad.program.recorded import recorded

MAX_TERMS = 16


def pushed(tape: Tape) -> Tape:
    """*tape* with such sums taken before the product, where nothing else reads that."""
    if not any(eqn.sig.prim.algebra is MATRIX_PRODUCT for eqn in tape.eqns):
        return tape
    reads = Counter(a for eqn in tape.eqns for a in eqn.inputs) + Counter(tape.outputs)
    made = {eqn.out: eqn for eqn in tape.eqns if eqn.sig.prim.algebra is not None}
    eqns, before = list[Equation](), len(tape.eqns)
    for eqn in tape.eqns:
        axis = _axis(eqn)
        found = None if axis is None else _sum(eqn, axis, made, reads)
        eqns += found or [eqn]
    if len(eqns) == before:
        return tape
    return Tape(tape.inputs, tuple(living(eqns, tape.outputs)), tape.outputs)


def _axis(eqn: Equation) -> int | None:
    """The one axis, rows or columns, of a sum of matrices."""
    if eqn.sig.prim.algebra is not TOTAL or len(eqn.params["axis"]) != 1:
        return None
    x, axis = eqn.inputs[0], eqn.params["axis"][0]
    return axis if isinstance(x, Var) and 0 <= x.aval.ndim - 1 - axis <= 1 < x.aval.ndim else None


def _sum(
    eqn: Equation, axis: int, made: dict[Any, Equation], reads: Counter[Any]
) -> list[Equation] | None:
    """The equations of the sum of each term; None if none is a product that is read here alone."""
    terms: list[tuple[Any, bool]] = []
    left: list[tuple[Any, bool]] = [(eqn.inputs[0], False)]
    products, shape = 0, eqn.inputs[0].aval.shape  # type: ignore[union-attr]
    while left:
        atom, minus = left.pop()
        e = made.get(atom) if reads[atom] == 1 else None
        if e is None or any(not isinstance(a, Var) or a.aval.ndim < 2 for a in e.inputs):
            terms.append((atom, minus))
        elif e.prim.algebra is MATRIX_PRODUCT:
            terms.append((e, minus))
            products += shape[axis] > 1
        elif not (signs := signs_of(e.prim)) or any(a.aval.shape != shape for a in e.inputs):  # type: ignore[union-attr]
            terms.append((atom, minus))
        else:
            left += [(a, minus is not (s < 0)) for a, s in zip(e.inputs, signs, strict=True)]
        if len(terms) + len(left) > MAX_TERMS:
            return None
    return _written(eqn, axis, terms) if products else None


def _written(eqn: Equation, axis: int, terms: list[tuple[Any, bool]]) -> list[Equation]:
    atoms = [
        a for term, _ in terms for a in (term.inputs if isinstance(term, Equation) else (term,))
    ]
    keep = {"axis": (axis,), "keepdims": True}

    def make(*nodes: Any) -> Any:
        given, total = iter(nodes), None
        for term, minus in terms:
            if not isinstance(term, Equation):
                part = eqn.prim(next(given), **keep)
            else:
                a, b = next(given), next(given)
                rows = axis == a.ndim - 2
                a, b = (eqn.prim(a, **keep), b) if rows else (a, eqn.prim(b, **keep))
                part = term.prim(a, b)
            part = -part if minus else part
            total = part if total is None else total + part
        return reshape(total, shape=eqn.out.aval.shape)

    return recorded(make, atoms, eqn.line, eqn.outs)[0]
