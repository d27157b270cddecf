"""Python loops found again in a long tape: a repeated segment becomes one equation that is a loop.

What a step reads of the step before is its carry; what it reads of an array row by row, or one
Python number after another, is a stack; what is the same for all steps, a constant. To plan, compile
and differentiate the loop then costs what one step costs. A segment that does not fit stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from nbgrad.core.tape import Atom, Equation, Tape, Var
from nbgrad.ops.kinds.forms import Repeat
from nbgrad.transforms.chained import chained
from nbgrad.transforms.looped import Loop, Written, begins_of
from nbgrad.transforms.repeats import MIN_STEPS, Segment, Words, segments
from nbgrad.transforms.stacking import Rerolled

MIN_EQUATIONS: Final = 256  # of a tape that is looked at
PASSES: Final = 4  # each finds the loops of one period
ALONE: Final = -(1 << 40)  # words from here down are no other's


def with_loops(
    tape: Tape,
    stackable: Collection[Var] = (),
    needed: Iterable[Var] = (),
    fixed: Collection[Var] = (),
    severed: Collection[Var] = (),
    numbers: Mapping[Var, Any] | None = None,
) -> Rerolled | None:
    """Return *tape* with its loops, each that goes on from another one with it; None without any.

    Parameters are those of ``reroll``.
    """
    needed = tuple(needed)
    asked = (*needed, *fixed)
    found: Rerolled | None = None
    now, free = tape, set(stackable)

    def go_on(more: Rerolled | None) -> bool:
        nonlocal found, now, free
        if more is None:
            return False
        found, now, free = more.after(found), more.tape, more.free(free)
        return True

    go_on(chained(now, free, asked))
    for _ in range(PASSES):
        if len(now) < MIN_EQUATIONS or not go_on(
            reroll(now, free, needed, fixed, severed, numbers)
        ):
            break
        go_on(chained(now, free, asked))
    while nested(now) and go_on(reroll(now, free, needed, fixed, severed, loops=True)):
        pass
    return found


def nested(tape: Tape) -> bool:
    """Whether there may be a loop of loops in *tape*."""
    return sum(isinstance(eqn.prim.lower, Repeat) for eqn in tape.eqns) >= MIN_STEPS


def reroll(
    tape: Tape,
    stackable: Collection[Var] = (),
    needed: Iterable[Var] = (),
    fixed: Collection[Var] = (),
    severed: Collection[Var] = (),
    numbers: Mapping[Var, Any] | None = None,
    loops: bool = False,
) -> Rerolled | None:
    """Return *tape* with its loops as equations, None if it has none.

    Parameters
    ----------
    tape : Tape
    stackable : collection of Var
        Inputs whose values may be stacked before the tape runs.
    needed : iterable of Var
        Variables that are read beside the outputs.
    fixed : collection of Var
        Variables that have to stay what they are: the tape is differentiated by them.
    severed : collection of Var
        Results through which a gradient would flow, were it not turned off.
    numbers : mapping, optional
        Values of inputs. Python numbers that are now the same in all steps are then one constant,
        for as long as they are: else what is returned raises Differ.
    loops : bool
        Whether to look for loops in which there are loops, and for no others.
    """
    reading = Reading(tape, severed, loops)
    found = reading.segments()
    if not found:
        return None
    asked = {a for a in (*tape.outputs, *needed) if a.__class__ is Var}
    new = Written(tape, reading, set(stackable) - set(fixed) - asked, numbers)
    for segment in _fitted(reading, found, asked, fixed):
        loop = Loop(new, segment, elsewhere(reading, segment, asked))
        if loop.possible:
            new.copy_to(segment.start)
            loop.write()
    return new.finished(asked | set(fixed))


class Reading:
    """A tape as words, one for each result of an equation, with the numbers of what each reads.

    Slices that differ in where they begin are one word, which reads its beginning, too.
    ``outside`` has what each negative number stands for: a variable, a literal, or a beginning.
    The word of a further result reads nothing. Equations with several results are in no segment,
    but where loops of *loops* are looked for.

    Attributes
    ----------
    outs : list of Var
        The result at each place.
    index : list of int
        The equation that gives it; one entry more.
    """

    def __init__(self, tape: Tape, severed: Collection[Var], loops: bool = False) -> None:
        self.eqns, self.loops = tape.eqns, loops
        self.outs = [out for eqn in tape.eqns for out in eqn.outs]
        self.index = [k for k, eqn in enumerate(tape.eqns) for _ in eqn.outs] + [len(tape)]
        self.outside: list[Any] = []
        self.numbers: dict[Any, int] = {}
        self.place: dict[Var, int] = {v: self._outside(v) for v in tape.inputs}
        words, operands, starts = list[int](), list[int](), [0]
        shapes: dict[Any, int] = {}
        cut = frozenset(severed)
        for eqn in tape.eqns:
            sig = eqn.sig
            word = sig.number
            operands += [self.number(a) for a in eqn.inputs]
            if begins := begins_of(sig.prim):
                others = tuple([p for p in sig.params.items() if p[0] != begins])
                word = shapes.setdefault((sig.prim, sig.operands, sig.aval, others), word)
                operands.append(self._outside(sig.params[begins]))
            several = len(eqn.outs) > 1
            alone = (several and not loops) or bool(cut and not cut.isdisjoint(eqn.outs))
            for j, out in enumerate(eqn.outs):
                k = len(words)
                words.append(ALONE - k if alone else word if j == 0 else -j)
                starts.append(len(operands))
                self.place[out] = self._outside(out) if several and not loops else k
        self.starts, self.operands = np.array(starts, np.int64), np.array(operands, np.int64)
        self.words = np.array(words, np.int64)
        self.owners = np.repeat(np.arange(len(words)), np.diff(self.starts))

    def segments(self) -> list[Segment]:
        """Those that repeat; if loops of loops are looked for, those that have some."""
        text = Words(self.words, self.starts, self.operands)
        if not self.loops:
            return segments(text)
        index = np.array(self.index)
        heads = np.diff(index, prepend=-1)[:-1] != 0
        found = segments(text, heads, MIN_STEPS)
        return [s for s in found if self._has_loops(s)]

    def _has_loops(self, segment: Segment) -> bool:
        return any(isinstance(eqn.prim.lower, Repeat) for eqn in self.step(segment.start, segment))

    def step(self, start: int, segment: Segment) -> Sequence[Equation]:
        """The equations of the step of *segment* that starts there."""
        return self.eqns[self.index[start] : self.index[start + segment.period]]

    def _outside(self, what: Any) -> int:
        number = self.numbers.get(what)
        if number is None:
            self.outside.append(what)
            number = self.numbers[what] = -len(self.outside)
        return number

    def number(self, a: Atom) -> int:
        """The place of what gives *a*, or a negative number."""
        return self.place[a] if isinstance(a, Var) else self._outside(a)

    def atom(self, number: int) -> Any:
        """What an operand with this number is."""
        return self.outs[number] if number >= 0 else self.outside[-1 - number]


def elsewhere(reading: Reading, segment: Segment, asked: Collection[Any]) -> list[int]:
    """The places in *segment* that are read elsewhere."""
    start, end = segment.start, segment.end
    reads, owners = reading.operands, reading.owners
    apart = (owners < start) | (owners >= end)
    found = set(reads[apart & (reads >= start) & (reads < end)].tolist())
    found.update(k for a in asked if start <= (k := reading.place[a]) < end)
    return sorted(found)


def _fitted(
    reading: Reading, found: list[Segment], asked: Collection[Any], fixed: Collection[Var]
) -> Iterable[Segment]:
    """The segments that can be loops; without the last step where more is read of it than its carry."""
    held = [reading.place[a] for a in fixed]
    for segment in found:
        if any(segment.start <= k < segment.end for k in held):
            continue
        carried = {k for kind, k in segment.follows if kind == "inside"}
        last = segment.end - segment.period
        wanted = elsewhere(reading, segment, asked)
        if any(k >= last and k - last not in carried for k in wanted):
            segment.shorten(segment.steps - 1)
        if segment.steps >= MIN_STEPS:
            yield segment
