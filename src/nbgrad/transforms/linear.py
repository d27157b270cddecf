"""The part of a tape that depends on some inputs: what is linear in tangents or in cotangents.

What it reads of the rest becomes its operands. So a derivative is computed once as far as it can be
before a direction is known, and the linear part is used for one direction after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nbgrad.core.check import checked
from nbgrad.core.tape import Atom, Equation, Tape, Var


def computed_of(tape: Tape, wrt: Collection[Var]) -> set[Var]:
    """The variables that *wrt* influence, differentiably or not, *wrt* included."""
    reached = set(wrt)
    for eqn in tape.eqns:
        if not reached.isdisjoint(eqn.inputs) or not reached.isdisjoint(eqn.outs):
            reached.update(eqn.outs)
    return reached


def depending(tape: Tape, wrt: Sequence[Var]) -> tuple[Tape, list[Var]]:
    """Return the tape of what depends on *wrt*, and the variables that it takes after these.

    Parameters
    ----------
    tape : Tape
    wrt : sequence of Var
        Inputs of *tape*, the first inputs of the new one.
    """
    reached = computed_of(tape, wrt)
    needed = {a for a in tape.outputs if isinstance(a, Var)}
    eqns = []
    for eqn in reversed(tape.eqns):
        if not reached.isdisjoint(eqn.outs) and not needed.isdisjoint(eqn.outs):
            eqns.append(eqn)
            needed.update([a for a in eqn.inputs if isinstance(a, Var)])
    eqns.reverse()
    reads = [a for eqn in eqns for a in eqn.inputs]
    others = [a for a in (*reads, *tape.outputs) if isinstance(a, Var) and a not in reached]
    held = list(dict.fromkeys(others))
    return checked(Tape((*wrt, *held), tuple(eqns), tape.outputs)), held


def undetached(tape: Tape) -> Tape:
    """*tape*, of a function that is linear in what it takes first, without its cuts of gradients.

    What a rule of the user's gives may have been detached, as a value; the function is linear all the same.
    """
    now: dict[Atom, Atom] = {}
    eqns = []
    for eqn in tape.eqns:
        xs = tuple([now.get(a, a) for a in eqn.inputs])
        prim, x = eqn.sig.prim, xs[0] if xs else None
        if prim.alias and prim.vjp is None and isinstance(x, Var) and x.aval is eqn.outs[0].aval:
            now[eqn.outs[0]] = x
        else:
            eqns.append(Equation(eqn.sig, xs, eqn.outs, eqn.line))
    return checked(Tape(tape.inputs, tuple(eqns), tuple([now.get(a, a) for a in tape.outputs])))
