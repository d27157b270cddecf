"""Loops of a tape made fewer and smaller: nothing nobody reads, and one where two have the same carry.

A value and its gradient are two loops forward, one of which keeps what the way back reads; and a
gradient by one operand is a loop that could sum those of all.
"""

from __future__ import annotations

from typing import Any

from nbgrad.core.aval import alike, several
from nbgrad.core.frozen import replace
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Atom, Body, Equation, Literal, Tape, Var
from nbgrad.ops.kinds.forms import Repeat, Rounds


def joined(tape: Tape) -> Tape:
    """*tape*, with loops that compute only what is read, each carry once."""
    if not any(_is_loop(eqn) for eqn in tape.eqns):
        return tape
    return _pruned(_together(tape))


def _is_loop(eqn: Equation) -> bool:
    form = eqn.prim.lower
    return isinstance(form, Repeat) and form.layout(eqn.params) == eqn.params.get("rounds")


def _made(
    eqn: Equation, inputs: Any, body: Tape, rounds: Rounds, outs: tuple[Var, ...]
) -> Equation:
    """*eqn* as a loop of another body."""
    sig, params = eqn.sig, eqn.params | {"body": Body(body), "rounds": rounds}
    found = []
    for k, atom in enumerate(body.outputs):
        assert isinstance(atom, Var)
        rows = () if k < rounds.carry else (rounds.count,)
        found.append(alike(atom.aval, (*rows, *atom.aval.shape)))
    operands = tuple([a.aval if isinstance(a, Var) else type(a.value) for a in inputs])
    made = Signature(sig.prim, operands, params, several(*found), sig.loop)
    return Equation(made, inputs, outs, eqn.line)


# --------------------------------------------------------------------------------- what is not read


def _pruned(tape: Tape) -> Tape:
    read: set[Atom] = set(tape.outputs)
    eqns: list[Equation] = []
    for eqn in reversed(tape.eqns):
        found = _small(eqn, read) if _is_loop(eqn) else eqn
        read.update(found.inputs)
        eqns.append(found)
    return Tape(tape.inputs, tuple(reversed(eqns)), tape.outputs)


def _small(eqn: Equation, read: set[Atom]) -> Equation:
    """The loop *eqn* without the results that are not in *read*, and what only these need."""
    rounds, body = eqn.params["rounds"], eqn.params["body"].tape
    first, last = rounds.constants, rounds.constants + rounds.carry
    wanted = [out in read for out in eqn.outs]
    if all(wanted) or any(isinstance(a, Literal) for a in body.outputs):
        return eqn
    needed = _needed(body, wanted)
    while True:
        more = [wanted[k] or body.inputs[first + k] in needed for k in range(rounds.carry)]
        if more == wanted[: rounds.carry]:
            break
        wanted[: rounds.carry] = more
        needed = _needed(body, wanted)
    if not any(wanted) or all(wanted):
        return eqn
    given = [
        wanted[k - first] if first <= k < last else var in needed
        for k, var in enumerate(body.inputs)
    ]
    eqns = tuple([e for e in body.eqns if any(out in needed for out in e.outs)])
    small = Tape(_chosen(body.inputs, given), eqns, _chosen(body.outputs, wanted))
    layout = replace(rounds, constants=sum(given[:first]), carry=sum(given[first:last]))
    return _made(eqn, _chosen(eqn.inputs, given), small, layout, _chosen(eqn.outs, wanted))


def _needed(body: Tape, wanted: list[bool]) -> set[Atom]:
    """What the *wanted* outputs of a body are computed from."""
    found: set[Atom] = set(_chosen(body.outputs, wanted))
    for eqn in reversed(body.eqns):
        if any(out in found for out in eqn.outs):
            found.update(eqn.inputs)
    return found


def _chosen(values: Any, flags: list[bool]) -> Any:
    return tuple([x for x, flag in zip(values, flags, strict=True) if flag])


# ------------------------------------------------------------------------------- over the same carry


def _together(tape: Tape) -> Tape:
    """Of loops over the same operands that carry the same, one that has the results of all."""
    first: dict[Any, int] = {}
    same: dict[Atom, Atom] = {}
    eqns: list[Equation | None] = []
    for eqn in tape.eqns:
        inputs = tuple([same.get(a, a) for a in eqn.inputs])
        if inputs != eqn.inputs:
            eqn = Equation(eqn.sig, inputs, eqn.outs, eqn.line)
        if _is_loop(eqn):
            at = first.setdefault((eqn.prim, inputs, eqn.params["rounds"]), len(eqns))
            both = _both(eqns[at], eqn, same) if at < len(eqns) else None
            if both is not None:
                eqns[at] = both
                continue
        eqns.append(eqn)
    outputs = tuple([same.get(a, a) for a in tape.outputs])
    return Tape(tape.inputs, tuple([e for e in eqns if e is not None]), outputs)


def _both(one: Any, other: Equation, same: dict[Atom, Atom]) -> Equation | None:
    """One loop for *one* and *other*; results of *other* that *one* has are noted in *same*."""
    mine, its, rounds = one.params["body"].tape, other.params["body"].tape, one.params["rounds"]
    env: dict[Atom, Atom] = dict(zip(its.inputs, mine.inputs, strict=True))
    known = {(eqn.sig, eqn.inputs): eqn.outs for eqn in mine.eqns}
    eqns = list(mine.eqns)
    for eqn in its.eqns:
        inputs = tuple([env.get(a, a) for a in eqn.inputs])
        outs = known.get((eqn.sig, inputs))
        if outs is None:
            outs = tuple([Var(out.aval) for out in eqn.outs])
            eqns.append(Equation(eqn.sig, inputs, outs, eqn.line))
        env.update(zip(eqn.outs, outs, strict=True))
    found = [env.get(a, a) for a in its.outputs]
    if found[: rounds.carry] != list(mine.outputs[: rounds.carry]):
        return None
    outputs, outs = list(mine.outputs), list(one.outs)
    for k, (atom, out) in enumerate(zip(found, other.outs, strict=True)):
        kind = range(rounds.carry) if k < rounds.carry else range(rounds.carry, len(outputs))
        at = k if k < rounds.carry else next((j for j in kind if outputs[j] == atom), None)
        if at is None:
            at = len(outputs)
            outputs.append(atom)
            outs.append(out)
        else:
            same[out] = outs[at]
    body = Tape(mine.inputs, tuple(eqns), tuple(outputs))
    if any(isinstance(a, Literal) for a in outputs):
        return None
    return _made(one, one.inputs, body, rounds, tuple(outs))
