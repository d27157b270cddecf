"""What a run of a loop ends with and the next one begins with, computed once: it is carried on.

Leapfrog steps end with the forces at the place where the next one begins, and read them there again; so
do methods whose last stage is the first of the next step. Such a value is computed once more before
the loop, and each run hands it on. Derivatives of the loop then have half of it, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from nbgrad.core.tape import Atom, Equation, Tape, Var, living
from nbgrad.ops.kinds.forms import Library, View

# Operations that an element has to spare which is carried on, and kept for the way back.
MIN_WORK: Final = 16
MIN_RUNS: Final = 4  # of a loop that is looked at


def ahead(tape: Tape, carry: int, rows: int) -> tuple[Tape, Tape] | None:
    """The tape of a run that carries more, after its *carry*, and the tape of what that is at first.

    The first inputs and outputs of *tape* are the carry; inputs that follow it, *rows* of them, are
    others in each run. The second tape has all inputs but these. None if no run computes again, at some
    expense, what the one before it had.
    """
    before = _known_before(tape, carry, rows)
    values = _worth_it(tape, carry, before) if before else []
    if not values:
        return None
    now: dict[Atom, Var] = {v: Var(v.aval) for v in values}
    eqns = [
        Equation(e.sig, tuple([now.get(a, a) for a in e.inputs]), e.outs, e.line)
        for e in tape.eqns
    ]
    results = [now.get(a, a) for a in tape.outputs]
    outputs = (*results[:carry], *[before[v] for v in values], *results[carry:])
    kept = living(eqns, outputs)
    if _work(tape.eqns) - _work(kept) < MIN_WORK * _size(values):
        return None
    inputs = (*tape.inputs[:carry], *now.values(), *tape.inputs[carry:])
    first = living(list(tape.eqns), tuple(values))
    return Tape(inputs, tuple(kept), outputs), Tape(
        (*tape.inputs[:carry], *tape.inputs[carry + rows :]), tuple(first), tuple(values)
    )


def _known_before(tape: Tape, carry: int, rows: int) -> dict[Var, Var]:
    """By value that moves with the carry, what the run before computed that is the same."""
    known: dict[Any, tuple[Var, ...]] = {(eqn.sig, eqn.inputs): eqn.outs for eqn in tape.eqns}
    before: dict[Any, Any] = {v: v for v in tape.inputs[carry + rows :]}
    before.update(zip(tape.inputs[:carry], tape.outputs[:carry], strict=True))
    found: dict[Var, Var] = {}
    for eqn in tape.eqns:
        inputs = tuple([before.get(a) if isinstance(a, Var) else a for a in eqn.inputs])
        outs = known.get((eqn.sig, inputs), ())
        before.update(zip(eqn.outs, outs, strict=False))
        if outs != eqn.outs:
            found.update(zip(eqn.outs, outs, strict=False))
    return found


def _worth_it(tape: Tape, carry: int, before: dict[Var, Var]) -> list[Var]:
    """The values in *before* that others read, those that took some work; no more than the carry."""
    read = {a for eqn in tape.eqns if before.keys().isdisjoint(eqn.outs) for a in eqn.inputs}
    read.update(tape.outputs)
    work: dict[Any, float] = {}
    for eqn in tape.eqns:
        if not before.keys().isdisjoint(eqn.outs):
            spent = _work([eqn]) + sum(work.get(a, 0.0) for a in eqn.inputs)
            work.update(dict.fromkeys(eqn.outs, spent))
    values = [v for v in before if v in read and work[v] >= MIN_WORK * v.aval.size]
    return values if _size(values) <= _size(tape.inputs[:carry]) else []


def _size(values: Sequence[Var]) -> int:
    return sum(v.aval.size for v in values)


def _work(eqns: Sequence[Equation]) -> float:
    """About how many operations these are."""
    total = 0.0
    for eqn in eqns:
        form, avals = eqn.prim.lower, [a.aval for a in eqn.inputs if isinstance(a, Var)]
        if isinstance(form, Library) and form.flops is not None:
            total += form.flops(eqn.params, *avals)
        elif not isinstance(form, View):
            total += max(aval.size for aval in (*avals, *[v.aval for v in eqn.outs]))
    return total
