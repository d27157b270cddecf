"""Forward mode: the tape of tangents (Griewank and Walther 2008, chapter 3.1)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from nbgrad.core.aval import Aval
from nbgrad.core.check import checked
from nbgrad.core.interpret import Environment, read, replay, results_in, walk
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.tape import Equation, Literal, Tape, Var
from nbgrad.errors import NO_JVP
from nbgrad.ops.kinds.cotangents import is_number, materialize
from nbgrad.transforms.kinks import settled
from nbgrad.transforms.squares import recorded, unrooted


def push_forward(
    eqns: Sequence[Equation],
    env: Environment,
    tangents: dict[Var, Any],
    closed: Collection[Var] = (),
) -> dict[Var, Any]:
    """Run the JVP rules over *eqns*, recording nodes; return the tangents that are not zero.

    The tangents of the variables in *closed* are zero.
    """
    found = dict(tangents)
    eqns, added = unrooted(eqns, {*tangents, *closed}, env)
    eqns, env = settled(eqns, recorded(added, env))
    for eqn in eqns:
        if not eqn.sig.differentiable or all(out in closed for out in eqn.outs):
            continue
        ts = [found.get(a) if isinstance(a, Var) else None for a in eqn.inputs]
        if all(t is None for t in ts):
            continue
        if eqn.prim.jvp is None:
            raise NotImplementedError(NO_JVP.format(name=eqn.prim.name))
        xs = [read(env, a) for a in eqn.inputs]
        made = eqn.prim.jvp(ts, results_in(env, eqn), xs, eqn.params)
        for out, tangent in zip(eqn.outs, made if len(eqn.outs) > 1 else (made,), strict=True):
            if tangent is not None and out not in closed:
                found[out] = tangent if is_number(tangent) else spread(tangent, out.aval)
    return found


def spread(tangent: Node, aval: Aval) -> Node:
    """Broadcast a 0-d tangent of a 0-d operand to the shape of the result."""
    if tangent.ndim == 0 and aval.ndim:
        filled: Node = materialize(1.0, aval) * tangent
        return filled
    return materialize(tangent, aval)


def jvp(
    tape: Tape, wrt: Sequence[Var], *, closed: Collection[Var] = (), bound: Sequence[Var] = ()
) -> tuple[Tape, list[Node]]:
    """Return the tape of outputs and their tangents, and the constants that are its last inputs.

    Inputs of the new tape are those of *tape*, then the values of *bound*, then one tangent for each
    of *wrt*; outputs are those of *tape*, then their tangents.

    Parameters
    ----------
    tape : Tape
    wrt : sequence of Var
        Inputs or intermediate variables.
    closed : collection of Var
        What has no tangent.
    bound : sequence of Var
        Intermediate variables whose values are given.
    """
    args, given, directions = (
        [placeholder(v.aval) for v in each] for each in (tape.inputs, bound, wrt)
    )
    env = walk(tape, args, replay, dict(zip(bound, given, strict=True)))
    start = dict(zip(wrt, directions, strict=True))
    tangents = push_forward(tape.eqns, env, start, set(closed).difference(start))
    outs: list[Any] = [read(env, a) for a in tape.outputs]
    for atom in tape.outputs:
        if isinstance(atom, Literal):
            outs.append(0.0)
        else:
            outs.append(materialize(tangents.get(atom, 0.0), atom.aval))
    new, constants = linearize(outs, [*args, *given, *directions])
    return checked(new.with_weak_inputs_of(tape)), constants
