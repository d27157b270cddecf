"""Choices among branches that cost little: all are computed, and the results selected.

A call of NumPy's for a branch takes some microseconds, and none can be part of a loop's kernel. What
a branch may not be run for when it is not taken (what raises, what is large, another loop) stays a
call that runs the one that is taken. Derivatives were made before, of each branch alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbgrad.core.interpret import inline
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Body, Equation, Literal, Tape, Var
from nbgrad.ops.elements.comparison import less_equal
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Choice, Expression, Repeat, View

MAX_ELEMENTS, MAX_EQUATIONS = 1024, 400


def selected(tape: Tape) -> Tape:
    """*tape*, and the bodies of its loops, with choices that cost little made by element."""
    if not any(isinstance(eqn.prim.lower, (Choice, Repeat)) for eqn in tape.eqns):
        return tape
    eqns: list[Equation] = []
    for eqn in tape.eqns:
        if isinstance(eqn.prim.lower, Choice):
            eqns += _computed(eqn)
        elif isinstance(eqn.prim.lower, Repeat):
            eqns.append(_repeated(eqn))
        else:
            eqns.append(eqn)
    if all(a is b for a, b in zip(eqns, tape.eqns, strict=False)):
        return tape
    return Tape(tape.inputs, tuple(eqns), tape.outputs)


def _repeated(eqn: Equation) -> Equation:
    before = eqn.params["body"].tape
    body = selected(before)
    if body is before:
        return eqn
    sig = eqn.sig
    made = Signature(sig.prim, sig.operands, sig.params | {"body": Body(body)}, sig.aval, sig.loop)
    return Equation(made, eqn.inputs, eqn.outs, eqn.line)


def _computed(eqn: Equation) -> list[Equation]:
    """The equations in place of *eqn*; itself, if it is no gain."""
    branches = [selected(body.tape) for body in eqn.params["branches"]]
    every = [e for tape in branches for e in tape.eqns]
    elements = sum(out.aval.size for e in every for out in e.outs)
    plain = all(isinstance(e.prim.lower, (Expression, View)) for e in every)
    called = any(isinstance(e.prim.lower, Expression) and e.prim.lower.host for e in every)
    if not plain or called or elements > MAX_ELEMENTS or len(every) > MAX_EQUATIONS:
        return [eqn]
    xs: list[Any] = [
        a.value if isinstance(a, Literal) else placeholder(a.aval) for a in eqn.inputs
    ]
    found = _by_element(xs[0], [inline(tape, xs[1:]) for tape in branches])
    outs = [materialize(y, out.aval) for y, out in zip(found, eqn.outs, strict=True)]
    stand_ins = [x for x in xs if x.__class__ is Node]
    tape, constants = linearize(outs, stand_ins)
    if (
        constants
        or not set(tape.outputs).isdisjoint(tape.inputs)
        or len(set(tape.outputs)) < len(outs)
    ):
        return [eqn]
    now: dict[Any, Any] = dict(
        zip(tape.inputs, (a for a in eqn.inputs if isinstance(a, Var)), strict=True)
    )
    now.update(zip(tape.outputs, eqn.outs, strict=True))
    return [
        Equation(
            e.sig,
            tuple([now.get(a, a) for a in e.inputs]),
            tuple([now.get(a, a) for a in e.outs]),
            eqn.line,
        )
        for e in tape.eqns
    ]


def _by_element(index: Any, results: Sequence[list[Any]]) -> list[Any]:
    found = results[-1]
    for k in range(len(results) - 2, -1, -1):
        if index.dtype.kind == "b":
            found = [where(index, b, a) for a, b in zip(results[0], found, strict=True)]
        else:
            mask = less_equal(index, k)
            found = [where(mask, a, b) for a, b in zip(results[k], found, strict=True)]
    return found
