"""Numbers of 16 bits on a card are stored as such, and computed with as float32: as NumPy does it.

Each operation on them becomes one on float32 between casts, whose result is rounded as NumPy's is. What only moves
elements stays; a sum is one of float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.primitive import bind
from nbgrad.core.tape import Equation, Literal, Tape, Var
from nbgrad.ops.basis import cast
from nbgrad.ops.kinds.forms import Combine, Expression

HALF, SINGLE = np.dtype(np.float16), np.dtype(np.float32)


def widened(tape: Tape) -> Tape:
    """*tape*, with operations on float16 computed in float32."""
    eqns: list[Equation] = []
    for eqn in tape.eqns:
        eqns += _in_single(eqn) if _computes(eqn) else (eqn,)
    return Tape(tape.inputs, tuple(eqns), tape.outputs) if len(eqns) > len(tape.eqns) else tape


def _computes(eqn: Equation) -> bool:
    lower = eqn.prim.lower
    computing = isinstance(lower, Combine) or (isinstance(lower, Expression) and lower.text)
    if not computing or eqn.prim.structural:
        return False
    return HALF in (eqn.out.aval.dtype, *[_dtype(a) for a in eqn.inputs])


def _dtype(atom: Any) -> Any:
    return atom.aval.dtype if isinstance(atom, Var) else None


def _in_single(eqn: Equation) -> list[Equation]:
    """The equations in place of *eqn*; itself, if it gives no float32 then."""
    nodes = [placeholder(a.aval) for a in eqn.inputs if isinstance(a, Var)]
    given = iter(nodes)
    xs = [_wide(a if isinstance(a, Literal) else next(given)) for a in eqn.inputs]
    y = bind(eqn.prim, *xs, **eqn.params)
    out = eqn.out.aval
    if out.dtype == HALF and y.dtype == SINGLE:
        y = cast(y, dtype=HALF)
    if (y.dtype, y.shape) != (out.dtype, out.shape):
        return [eqn]
    tape, constants = linearize([y], nodes)
    if constants or not tape.eqns:
        return [eqn]
    now: dict[Any, Any] = dict(
        zip(tape.inputs, [a for a in eqn.inputs if isinstance(a, Var)], strict=True)
    )
    now[tape.outputs[0]] = eqn.out
    return [
        Equation(
            e.sig,
            tuple([now.get(a, a) for a in e.inputs]),
            tuple([now.get(a, a) for a in e.outs]),
            eqn.line,
        )
        for e in tape.eqns
    ]


def _wide(x: Node | Literal) -> Any:
    """An operand in float32; a number is rounded to 16 bits first."""
    if isinstance(x, Literal):
        return float(np.float16(x.value)) if isinstance(x.value, float) else x.value
    if x.aval.weak:
        return cast(cast(x, dtype=HALF), dtype=SINGLE)
    return cast(x, dtype=SINGLE) if x.dtype == HALF else x
