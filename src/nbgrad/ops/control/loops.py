"""Recording a loop: a function of nodes as the body of ``scan``, closed over what it reads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

from nbgrad.core.aval import Aval, alike, make_aval
from nbgrad.core.frozen import replace
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.ports import ports
from nbgrad.core.tape import Body, Equation, Tape, Var
from nbgrad.ops.basis import cast, strong
from nbgrad.ops.kinds.forms import Rounds

Several = tuple[Any, ...]


def row(aval: Aval) -> Aval:
    """What one run reads of a stack."""
    return alike(aval, aval.shape[1:])


def stack(aval: Aval, count: int) -> Aval:
    """What the runs write together."""
    return alike(aval, (count, *aval.shape))


def as_tuple(x: Any) -> Several:
    """Results, cotangents or tangents of an operation that may have one or several."""
    return x if x.__class__ is tuple else (x,)


def as_results(found: Sequence[Any]) -> Any:
    """What an operation gives: a tuple of several, or the one."""
    return tuple(found) if len(found) != 1 else found[0]


def closed(tape: Tape, captured: Sequence[Node]) -> tuple[Tape, list[Node]]:
    """*tape* with its last inputs, which stand for *captured*, first; all of them are arrays.

    A Python number that is not known yet is an array outside and a number again in the body.
    """
    k = len(tape.inputs) - len(captured)
    given, eqns, inputs = [strong(x) for x in captured], [], []
    for x, var in zip(captured, tape.inputs[k:], strict=True):
        if not x.aval.weak:
            inputs.append(var)
            continue
        stand_in = placeholder(make_aval((), x.dtype))
        number = cast(stand_in, dtype=x.dtype, weak=True)
        eqn = linearize([number], [stand_in])[0].eqns[0]
        inputs.append(Var(stand_in.aval))
        eqns.append(Equation(eqn.sig, (inputs[-1],), (var,)))
    return Tape((*inputs, *tape.inputs[:k]), (*eqns, *tape.eqns), tape.outputs), given


def read(tape: Tape) -> list[bool]:
    """Which inputs an equation or an output reads."""
    used: set[Any] = {a for eqn in tape.eqns for a in eqn.inputs}.union(tape.outputs)
    return [v in used for v in tape.inputs]


def bound(
    prim: Any,
    tape: Tape,
    captured: Sequence[Node],
    xs: Sequence[Node],
    rounds: Rounds,
    **settings: Any,
) -> Several:
    """Record the loop of *tape* over *xs*, without constants and stacks that it does not read.

    The last inputs of the tape stand for what is *captured*; *settings* are further params.
    """
    if not tape.outputs:
        return ()
    tape, given = closed(tape, captured)
    given += xs
    n = rounds.constants + len(captured)
    kept = [on or n <= k < n + rounds.carry for k, on in enumerate(read(tape))]
    tape = Tape(tuple(compress(tape.inputs, kept)), tape.eqns, tape.outputs)
    rounds = replace(rounds, constants=sum(kept[:n]))
    return as_tuple(prim(*compress(given, kept), body=Body(tape), rounds=rounds, **settings))


def stand_ins(xs: Sequence[Node], rounds: Rounds) -> list[Node]:
    """What one run reads of the operands, as placeholders."""
    rows = rounds.constants + rounds.carry
    return [placeholder(x.aval if k < rows else row(x.aval)) for k, x in enumerate(xs)]


def recorded(
    prim: Any,
    outs: Sequence[Node],
    nodes: Sequence[Node],
    xs: Sequence[Node],
    rounds: Rounds,
    **settings: Any,
) -> Several:
    """Record the loop whose run gives *outs* of *nodes*, which stand for *xs*."""
    tape, captured = linearize(outs, nodes)
    return bound(prim, ports.bodies.simplify(tape, final=False), captured, xs, rounds, **settings)
