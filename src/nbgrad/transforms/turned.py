"""Results that are read only with their last two dimensions exchanged, computed that way.

The cotangent of a transposed matrix is a product, transposed: computed as the product of the
transposed operands, in the other order, it lies in memory as it is wanted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.tape import Atom, Equation, Var
from nbgrad.ops.kinds.forms import exchanges


def turned(eqns: list[Equation], outputs: Sequence[Atom]) -> list[Equation]:
    """*eqns*, all of which *outputs* need, with such results computed exchanged.

    What these were computed of is read by nobody then.
    """
    signatures = {eqn.sig for eqn in eqns}
    able = {sig for sig in signatures if getattr(sig.prim.lower, "turned", None) is not None}
    exchanging = {sig for sig in signatures if exchanges(sig)} if able else ()
    if not exchanging:
        return eqns
    reads = Counter(a for eqn in eqns for a in eqn.inputs) + Counter(outputs)
    made: dict[Any, Equation] = {}
    found: list[Equation] = []
    for eqn in eqns:
        source = made.get(eqn.inputs[0]) if eqn.sig in exchanging else None
        if source is not None and reads[eqn.inputs[0]] == 1:
            found += _written(source, eqn)
            made[eqn.out] = found[-1]
        else:
            found.append(eqn)
            if eqn.sig in able:
                made[eqn.out] = eqn
    return found


def _written(source: Equation, exchange: Equation) -> list[Equation]:
    """The equations of what *exchange* makes of the result of *source*."""
    nodes = [placeholder(a.aval) for a in source.inputs if a.__class__ is Var]
    tape, _ = linearize([source.sig.prim.lower.turned(*nodes)], nodes)
    now: dict[Any, Any] = dict(zip(tape.inputs, source.inputs, strict=True))
    now[tape.outputs[0]] = exchange.out
    return [
        Equation(
            e.sig,
            tuple([now.get(a, a) for a in e.inputs]),
            tuple([now.get(a, a) for a in e.outs]),
            exchange.line,
        )
        for e in tape.eqns
    ]
