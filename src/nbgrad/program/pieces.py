"""Long loops in pieces: one loop after the other over some points, what lives across a cut being kept on the stack.

A processor looks some hundred instructions ahead. Where one point takes more, it waits for the chain of
dependent operations that it is in, a logarithm, a quotient, an exponential; in a short loop it has the next points
to go on with, and registers for all constants. So the statements are cut where few values cross, calls
of one operand staying together, since these share most of what they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from nbgrad.core import frozen
from nbgrad.core.lazy import pattern
from nbgrad.machine.intrinsics import ROOM
from nbgrad.program.arrange import Arranged
from nbgrad.program.emit import Emitter
from nbgrad.program.nest import Compute, Guard, Load, Nest, Reduce
from nbgrad.program.text import WORDS, all_guards
from nbgrad.program.values import ALL_CODES

# Instructions that a statement takes, roughly: a call of vector mathematics, a quotient or root, anything else.
CALL: Final = 20
SLOW: Final = 8
_CALL: Final = pattern(r"_\{c\}\(|_f[48]\(|math\.(?!sqrt)")
_SLOW: Final = pattern(r"/|math\.sqrt")
# Measured: a piece of up to so many gains a part of what it takes, one of twice as many nothing; a cut costs some, and
# each value that crosses it. Statements that take a few instructions are computed again instead.
SHORT: Final = 30
GAIN: Final = 0.5
CUT: Final = 3.0
AGAIN: Final = 2
# Values that cross a cut: six rooms of 4 KiB are what the first cache holds beside the arrays.
CROSSING: Final = 6
# What is shorter gains nothing, and what gains less is not worth the compiler's time.
WORTH: Final = 50
LEAST: Final = 0.03

Plain = Callable[[Compute], str]


class Piece(frozen.Value):
    """A loop over some points, by the numbers of values.

    Attributes
    ----------
    values : frozenset of int
        What it loads and computes.
    ends : frozenset of int
        What of it is written to arrays or added up.
    read, left : tuple of pairs of int
        What it reads from rooms that others left, and what it leaves itself, each with the number of the room.
    """

    values: frozenset[int]
    ends: frozenset[int]
    read: tuple[tuple[int, int], ...]
    left: tuple[tuple[int, int], ...]


def fits(a: Arranged) -> bool:
    """Whether the points of a loop may be gone through several times, before and after what it writes."""
    nest, read = a.nest, {v.buffer for v in a.nest.body if isinstance(v, Load)}
    return (
        not a.columns
        and a.inner >= ROOM // 4
        and all(v.strides[-1] in (0, 1) for v in nest.body if isinstance(v, Load))
        and all(s.onto is None and s.buffer not in read for s in nest.stores)
        and not any(all_guards(v) for v in nest.body)
        and len(_kinds(nest)) == 1
    )


def _statements(nest: Nest) -> dict[int, Compute]:
    """What is computed at each point, by number."""
    computed = ((k, v) for k, v in enumerate(nest.body) if isinstance(v, Compute))
    return {k: v for k, v in computed if not v.uniform}


def _kinds(nest: Nest) -> set[Any]:
    """The dtypes of floats that are computed at each point."""
    return {v.dtype for v in _statements(nest).values() if v.dtype.kind == "f"}


class _Line:
    """The statements of a point in a line: what each takes, and what would cross a cut before it."""

    def __init__(self, nest: Nest, plain: Plain) -> None:
        self.statements = _statements(nest)
        self.texts = {k: plain(v) for k, v in self.statements.items()}
        self.order = self._order()
        self.at = {k: place for place, k in enumerate(self.order)}
        self.cheap: dict[int, int] = {}  # of what is computed again from memory, the instructions
        for k in self.order:
            more = 1 + sum(self.cheap[q] for q in self._read(k))
            self.cheap[k] = AGAIN + 1 if WORDS.search(self.texts[k]) else more
        self.weights = [_weight(self.texts[k]) for k in self.order]
        self.last = dict(self.at)  # the place where a value is read last
        for k in self.order:
            for needed in self.needed(k):
                self.last[needed] = max(self.last[needed], self.at[k])

    def _order(self) -> list[int]:
        """The numbers of the statements; calls follow the first one of the same operand, where they can."""
        order, heads = list[int](), dict[int, int]()
        for k, value in self.statements.items():
            place = len(order)
            if value.args and _CALL.search(value.text):
                head = heads.setdefault(value.args[0], k)
                behind = place if head == k else order.index(head) + 1
                place = place if self._read(k) & {*order[behind:]} else behind
            order.insert(place, k)
        return order

    def _read(self, k: int) -> set[int]:
        """The statements that statement *k* reads."""
        return {q for q in self.statements[k].args if q in self.statements}

    def needed(self, k: int) -> Iterator[int]:
        """What statement *k* reads, or what that is made of where it is cheap."""
        for q in self._read(k):
            yield from self.needed(q) if self.cheap[q] <= AGAIN else (q,)

    def computed(self, wanted: set[int], made: set[int]) -> tuple[set[int], set[int]]:
        """What a piece that *made* is in loads and computes for what is *wanted*, and what it reads from rooms."""
        found, read, left = set[int](), set[int](), [*wanted]
        while left:
            k = left.pop()
            if k in self.at and k not in made and self.cheap[k] > AGAIN:
                read.add(k)
            elif k not in found:
                found.add(k)
                left += self.statements[k].args if k in self.at else ()
        return found, read

    def costs(self, kept: Any) -> dict[int, float]:
        """Of each place where the line may be cut, what that costs."""
        crossing, calls = [0] * (len(self.order) + 1), [0] * (len(self.order) + 1)
        for k, last in self.last.items():
            odd = self.statements[k].dtype != kept
            for place in range(self.at[k] + 1, last + 1):
                crossing[place] += CROSSING + 1 if odd else 1
        ends: dict[int, int] = {}
        for place, k in enumerate(self.order):
            if self.weights[place] == CALL:
                first = ends.setdefault(self.statements[k].args[0], place)
                for between in range(first + 1, place + 1):
                    calls[between] = 1
        return {
            place: CUT + n + CALL * calls[place]
            for place, n in enumerate(crossing)
            if 0 < place < len(self.order) and n <= CROSSING
        }

    def cuts(self, kept: Any) -> list[int]:
        """Where to cut, by what pieces gain and cuts cost."""
        costs = {**self.costs(kept), len(self.order): 0.0}
        sums = np.concatenate([[0], np.cumsum(self.weights)])
        best: dict[int, tuple[float, int]] = {0: (0.0, 0)}
        long = 0  # the best place before, if what follows is a long piece
        for place, cost in sorted(costs.items()):
            found = best[long][0], long
            for before in reversed(best):
                weight = sums[place] - sums[before]
                if weight >= 2 * SHORT:
                    break
                found = max(found, (best[before][0] + GAIN * weight * _brief(weight), before))
            best[place] = found[0] - cost, found[1]
            long = max((long, place), key=lambda p: best[p][0])
        place, cuts = len(self.order), list[int]()
        if sums[-1] >= WORTH and best[place][0] >= LEAST * sums[-1]:
            while place := best[place][1]:
                cuts.append(place)
        return cuts[::-1]


def _brief(weight: float) -> float:
    return float(min(1.0, 2 - weight / SHORT))


def _weight(text: str) -> int:
    return CALL if _CALL.search(text) else SLOW if _SLOW.search(text) else 1


def in_pieces(nest: Nest, plain: Plain) -> list[Piece]:
    """The pieces of the loop of a nest that `fits`; none if it is best as it is."""
    line = _Line(nest, plain)
    (kept,) = _kinds(nest)
    cuts = line.cuts(kept)
    last = {k: sum(place <= line.last[k] for place in cuts) for k in line.order}
    ends = [s.arg for s in nest.stores] + [r.arg for r in nest.reductions]
    rooms, pieces = dict[int, int](), list[Piece]()
    for start, stop in zip([0, *cuts], [*cuts, len(line.order)], strict=True) if cuts else ():
        made, number = line.order[start:stop], len(pieces)
        left = [k for k in made if last[k] > number and line.cheap[k] > AGAIN]
        own = {k for k in ends if k in made or (k not in line.at and number == len(cuts))}
        computed, read = line.computed({*left, *own}, {*made})
        reads = tuple((k, rooms[k]) for k in sorted(read))
        rooms = {k: room for k, room in rooms.items() if last[k] > number}
        free = (room for room in range(CROSSING) if room not in set(rooms.values()))
        rooms |= dict(zip(left, list(free), strict=False))
        leaves = tuple((k, rooms[k]) for k in sorted(left))
        pieces.append(Piece(frozenset(computed), frozenset(own), reads, leaves))
    return pieces


class Pieces(Emitter):
    """Writes a loop in pieces."""

    def __init__(self, arranged: Arranged) -> None:
        super().__init__(arranged)
        self.pieces = in_pieces(self.nest, self.plain) if fits(arranged) else []
        self.piece: Piece | None = None
        self.tiled = bool(self.pieces)
        if self.pieces:
            self.code = ALL_CODES[next(iter(_kinds(self.nest)))]
            self.tile = ROOM // int(self.code[1:])

    def pays(self) -> bool:
        """Whether the loop is one to write so."""
        return bool(self.pieces)

    def plain(self, value: Compute) -> str:
        """The text of a statement in pieces, over the places of its operands."""
        return value.text

    def uniforms(self) -> None:
        super().uniforms()
        for room in sorted({room for piece in self.pieces for _, room in piece.left}):
            self.line(1, f"room{room} = room_{self.code}()")

    def in_lanes(self, r: Reduce) -> bool:
        """Sums in float64 begin anew at each tile, too."""
        added = r.combine == "{a} + {b}" and r.dtype.kind == "f" and bool(self.pieces)
        return super().in_lanes(r) or (added and r.dtype.itemsize == int(self.code[1:]))

    def statements(self) -> Iterator[tuple[tuple[Guard, ...], str, str, str]]:
        for number, room in self.piece.read if self.piece else ():
            self.operands[number] = name = f"v{number}"
            yield (), name, f"room{room}[j - k]", self.code
        yield from super().statements()

    def loop(self, depth: int, start: str, stop: str, guarded: bool) -> None:
        if not self.tiled or any(map(self.in_lanes, self.nest.reductions)):
            super().loop(depth, start, stop, guarded)
            return
        self.line(depth, f"for k in range({start}, {stop}, {self.tile}):")
        self.innermost(depth + 1, "k", f"min(k + {self.tile}, {stop})", guarded)

    def innermost(self, depth: int, start: str, stop: str, guarded: bool) -> None:
        whole = self.values, self.stores, self.reduced
        for piece in self.pieces:
            self.piece = piece
            self.values = [v for v in whole[0] if v[0] in piece.values]
            self.stores = [s for s in whole[1] if s[1].arg in piece.ends]
            self.reduced = [r for r in whole[2] if r[1].arg in piece.ends]
            super().innermost(depth, start, stop, guarded)
            for number, room in piece.left:
                self.line(depth + 1, f"room{room}[j - k] = {self.operands[number]}")
        self.piece = None
        self.values, self.stores, self.reduced = whole
        if not self.pieces:
            self.whole(depth, start, stop, guarded)

    def whole(self, depth: int, start: str, stop: str, guarded: bool) -> None:
        """The loop in no pieces."""
        super().innermost(depth, start, stop, guarded)
