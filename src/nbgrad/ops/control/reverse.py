"""The derivative of a loop in reverse: a loop the other way, over what the carry was in each run.

Cotangents of the carry are the carry of that loop, those of stacks its rows. Those of constants are
sums over the runs: what is added is what there was before it was spread over the whole of the
constant (``x[i]``, a broadcast), so that a loop over the elements of an array is linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

from nbgrad.core.aval import Aval
from nbgrad.core.interpret import inline
from nbgrad.core.node import Node, placeholder
from nbgrad.core.ports import ports
from nbgrad.core.record import record
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Tape
from nbgrad.ops.arrays.indexing import scatter_add
from nbgrad.ops.arrays.scattering import SMALL, plus
from nbgrad.ops.basis import broadcast_to, pad, reshape
from nbgrad.ops.control.activity import carried, carried_back
from nbgrad.ops.control.loops import Several, bound, read, recorded
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Rounds

SPREADING = (pad, broadcast_to, reshape)
MAX_TERMS = 16


class Term:
    """A part of a cotangent of a constant: what each run adds, and what is done to the sum.

    With an ``index`` the runs keep both, and one scatter adds them all.
    """

    def __init__(self, ct: Node) -> None:
        self.chain: list[Signature] = []
        self.index: Any = None
        while ct.sig is not None and ct.sig.prim in SPREADING and ct.inputs[0].__class__ is Node:
            self.chain.append(ct.sig)
            ct = ct.inputs[0]
        self.scattered: Signature | None = None
        if (
            ct.sig is not None
            and ct.sig.prim is scatter_add
            and SMALL * ct.inputs[0].size <= ct.size
        ):
            self.scattered = ct.sig
            ct, self.index = ct.inputs
        self.ct = ct

    @property
    def total(self) -> Aval:
        """What the sum of all runs is."""
        return self.ct.aval if self.scattered is None else self.scattered.aval

    def finished(self, total: Node, index: Node | None) -> Node:
        """The cotangent, of the sum or of what all runs kept."""
        if index is not None and self.scattered is not None:
            total = scatter_add(total, index, **self.scattered.params)
        for sig in reversed(self.chain):
            total = record(sig, (total,))
        return total


def terms_of(ct: Node) -> list[Term]:
    """The terms that *ct* is the sum of; one, if it is as large as they are."""
    found, stack = [], [ct]
    while stack and len(found) + len(stack) <= MAX_TERMS:
        x = stack.pop()
        if (
            x.sig is not None
            and x.sig.prim.name == "add"
            and all(a.__class__ is Node and a.aval is x.aval for a in x.inputs)
        ):
            stack += reversed(x.inputs)
        else:
            found.append(Term(x))
    small = not stack and all(t.ct.size < ct.size for t in found)
    return found if small and len(found) > 1 else [Term(ct)]


class Direction:
    """Where cotangents go in the body of a loop over *xs*, for those of the operands in *wants*.

    Attributes
    ----------
    wanted : list of bool
        Inputs of the body whose cotangents go round or are asked for.
    seeded : list of bool
        Its outputs that have one.
    back, extra : Tape, list of Node
        The cotangents of these inputs, and the last inputs of that tape; None if there are none.
    """

    def __init__(
        self, tape: Tape, rounds: Rounds, xs: Sequence[Node], wants: Sequence[bool], cts: Several
    ) -> None:
        n, c, rows = rounds.constants, rounds.carry, rounds.constants + rounds.carry
        wants = [bool(w) and x.aval.inexact for w, x in zip(wants, xs, strict=True)]
        given, moving = carried(tape, rounds, wants)
        asked = [ct is not None and m for ct, m in zip(cts, moving, strict=True)]
        asked[:c] = [ct is not None and m for ct, m in zip(cts[:c], given[n:rows], strict=True)]
        leading, reached = carried_back(tape, rounds, asked)
        # Where a cotangent goes round: to inputs of the body, and into its outputs.
        self.wanted = [g and on for g, on in zip(given, leading, strict=True)]
        self.wanted[n:rows] = [g and on for g, on in zip(given[n:rows], reached[:c], strict=True)]
        self.seeded = [*self.wanted[n:rows], *asked[c:]]
        self.back: Tape | None = None
        seeded = Tape(tape.inputs, tape.eqns, tuple(compress(tape.outputs, self.seeded)))
        if any(self.wanted) and seeded.outputs:
            back, self.extra = ports.bodies.vjp(seeded, list(compress(tape.inputs, self.wanted)))
            self.back = ports.bodies.simplify(back, final=False)


class Backwards:
    """The reverse of the loop of *tape* over *xs*, for cotangents of the operands in *wants*."""

    def __init__(
        self, prim: Any, tape: Tape, rounds: Rounds, xs: Sequence[Node], wants: Sequence[bool]
    ) -> None:
        self.prim, self.tape, self.rounds, self.xs = prim, tape, rounds, xs
        self.n, self.c, self.rows = (
            rounds.constants, rounds.carry, rounds.constants + rounds.carry
        )  # fmt: skip
        self.wants = wants

    def run(self, cts: Several, ys: Several) -> list[Any]:
        """The cotangents of the operands, None where there is none."""
        found = Direction(self.tape, self.rounds, self.xs, self.wants, cts)
        if found.back is None:
            return [None] * len(self.xs)
        self.back, self.extra = found.back, found.extra
        self.wanted, self.seeded = found.wanted, found.seeded
        return self._looped(
            [materialize(0.0 if ct is None else ct, y.aval) for ct, y in zip(cts, ys, strict=True)]
        )

    def _kept(self, used: Sequence[bool]) -> list[Node]:
        """What the carry was before each run, as far as the body of the reverse reads it."""
        tape, n, c = self.tape, self.n, self.c
        carry = tuple(compress(tape.inputs[n : n + c], used[n : n + c]))
        if not carry:
            return []
        keeping = Tape(tape.inputs, tape.eqns, (*tape.outputs, *carry))
        return list(bound(self.prim, keeping, (), self.xs, self.rounds)[len(tape.outputs) :])

    def _looped(self, cts: list[Node]) -> list[Any]:
        n, c, rows, xs, wanted = self.n, self.c, self.rows, self.xs, self.wanted
        used = read(self.back)[: len(xs)]
        values = [
            placeholder(v.aval) if on else None
            for v, on in zip(self.tape.inputs, used, strict=True)
        ]
        seeds = [placeholder(a.aval) for a in compress(self.tape.outputs, self.seeded)]
        found = inline(self.back, [*values, *seeds, *self.extra])
        terms = [terms_of(ct) for ct in found[: sum(wanted[:n])]]
        summed = [t.ct for ts in terms for t in ts if t.scattered is None]
        parts = [x for ts in terms for t in ts if t.scattered is not None for x in (t.ct, t.index)]
        totals = [placeholder(x.aval) for x in summed]
        new = [plus(a, b) for a, b in zip(totals, summed, strict=True)]
        carry = sum(self.seeded[:c])
        nodes = [
            *compress(values[:n], used[:n]), *totals, *seeds[:carry],
            *compress(values[n:], used[n:]), *seeds[carry:],
        ]  # fmt: skip
        operands = [
            *compress(xs[:n], used[:n]), *(materialize(0.0, x.aval) for x in totals),
            *compress(cts[:c], self.seeded[:c]),
            *self._kept(used), *compress(xs[rows:], used[rows:]),
            *compress(cts[c:], self.seeded[c:]),
        ]  # fmt: skip
        rounds = Rounds(
            sum(used[:n]), len(totals) + carry, self.rounds.count, not self.rounds.reverse
        )
        outs = [*new, *found[len(terms) :], *parts]
        made = recorded(self.prim, outs, nodes, operands, rounds)
        return self._results(made, terms, len(totals), len(parts))

    def _results(
        self, made: Several, terms: list[list[Term]], totals: int, parts: int
    ) -> list[Any]:
        end = len(made) - parts
        sums, kept, rest = iter(made[:totals]), iter(made[end:]), iter(made[totals:end])
        results: list[Any] = [None] * len(self.xs)
        constants = [k for k in range(self.n) if self.wanted[k]]
        for k, ts in zip(constants, terms, strict=True):
            total = None
            for t in ts:
                pair = (next(sums), None) if t.scattered is None else (next(kept), next(kept))
                found = t.finished(*pair)
                total = found if total is None else plus(total, found)
            results[k] = total
        for k in range(self.n, len(self.xs)):
            if self.wanted[k]:
                results[k] = next(rest)
        return results
