"""The steps of a loop that are behind it as one operation, for a graph that goes on from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from nbgrad.core.tape import Tape, Var
from nbgrad.transforms.looped import Loop, Window, Written
from nbgrad.transforms.repeats import MIN_STEPS, Segment
from nbgrad.transforms.reroll import Reading, elsewhere
from nbgrad.transforms.stacking import Rerolled

SMALL: Final = 256  # elements that an operation has on average: of more, a kernel is fused instead


@dataclass(frozen=True)
class Folded:
    """What stands for the equations from ``start`` to ``end`` of a tape.

    Attributes
    ----------
    loop : Rerolled
        Its tape has a loop. The first sources are inputs of the old tape.
    reads : tuple of int
        The places of what its first inputs are: of equations, or from -1 down of inputs.
    windows : tuple of Window
        What its next inputs are; the place of what each is a part of is as those of ``reads``.
    finals : tuple of int
        The places of the equations whose results its outputs are.
    """

    start: int
    end: int
    reads: tuple[int, ...]
    windows: tuple[Window, ...]
    loop: Rerolled
    finals: tuple[int, ...]


def folded(
    tape: Tape, stackable: Collection[Var], held: Collection[Var], numbers: Mapping[Var, Any]
) -> Folded | None:
    """Find the longest loop in *tape*, as far as none of its steps reads what is *held*.

    Whoever holds a value may differentiate by it: what is computed from it is recorded as it was.
    *numbers* is as for ``reroll``.
    """
    reading = Reading(tape, ())
    found = reading.segments()
    if not found:
        return None
    segment = max(found, key=lambda s: s.steps * s.period)
    held = {*held, *[a for a in tape.outputs if isinstance(a, Var)]}
    _end_before_readers(reading, segment, [reading.place[v] for v in held])
    if segment.steps < MIN_STEPS or not _small(reading, segment):
        return None
    new = Written(tape, reading, stackable, numbers)
    new.windows = []
    loop = Loop(new, segment, elsewhere(reading, segment, held))
    if not loop.possible or loop.apart or not loop.final:
        return None
    loop.write()
    return _apart(new, segment, sorted(loop.final.values()))


def _end_before_readers(reading: Reading, segment: Segment, held: Collection[int]) -> None:
    inside = [k for k in held if segment.start <= k < segment.end]
    readers = reading.owners[np.isin(reading.operands, inside)]
    first = int(readers.min(initial=segment.end))
    segment.shorten(max(0, min(segment.end, first) - segment.start) // segment.period)


def _small(reading: Reading, segment: Segment) -> bool:
    step = reading.step(segment.start, segment)
    return sum(e.out.aval.size for e in step) <= SMALL * segment.period


def _apart(new: Written, segment: Segment, finals: list[int]) -> Folded:
    """The equations of the loop as a tape of their own."""
    windows = [w.var for w in new.windows or ()]
    made = {out for eqn in new.eqns for out in eqn.outs} | {*windows, *new.inputs}
    read = [a for eqn in new.eqns for a in eqn.inputs if isinstance(a, Var) and a not in made]
    before = tuple(dict.fromkeys(read))
    outs = tuple([new.reading.eqns[k].out for k in finals])
    number = {v: k for k, v in enumerate(new.tape.inputs)}

    def place(v: Var) -> int:
        return -1 - number[v] if v in number else new.reading.place[v]

    tape = Tape((*before, *windows, *new.inputs), tuple(new.eqns), outs)
    loop = Rerolled(tape, (*range(len(before) + len(windows)), *new.sources))
    rows = [replace(w, base=place(new.reading.atom(w.base))) for w in new.windows or ()]
    places = tuple(map(place, before))
    return Folded(segment.start, segment.end, places, tuple(rows), loop, tuple(finals))
