"""Sums of what is a multiple, along all that is summed, of what another sum is of: a multiple of that sum.

What a softmax gives back, 1 / sum(e) * e, is summed again on the way to the maximum that was taken out. That
is a pass over all elements, and keeps those in memory, for a number a row.
"""

from __future__ import annotations

from typing import Any, Final

from nbgrad.core.tape import Equation, Tape, Var, living
from nbgrad.ops.basis import reshape
from nbgrad.ops.kinds.algebra import TOTAL, signs_of, zeros_of
from nbgrad.ops.kinds.cotangents import reduced_shape
from nbgrad.ops.kinds.forms import index_map
from nbgrad.program.needed import needed
from nbgrad.program.recorded import recorded

NEAR: Final = 16  # values of which the factor may be made
Known = dict[tuple[Any, tuple[int, ...]], Var]


def scaled(tape: Tape) -> Tape:
    """*tape* with such sums as products."""
    if sum(eqn.sig.prim.algebra is TOTAL for eqn in tape.eqns) < 2:
        return tape
    made = {eqn.out: eqn for eqn in tape.eqns}
    known: Known = {}
    eqns, taken_off = list[Equation](), set[Any]()
    for eqn in tape.eqns:
        if eqn.sig.prim.algebra is TOTAL and eqn.out.aval.inexact:
            found = _product(eqn, made, known)
            if found is not None:
                eqns += found
                taken_off.add(eqn.out)
                continue
            known.setdefault((eqn.inputs[0], eqn.params["axis"]), eqn.out)
        eqns.append(eqn)
    if not taken_off:
        return tape
    eqns = needed(living(eqns, tape.outputs), tape.outputs, taken_off)
    return Tape(tape.inputs, tuple(eqns), tape.outputs)


def _product(eqn: Equation, made: dict[Any, Equation], known: Known) -> list[Equation] | None:
    """The equations of a sum as a factor times a sum that is *known*, if it is that."""
    atom, axis, minus = eqn.inputs[0], eqn.params["axis"], False
    while (e := made.get(atom)) is not None and signs_of(e.prim) == (-1,):
        atom, minus = e.inputs[0], not minus
    # Zero where its first operand is: so is the sum, whatever the others are.
    if e is None or zeros_of(e.prim) != (0,) or not axis:
        return None
    total = known.get((e.inputs[1], axis))
    factor = _constant(e.inputs[0], axis, made)
    if total is None or factor is None or not _depends(factor, total, made):
        return None
    shape = e.out.aval.shape
    kept = reduced_shape(shape, axis, True)

    def make(k: Any, total: Any) -> Any:
        k = reshape(k, shape=(1,) * (len(shape) - k.ndim) + k.shape)
        found = e.prim(k, reshape(total, shape=kept))
        return reshape(-found if minus else found, shape=eqn.out.aval.shape)

    return recorded(make, [factor, total], eqn.line, eqn.outs)[0]


def _depends(factor: Var, total: Var, made: dict[Any, Equation]) -> bool:
    """Whether the factor is made of the sum: if that is too large to be a number, so it is for what was given."""
    left, seen = [factor], {factor}
    while left and len(seen) < NEAR:
        atom = left.pop()
        if atom is total:
            return True
        operands = made[atom].inputs if atom in made else ()
        new = [a for a in operands if isinstance(a, Var) and a not in seen]
        seen.update(new)
        left += new
    return False


def _constant(atom: Any, axis: tuple[int, ...], made: dict[Any, Equation]) -> Any:
    """What *atom* is copies of along *axis*, if it is such."""
    e = made.get(atom)
    if e is None or index_map(e.prim) != "broadcast_to" or not isinstance(x := e.inputs[0], Var):
        return None
    lead = e.out.aval.ndim - x.aval.ndim
    same = all(k < lead or x.aval.shape[k - lead] == 1 for k in axis)
    return x if same and x.aval.dtype == e.out.aval.dtype and not x.weak else None
