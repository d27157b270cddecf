"""Sums that only a multiple of what may be zero reads: they are summed where it is not.

The maximum of a row that is taken out of a softmax's exponentials gets back what their sum leaves of one: in
most rows nothing, else what was rounded. Ties share it, so they are counted, in all rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Final

from nbgrad.core.tape import Equation, Var
from nbgrad.ops.basis import broadcast_to, reshape
from nbgrad.ops.elements.comparison import not_equal
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.algebra import TOTAL, signs_of, zeros_of
from nbgrad.ops.kinds.cotangents import reduced_shape
from nbgrad.ops.kinds.forms import index_map
from nbgrad.program.recorded import recorded

STEPS: Final = 8  # from a sum to the product that reads it
LONG: Final = 64  # elements of a row that are worth a loop of their own, which may be left out


def needed(
    eqns: Sequence[Equation], outputs: Collection[Any], taken_off: Collection[Any]
) -> list[Equation]:
    """*eqns* with such sums behind the factor, which is something less one of *taken_off*."""
    made = {out: eqn for eqn in eqns for out in eqn.outs}
    readers = defaultdict(list)
    for eqn in eqns:
        for a in dict.fromkeys(eqn.inputs):
            readers[a].append(eqn)
    found: dict[Equation, list[Equation]] = {}
    moved: set[Equation] = set()
    for eqn in eqns:
        if zeros_of(eqn.sig.prim) == (0,) and _left(eqn.inputs[0], made, taken_off):
            chain = _chain(eqn, made, readers, outputs)
            if chain and chain[0].out.aval.size == eqn.inputs[0].aval.size:  # type: ignore[union-attr]
                found[eqn] = [*_where_not_zero(chain[0], eqn.inputs[0]), *chain[1:]]
                moved.update(chain)
    rows = ((*found.get(eqn, ()), eqn) for eqn in eqns if eqn not in moved)
    return [eqn for row in rows for eqn in row]


def _left(atom: Any, made: dict[Any, Equation], taken_off: Collection[Any]) -> bool:
    """Whether *atom* is what is left of something, one of *taken_off* having been added."""
    eqn = made.get(atom)
    if eqn is None or len(signs_of(eqn.prim)) < 2:
        return False
    left = [a for a in eqn.inputs if isinstance(a, Var)]
    while left:
        atom = left.pop()
        if atom in taken_off:
            return True
        if atom in made and index_map(made[atom].prim) == "reshape":
            left.append(made[atom].inputs[0])  # type: ignore[arg-type]
    return False


def _chain(
    eqn: Equation, made: dict[Any, Equation], readers: Any, outputs: Collection[Any]
) -> list[Equation]:
    """A sum, and what makes the second factor of a product of it, element by element, for nobody else."""
    found: list[Equation] = []
    reader, atom = eqn, eqn.inputs[1]
    while len(found) < STEPS and (e := made.get(atom)) and atom not in outputs:
        if readers[atom] != [reader]:
            return []
        found.append(e)
        if e.prim.algebra is TOTAL:
            return found[::-1] if _of_long_rows(e) else []
        operands = [a for a in e.inputs if isinstance(a, Var)]
        kept = e.prim.kind == "elementwise" or index_map(e.prim) == "reshape"
        if not kept or len(operands) != 1 or operands[0].weak:
            return []
        reader, atom = e, operands[0]
    return []


def _of_long_rows(eqn: Equation) -> bool:
    """Whether a sum is one of elements that follow one another: else each vector has zeros and others."""
    shape = eqn.inputs[0].aval.shape  # type: ignore[union-attr]
    return len(shape) - 1 in eqn.params["axis"] and shape[-1] >= LONG


def _where_not_zero(eqn: Equation, factor: Any) -> list[Equation]:
    """The equations of a sum of zeros where *factor* is zero."""
    x, axis, keepdims = eqn.inputs[0], eqn.params["axis"], eqn.params["keepdims"]

    def make(x: Any, factor: Any) -> Any:
        row = reshape(factor, shape=reduced_shape(x.shape, axis, True))
        read = broadcast_to(not_equal(row, 0), shape=x.shape)
        return eqn.prim(where(read, x, 0), axis=axis, keepdims=keepdims)

    return recorded(make, [x, factor], eqn.line, eqn.outs)[0]
