"""The derivative of a loop forward: the loop of values and of the tangents that are not zero."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any

from nbgrad.core.interpret import inline
from nbgrad.core.node import Node
from nbgrad.core.ports import ports
from nbgrad.core.tape import Tape
from nbgrad.ops.control.activity import carried
from nbgrad.ops.control.loops import stand_ins
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Rounds


def order_of(ts: Sequence[Any]) -> int:
    """How many terms tangents have that are tuples of Taylor coefficients; 0 if they are not."""
    return max([len(t) for t in ts if t.__class__ is tuple], default=0)


def pushed(tape: Tape, given: Sequence[bool], order: int) -> tuple[Tape, list[Node]]:
    """A body with the tangents of the inputs that are *given*, or with so many terms of each."""
    wrt = list(compress(tape.inputs, given))
    found: tuple[Tape, list[Node]] = (
        ports.bodies.series(tape, wrt, order) if order else ports.bodies.jvp(tape, wrt)
    )
    return found


def tangents_in(both: Tape, tape: Tape, order: int) -> list[list[Any]]:
    """Of each output of *tape* its tangents, as *both* returns them."""
    step, first = order or 1, len(tape.outputs)
    return [list(both.outputs[k : k + step]) for k in range(first, len(both.outputs), step)]


def filled(
    ts: Sequence[Any], xs: Sequence[Node], on: Sequence[bool], order: int
) -> list[list[Node]]:
    """The tangents of operands as arrays: none of those that are not *on*."""
    terms = [
        t if t.__class__ is tuple else (t,) * (order if t is None and order else 1) for t in ts
    ]
    return [
        [materialize(0.0 if t is None else t, x.aval) for t in each] if is_on else []
        for each, x, is_on in zip(terms, xs, on, strict=True)
    ]


def flat(parts: Iterable[Sequence[Any]]) -> list[Any]:
    return [x for part in parts for x in part]


def returned(found: Iterable[Any], moving: Sequence[bool], order: int) -> list[Any]:
    """A tangent for each result, or a tuple of its terms; None where it does not move."""
    rest = iter(found)
    return [
        (tuple([next(rest) for _ in range(order)]) if order else next(rest)) if on else None
        for on in moving
    ]


class Pushed:
    """A loop's body with tangents: constants, their tangents; carry, its tangents; stacks, theirs.

    Attributes
    ----------
    operands : list of Node
    nodes, values : list of Node
        What one run reads of these, and those of them that are no tangents.
    outs : list of Node
        The next carry, its tangents, then the tangents of the rows.
    moving : list of bool
        Which results of the loop have tangents.
    rounds : Rounds

    A tangent may be a tuple of Taylor coefficients: then there are so many of each.
    """

    def __init__(self, tape: Tape, rounds: Rounds, xs: Sequence[Node], ts: Sequence[Any]) -> None:
        n, c, rows = rounds.constants, rounds.carry, rounds.constants + rounds.carry
        given, moving = carried(tape, rounds, [t is not None for t in ts])
        # A carry that moves at the beginning does so at the end, if the body never runs.
        self.moving = [*given[n:rows], *moving[c:]]
        self.order = order_of(ts)
        both, extra = pushed(tape, given, self.order)
        made = tangents_in(both, tape, self.order)
        kept = [*both.outputs[:c], *flat(compress(made, self.moving))]
        both = Tape(both.inputs, both.eqns, tuple(kept))
        tangents = filled(ts, xs, given, self.order)
        groups = [slice(0, n), slice(n, rows), slice(rows, len(xs))]
        along = [flat(compress(tangents[g], given[g])) for g in groups]
        more = [len(d) for d in along]
        self.operands = [
            x for g, d in zip(groups, along, strict=True) for x in (*xs[g], *d)
        ]  # fmt: skip
        self.rounds = Rounds(n + more[0], c + more[1], rounds.count, rounds.reverse)
        self.nodes = stand_ins(self.operands, self.rounds)
        self.values: list[Node] = []
        directions: list[Node] = []
        at = 0
        for group, extent in zip(groups, more, strict=True):
            middle = at + len(xs[group])
            self.values += self.nodes[at:middle]
            at = middle + extent
            directions += self.nodes[middle:at]
        self.outs: list[Any] = inline(both, [*self.values, *directions, *extra])
