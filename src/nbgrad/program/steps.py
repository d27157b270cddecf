"""What each equation of a step of a loop is, as scalars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.interpret import evaluate
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.ops.kinds.forms import (
    Assembly,
    Choice,
    Combine,
    Expression,
    Iterate,
    Library,
    Repeat,
    View,
    index_map,
)
from nbgrad.program import trips
from nbgrad.program.branches import branched
from nbgrad.program.nest import Compute, Reduce
from nbgrad.program.picks import picked
from nbgrad.program.scalars import MAX_ELEMENTS, Elements, NotScalar, Step
from nbgrad.program.text import combined, identity_text, right_side
from nbgrad.program.values import CODES, emittable

# Elements from which on the compiler may choose the order of a sum.
LONG_SUM = 8


def define(step: Step, eqn: Equation) -> None:
    """Add the numbers of the results of *eqn*.

    Raises
    ------
    NotScalar
        If there is no text for it, or there are too many.
    """
    lower = eqn.prim.lower
    for out in eqn.outs:
        if out.aval.dtype not in CODES or not 0 < out.aval.size <= MAX_ELEMENTS:
            raise NotScalar
    if isinstance(lower, Repeat):
        found = repeated(step, eqn)
    elif isinstance(lower, Iterate):
        found = trips.repeated(step, eqn, define)
    elif isinstance(lower, Choice):
        found = branched(step, eqn, define)
    else:
        found = [_one(step, eqn)]
    step.env.update(zip(eqn.outs, found, strict=True))


def _one(step: Step, eqn: Equation) -> Elements:
    lower = eqn.prim.lower
    if isinstance(lower, (View, Assembly)):
        return moved(step, eqn)
    if isinstance(lower, Combine) and eqn.out.aval.dtype.kind in lower.dtypes:
        return reduced(step, eqn)
    if isinstance(lower, Expression) and emittable(eqn):
        return elementwise(step, eqn)
    if isinstance(lower, Library):
        return picked(step, eqn, lower.kernel)
    raise NotScalar


def run(step: Step, tape: Tape, given: Sequence[Elements]) -> list[Elements]:
    """The outputs of *tape* over numbers."""
    step.env.update(zip(tape.inputs, given, strict=True))
    for eqn in tape.eqns:
        define(step, eqn)
    return [step.read(a, a.aval.dtype) for a in tape.outputs if isinstance(a, Var)]


def repeated(step: Step, eqn: Equation) -> list[Elements]:
    """A loop of few rounds within a step, round after round."""
    rounds, tape = eqn.prim.lower.layout(eqn.params), eqn.params["body"].tape
    xs = [step.read(a, a.aval.dtype) for a in eqn.inputs if isinstance(a, Var)]
    first, last = rounds.constants, rounds.constants + rounds.carry
    if len(xs) != len(eqn.inputs) or any(not isinstance(a, Var) for a in tape.outputs):
        raise NotScalar
    constants, carry, stacks = xs[:first], xs[first:last], xs[last:]
    rows: list[Any] = [None] * rounds.count
    for k in reversed(range(rounds.count)) if rounds.reverse else range(rounds.count):
        found = run(step, tape, [*constants, *carry, *(x[k] for x in stacks)])
        carry, rows[k] = found[: rounds.carry], found[rounds.carry :]
    return [*carry, *(np.stack(ys) for ys in zip(*rows, strict=True))]


def moved(step: Step, eqn: Equation) -> Elements:
    """What only moves elements moves their places; 0 is where it puts a zero."""
    out = eqn.out.aval
    xs = [step.read(a, out.dtype) for a in eqn.inputs]
    if index_map(eqn.prim) == "full":
        return np.full(out.shape, xs[0])
    found: Elements = np.asarray(evaluate(eqn, xs))
    if found.dtype != np.int64 or found.shape != out.shape:
        raise NotScalar
    return np.where(found == 0, step.number(0, out.dtype), found)


def elementwise(step: Step, eqn: Equation) -> Elements:
    lower, out = eqn.prim.lower, eqn.out.aval
    xs = [
        np.broadcast_to(step.read(a, dtype), out.shape).ravel()
        for a, dtype in zip(eqn.inputs, eqn.sig.loop, strict=True)
    ]
    text = lower.text(eqn.params) if callable(lower.text) else lower.text
    loop = eqn.sig.loop[-1] if eqn.sig.loop else out.dtype
    value = Compute(eqn.prim.name, text, (), out.dtype, loop)
    side = right_side(value, [f"{{{k}}}" for k in range(len(xs))])
    code = CODES[out.dtype]
    found = [step.applied(side, args, code) for args in zip(*map(_list, xs), strict=True)]
    return np.array(found, np.int64).reshape(out.shape)


def reduced(step: Step, eqn: Equation) -> Elements:
    lower, dtype = eqn.prim.lower, eqn.out.aval.dtype
    (x,) = eqn.inputs
    xs, axis = step.read(x, dtype), eqn.params["axis"]
    kept = [k for k in range(xs.ndim) if k not in axis]
    rows = xs.transpose(*kept, *axis).reshape(eqn.out.aval.size, -1)
    n = rows.shape[1]
    r = Reduce(eqn.prim.name, 0, eqn.out, (), dtype, lower.text, lower.identity, lower.finalize, n)
    text = combined(r, "{0}", "{1}") if n >= LONG_SUM else _in_order(r)
    found = [folded(step, r, text, _list(row)) for row in rows]
    return np.array(found, np.int64).reshape(eqn.out.aval.shape)


def folded(step: Step, r: Reduce, text: str, row: Sequence[int]) -> int:
    code = CODES[r.dtype]
    total = step.add(identity_text(r), (), code, False, True)
    for k in row:
        total = step.computed(text, (total, k), code)
    if r.finalize:
        n = step.number(r.n, r.dtype)
        total = step.computed(r.finalize.format(a="{0}", n="{1}"), (total, n), code)
    return total


def _list(xs: Elements) -> list[int]:
    found: list[int] = xs.tolist()
    return found


def _in_order(r: Reduce) -> str:
    """How two partial results combine, in the order of the elements."""
    text = r.combine.format(a="{0}", b="{1}")
    return f"{CODES[r.dtype]}({text})" if r.dtype.kind in "iu" else text
