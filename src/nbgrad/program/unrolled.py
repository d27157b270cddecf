"""Emission of small nests with short axes, as of points in space: the short loops are written out.

Three coordinates in the innermost loop are too few for vectors, and leave the loops around them with
strides. Written out, what their points share is computed once, and another loop is the inner one: that
along which most operands are next to each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from nbgrad.program.arrange import Arranged
from nbgrad.program.emit import SMALL, Emitter
from nbgrad.program.nest import Compute, Load, Reduce, Select
from nbgrad.program.text import (
    Emitted,
    all_guards,
    combined,
    identity_text,
    is_wide,
    right_side,
    unbranched,
)
from nbgrad.program.unguarded import emitter

# Extents of loops that are written out, and points of all of them together.
SHORT: Final = 4
MAX_POINTS: Final = 9
MAX_LINES: Final = 200

Point = dict[int, int]  # by loop that is written out, where


def short_loops(arranged: Arranged) -> list[int]:
    """The loops that are written out; none if the nest gains nothing by that."""
    nest = arranged.nest
    plain = all(not all_guards(v) and not isinstance(v, Select) for v in nest.body)
    summed = all(not r.finalize and not is_wide(r) for r in nest.reductions)
    narrow = nest.reductions or nest.extents[-1] <= SHORT
    if not narrow or arranged.blocks > 1 or not plain or not summed:
        return []
    found, points = list[int](), 1
    for k, n in reversed(list(enumerate(nest.extents))):
        if 1 < n <= SHORT and points * n <= MAX_POINTS:
            found, points = [k, *found], points * n
    brief = len(nest.body) * points <= MAX_LINES
    return found if brief and len(found) < len(nest.extents) else []


class Unrolled(Emitter):
    """Writes the source of such a nest, for its shape alone."""

    def __init__(self, arranged: Arranged, short: Sequence[int]) -> None:
        super().__init__(arranged, True)
        self.short = short
        self.within = self._within()
        outer = [k for k in range(len(self.nest.extents)) if k not in short and k != self.within]
        self.around = [k for k in outer if k not in self.nest.reduced]
        self.summed = [k for k in outer if k in self.nest.reduced]
        self.by_column = self.within not in self.nest.reduced

    def _within(self) -> int:
        """The inner loop: with the fewest operands whose elements lie apart, results among them."""

        def apart(k: int) -> tuple[int, int]:
            strides = [v.strides for v in self.nest.body if isinstance(v, Load)]
            strides += [r.strides for r in self.nest.reductions if k not in self.nest.reduced]
            near = [max(self.nest.extents[u] * abs(s[u]) for u in self.short) for s in strides]
            far = [abs(s[k]) > max(1, n) for s, n in zip(strides, near, strict=True)]
            return sum(far), -self.nest.extents[k]

        return min((k for k in range(len(self.nest.extents)) if k not in self.short), key=apart)

    def loops(self) -> None:
        depth = 1
        for k in self.around:
            self.line(depth, f"for at{k} in range(n{k}):")
            depth += 1
        (self._columns if self.by_column else self._sums)(depth)

    def _points(self, loops: Sequence[int]) -> Iterator[Point]:
        for at in itertools.product(*[range(self.nest.extents[k]) for k in loops]):
            yield dict(zip(loops, at, strict=True))

    @property
    def kept(self) -> list[Point]:
        return list(self._points([k for k in self.short if k not in self.nest.reduced]))

    def _results(self) -> Iterator[tuple[int, Reduce, int, Point, str]]:
        """Each reduction at each point: its number, itself, that of the point, the point, its place."""
        for number, r in enumerate(self.nest.reductions):
            for at, point in enumerate(self.kept):
                place = self._place(r.strides, point)
                yield number, r, at, point, self.element(f"r{number}", r.buffer, place)

    def _sums(self, depth: int) -> None:
        """The inner loop is summed: each result in a register."""
        for number, r, at, _, _ in self._results():
            self.line(depth, f"acc{number}_{at} = {identity_text(r)}")
        inside = self._loops(depth)
        for number, r, at, part in self._parts(inside):
            self.line(inside, f"acc{number}_{at} = {combined(r, f'acc{number}_{at}', part)}")
        for number, _, at, _, result in self._results():
            self.line(depth, f"{result} = acc{number}_{at}")

    def _columns(self, depth: int) -> None:
        """The inner loop is kept: rows are summed in memory, if there are several."""
        results = {(number, at): result for number, _, at, _, result in self._results()}
        if self.summed:
            self.line(depth, f"for at{self.within} in range(n{self.within}):")
            for _, r, _, _, result in self._results():
                self.line(depth + 1, f"{result} = {identity_text(r)}")
        inside = self._loops(depth)
        for number, r, at, part in self._parts(inside):
            result = results[number, at]
            self.line(inside, f"{result} = {combined(r, result, part) if self.summed else part}")

    def _loops(self, depth: int) -> int:
        for k in (*self.summed, self.within):
            self.line(depth, f"for at{k} in range(n{k}):")
            depth += 1
        return depth

    def _parts(self, depth: int) -> Iterator[tuple[int, Reduce, int, str]]:
        """Write a point of the inner loop; what each result has of it."""
        written: set[str] = set()
        reduced = list(self._points([k for k in self.short if k in self.nest.reduced]))
        for at, point in enumerate(self.kept):
            parts: list[list[str]] = [[] for _ in self.nest.reductions]
            for more in reduced:
                names = self._values(depth, point | more, written)
                for number, r in enumerate(self.nest.reductions):
                    parts[number].append(names[r.arg])
            for number, r in enumerate(self.nest.reductions):
                text = parts[number][0]
                for part in parts[number][1:]:
                    text = combined(r, text, part)
                yield number, r, at, text

    def _values(self, depth: int, point: Point, written: set[str]) -> list[str]:
        """The names of all values at *point*, those that are new being written."""
        names: list[str] = []
        moving: list[frozenset[int]] = []
        uniform = dict(self.operands)
        for number, value in enumerate(self.nest.body):
            on = frozenset[int]()
            if isinstance(value, Load):
                on = frozenset(k for k in self.short if value.strides[k])
            elif isinstance(value, Compute):
                on = on.union(*[moving[a] for a in value.args])
            moving.append(on)
            if number in uniform:
                names.append(uniform[number])
                continue
            name = "_".join([f"v{number}", *[str(point[k]) for k in sorted(on)]])
            names.append(name)
            if name not in written:
                written.add(name)
                self.line(depth, f"{name} = {self._right(number, value, names, point)}")
        for number, store in enumerate(self.nest.stores):
            place = self._place(store.strides, point)
            element = self.element(f"y{number}", store.buffer, place)
            if element not in written:
                written.add(element)
                self.line(depth, f"{element} = {names[store.arg]}")
        return names

    def _right(self, number: int, value: object, names: list[str], point: Point) -> str:
        if isinstance(value, Load):
            place = self._place(value.strides, point)
            return self.element(f"x{number}", value.buffer, place)
        assert isinstance(value, Compute)
        return unbranched(right_side(value, [names[a] for a in value.args]))

    def _place(self, strides: Sequence[int], point: Point) -> str:
        fixed = sum(strides[k] * at for k, at in point.items())
        terms = [
            f"at{k} * {s}" if s != 1 else f"at{k}"
            for k, s in enumerate(strides)
            if s and k not in self.short
        ]
        if fixed or not terms:
            terms.append(str(fixed))
        return " + ".join(terms)


def emit(arranged: Arranged, repeated: bool = False) -> Emitted:
    """Return the source of a kernel and the description of its arguments.

    If it is run again and again and the nest is small, the text has its extents, and short loops are
    written out, or left for the compiler to unroll.
    """
    if not repeated or arranged.nest.size > SMALL or arranged.grain:
        return emitter(arranged).emit()
    short = short_loops(arranged)
    return Unrolled(arranged, short).emit() if short else Emitter(arranged, True).emit()
