"""The derivative of a loop forward: the loop of values and of the tangents that are not zero."""

from __future__ import annotations

from collections.abc import Sequence
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
    """

    def __init__(self, tape: Tape, rounds: Rounds, xs: Sequence[Node], ts: Sequence[Any]) -> None:
        n, c, rows = rounds.constants, rounds.carry, rounds.constants + rounds.carry
        given, self.moving = carried(tape, rounds, [t is not None for t in ts])
        both, extra = ports.bodies.jvp(tape, list(compress(tape.inputs, given)))
        outs, half = both.outputs, len(tape.outputs)
        kept = [*outs[:c], *compress(outs[half : half + c], self.moving[:c])]
        kept += compress(outs[half + c :], self.moving[c:])
        both = Tape(both.inputs, both.eqns, tuple(kept))
        tangents = [
            materialize(0.0 if t is None else t, x.aval) if on else None
            for t, x, on in zip(ts, xs, given, strict=True)
        ]
        groups = [slice(0, n), slice(n, rows), slice(rows, len(xs))]
        along = [list(compress(tangents[g], given[g])) for g in groups]
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
