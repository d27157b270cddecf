"""The derivative of a loop in reverse: a loop the other way, over what the carry was in each run.

Cotangents of the carry are the carry of that loop, those of stacks its rows. Those of constants are
sums over the runs: what is added is what there was before it was spread over the whole of the
constant (``x[i]``, a broadcast), so that a loop over the elements of an array is linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

from nbgrad.core.aval import Aval, alike
from nbgrad.core.frozen import replace
from nbgrad.core.interpret import inline
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.ports import ports
from nbgrad.core.record import record
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.ops.arrays.indexing import scatter_add
from nbgrad.ops.basis import broadcast_to, concatenate, pad, reshape, slice_
from nbgrad.ops.control.activity import carried, carried_back
from nbgrad.ops.control.loops import Several, bound, read, recorded, stand_ins
from nbgrad.ops.elements.arithmetic import add
from nbgrad.ops.kinds.cotangents import SMALL, materialize, plus, times
from nbgrad.ops.kinds.forms import Rounds

SPREADING = (pad, broadcast_to, reshape)
MAX_TERMS = 16


class Term:
    """A part of a cotangent of a constant: what each run adds, and what is done to the sum.

    With an ``index`` the runs keep both, and one scatter adds them all. They are found as variables of
    the tape of one run, and are nodes once it is recorded.
    """

    def __init__(self, ct: Any, made: dict[Any, Equation]) -> None:
        self.chain: list[Signature] = []
        self.index: Any = None
        while ct in made and made[ct].prim in SPREADING and made[ct].inputs[0].__class__ is Var:
            self.chain.append(made[ct].sig)
            (ct,) = made[ct].inputs
        self.scattered: Signature | None = None
        if ct in made and made[ct].prim is scatter_add:
            x, index = made[ct].inputs
            if SMALL * x.aval.size <= ct.aval.size:
                self.scattered = made[ct].sig
                ct, self.index = x, index
        self.ct = ct

    @property
    def total(self) -> Aval:
        """What the sum of all runs is."""
        aval: Aval = self.ct.aval if self.scattered is None else self.scattered.aval
        return aval

    def finished(self, total: Node, index: Node | None) -> Node:
        """The cotangent, of the sum or of what all runs kept."""
        if index is not None and self.scattered is not None:
            total = scatter_add(total, index, **self.scattered.params)
        for sig in reversed(self.chain):
            total = record(sig, (total,))
        return total


def terms_of(ct: Any, made: dict[Any, Equation]) -> list[Term]:
    """The terms that output *ct* is the sum of, by what *made* it; one, if it is as large as they are."""
    found, stack = [], [ct]
    while stack and len(found) + len(stack) <= MAX_TERMS:
        x = stack.pop()
        if x in made and made[x].prim is add and all(_alike(a, x) for a in made[x].inputs):
            stack += reversed(made[x].inputs)
        else:
            found.append(Term(x, made))
    small = not stack and all(t.ct.aval.size < ct.aval.size for t in found)
    return found if small and len(found) > 1 else [Term(ct, made)]


def in_terms(back: Tape, count: int, given: Sequence[Any]) -> tuple[list[list[Term]], list[Any]]:
    """*back* recorded on *given*: the first outputs, *count* of them, as terms, and the others."""
    made: dict[Any, Equation] = {var: eqn for eqn in back.eqns for var in eqn.outs}
    each = [terms_of(ct, made) for ct in back.outputs[:count]]
    terms = [t for ts in each for t in ts]
    parts = [x for t in terms for x in ((t.ct,) if t.index is None else (t.ct, t.index))]
    nodes = iter(inline(Tape(back.inputs, back.eqns, (*parts, *back.outputs[count:])), given))
    for t in terms:
        t.ct = next(nodes)
        t.index = None if t.index is None else next(nodes)
    return each, list(nodes)


def _alike(a: Any, b: Var) -> bool:
    return a.__class__ is Var and a.aval is b.aval


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
        self.alone = sum(self.seeded) == sum(self.seeded[:c]) == 1

    def terms(
        self, constants: int, values: Sequence[Any], seeds: Sequence[Node]
    ) -> tuple[list[list[Term]], list[Any]]:
        """What a run adds to the cotangents of the first *constants*, and what it makes the others.

        If a single number goes round, it multiplies the derivatives of the run, which then wait for no
        other run: a processor has many of these under way.
        """
        assert self.back is not None
        number = self.alone and not seeds[0].ndim and seeds[0].dtype.kind == "f"
        given = [materialize(1.0, alike(seeds[0].aval, ()))] if number else seeds
        each, rest = in_terms(self.back, constants, [*values, *given, *self.extra])
        if not number:
            return each, rest
        for t in (t for ts in each for t in ts):
            t.ct = materialize(times(seeds[0], t.ct), t.ct.aval)
        return each, [materialize(times(seeds[0], y), y.aval) for y in rest]


class Backwards:
    """The reverse of the loop of *tape* over *xs*, for cotangents of the operands in *wants*.

    It reads what the carry was before each run. That is kept of all runs; or, with *levels*, of every
    so many runs, which are run again when the way back reaches them, keeping what the further levels
    say. What is computed is the same, in the same order.
    """

    def __init__(
        self,
        prim: Any,
        tape: Tape,
        rounds: Rounds,
        xs: Sequence[Node],
        wants: Sequence[bool],
        levels: tuple[int, ...] = (),
    ) -> None:
        self.prim, self.tape, self.rounds, self.xs = prim, tape, rounds, xs
        self.n, self.rows = rounds.constants, rounds.constants + rounds.carry
        self.wants, self.levels = wants, levels

    def run(self, cts: Several, ys: Several) -> list[Any]:
        """The cotangents of the operands, None where there is none."""
        found = Direction(self.tape, self.rounds, self.xs, self.wants, cts)
        if found.back is None:
            return [None] * len(self.xs)
        self._step(found, found.back)
        c = self.rounds.carry
        given = [
            materialize(0.0 if ct is None else ct, y.aval)
            for ct, y, on in zip(cts, ys, found.seeded, strict=True)
            if on
        ]
        carry = sum(found.seeded[:c])
        totals = [materialize(0.0, aval) for aval in self.totals]
        made = self.way_back(
            self.xs, [*totals, *given[:carry]], given[carry:], self.rounds.count, self.levels
        )
        return self._results(found.wanted, made, carry)

    def _step(self, found: Direction, back: Tape) -> None:
        """The tape of one run of the way back, ``step``, and what it reads and makes."""
        n, rows, c = self.n, self.rows, self.rounds.carry
        self.used = read(back)[: len(self.xs)]
        values = [
            placeholder(v.aval) if on else None
            for v, on in zip(self.tape.inputs, self.used, strict=True)
        ]
        seeds = [placeholder(a.aval) for a in compress(self.tape.outputs, found.seeded)]
        self.terms, rest = found.terms(sum(found.wanted[:n]), values, seeds)
        every = [t for ts in self.terms for t in ts]
        summed = [t.ct for t in every if t.scattered is None]
        parts = [x for t in every if t.scattered is not None for x in (t.ct, t.index)]
        totals = [placeholder(x.aval) for x in summed]
        new = [plus(a, b) for a, b in zip(totals, summed, strict=True)]
        carry = sum(found.seeded[:c])
        nodes = [
            *compress(values[:n], self.used[:n]), *totals, *seeds[:carry],
            *compress(values[n:], self.used[n:]), *seeds[carry:],
        ]  # fmt: skip
        tape, self.captured = linearize([*new, *rest, *parts], nodes)
        self.step = ports.bodies.simplify(tape, final=False)
        self.totals, self.parts = [x.aval for x in summed], len(parts)
        kept = tuple(compress(self.tape.inputs[n:rows], self.used[n:rows]))
        self.keeping = Tape(self.tape.inputs, self.tape.eqns, (*self.tape.outputs, *kept))

    def way_back(
        self,
        xs: Sequence[Node],
        carry: Sequence[Node],
        stacks: Sequence[Node],
        count: int,
        levels: tuple[int, ...],
    ) -> Several:
        """Sums and cotangents of the carry, then stacks, of *count* runs over *xs*."""
        levels = tuple([k for k in levels if k < count])
        if levels:
            return self._in_parts(xs, carry, stacks, count, levels)
        n, rows = self.n, self.rows
        kept: Several = ()
        if any(self.used[n:rows]):
            rounds = replace(self.rounds, count=count)
            kept = bound(self.prim, self.keeping, (), xs, rounds)[len(self.tape.outputs) :]
        used = self.used
        operands = [
            *compress(xs[:n], used[:n]), *carry, *kept, *compress(xs[rows:], used[rows:]), *stacks
        ]  # fmt: skip
        rounds = Rounds(sum(used[:n]), len(carry), count, not self.rounds.reverse)
        return bound(self.prim, self.step, self.captured, operands, rounds)

    def _in_parts(
        self,
        xs: Sequence[Node],
        carry: Sequence[Node],
        stacks: Sequence[Node],
        count: int,
        levels: tuple[int, ...],
    ) -> Several:
        """The same, of parts of ``levels[0]`` runs, and of what remains after them."""
        n, rows, size = self.n, self.rows, levels[0]
        many, rest = divmod(count, size)
        split = [Split(x, size, self.rounds.reverse) for x in (*xs[rows:], *stacks)]
        of_xs, of_cts = split[: len(xs) - rows], split[len(xs) - rows :]
        forward = Rounds(n, rows - n, size, self.rounds.reverse)
        operands = [*xs[:rows], *(s.parts for s in of_xs)]
        over_parts = replace(forward, count=many)
        nodes = stand_ins(operands, over_parts)
        running = Tape(self.tape.inputs, self.tape.eqns, self.tape.outputs[: rows - n])
        after = bound(self.prim, running, (), nodes, forward)
        found = recorded(self.prim, [*after, *nodes[n:rows]], nodes, operands, over_parts)
        last, starts = found[: rows - n], found[rows - n :]
        ends: Several = ()
        if rest:
            given = [*xs[:n], *last, *(s.rest for s in of_xs)]
            made = self.way_back(given, carry, [s.rest for s in of_cts], rest, levels[1:])
            carry, ends = made[: len(carry)], made[len(carry) :]
        operands = [*xs[:n], *carry, *starts, *(s.parts for s in split)]
        again = Rounds(n, len(carry), many, not self.rounds.reverse)
        nodes = stand_ins(operands, again)
        at = n + len(carry)
        inner = [*nodes[:n], *nodes[at : at + rows - n + len(of_xs)]]
        outs = self.way_back(
            inner, nodes[n:at], nodes[at + rows - n + len(of_xs) :], size, levels[1:]
        )
        made = recorded(self.prim, outs, nodes, operands, again)
        whole = [
            together(parts, ends[k] if rest else None, self.rounds.reverse)
            for k, parts in enumerate(made[len(carry) :])
        ]
        return (*made[: len(carry)], *whole)

    def _results(self, wanted: Sequence[bool], made: Several, carry: int) -> list[Any]:
        totals, end = len(self.totals), len(made) - self.parts
        sums, kept, rest = iter(made[:totals]), iter(made[end:]), iter(made[totals:end])
        results: list[Any] = [None] * len(self.xs)
        constants = [k for k in range(self.n) if wanted[k]]
        for k, ts in zip(constants, self.terms, strict=True):
            total = None
            for t in ts:
                pair = (next(sums), None) if t.scattered is None else (next(kept), next(kept))
                found = t.finished(*pair)
                total = found if total is None else plus(total, found)
            results[k] = total
        for k in range(self.n, len(self.xs)):
            if wanted[k]:
                results[k] = next(rest)
        return results


class Split:
    """The rows of a stack in parts of *size*, and what remains: at the end of the order of runs."""

    def __init__(self, x: Node, size: int, reverse: bool) -> None:
        many, rest = divmod(x.shape[0], size)
        start, row = rest if reverse else 0, x.shape[1:]
        parts = rows_of(x, start, many * size)
        self.parts: Node = reshape(parts, shape=(many, size, *row))
        self.rest = rows_of(x, 0 if reverse else many * size, rest)


def rows_of(x: Node, start: int, count: int) -> Node:
    """So many rows of a stack."""
    rest = x.shape[1:]
    starts, sizes = (start, *(0,) * len(rest)), (count, *rest)
    return slice_(x, starts=starts, sizes=sizes, steps=(1,) * x.ndim)  # type: ignore[no-any-return]


def together(parts: Node, rest: Node | None, reverse: bool) -> Node:
    """The stack whose rows are those of *parts* and what remains."""
    many, size, *row = parts.shape
    whole: Node = reshape(parts, shape=(many * size, *row))
    if rest is None:
        return whole
    pair = (rest, whole) if reverse else (whole, rest)
    return concatenate(*pair, axis=0)  # type: ignore[no-any-return]
