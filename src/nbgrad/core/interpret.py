"""The one equation loop: evaluating, replaying, lowering and checking are all this walk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nbgrad.core.node import Node
from nbgrad.core.record import record
from nbgrad.core.tape import Atom, Equation, Literal, Tape, Var

Environment = dict[Var, Any]


def read(env: Environment, atom: Atom) -> Any:
    """Return the value of a Var, or the Python scalar of a Literal."""
    return atom.value if isinstance(atom, Literal) else env[atom]


def walk(
    tape: Tape,
    args: Iterable[Any],
    apply: Callable[[Equation, list[Any]], Any],
    known: Environment | None = None,
) -> Environment:
    """Run *apply* over the equations in order and return every variable's value.

    ``known`` holds values of variables that are not to be computed again.
    """
    env: Environment = dict(zip(tape.inputs, args, strict=True))
    if known:
        env.update(known)
    for eqn in tape.eqns:
        if not known or eqn.out not in known:
            env[eqn.out] = apply(eqn, [read(env, a) for a in eqn.inputs])
    return env


def replay(eqn: Equation, xs: list[Any]) -> Node:
    """``apply`` that records the equation again on the nodes *xs*."""
    node = record(eqn.sig, tuple(xs))
    node.line = eqn.line
    return node


def evaluate(eqn: Equation, xs: list[Any]) -> Any:
    """``apply`` that computes the equation with its NumPy reference."""
    return eqn.sig.prim.evaluate(*xs, **eqn.sig.params)


def last_uses(tape: Tape) -> list[list[Var]]:
    """For each equation, the variables that no later equation and no output reads."""
    keep = {a for a in tape.outputs if isinstance(a, Var)}
    uses: list[list[Var]] = [[] for _ in tape.eqns]
    for k in range(len(tape.eqns) - 1, -1, -1):
        eqn = tape.eqns[k]
        for atom in (*eqn.inputs, eqn.out):
            if isinstance(atom, Var) and atom not in keep:
                keep.add(atom)
                uses[k].append(atom)
    return uses
