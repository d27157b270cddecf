"""Repeated segments of a sequence: where a Python loop was recorded, found by its words.

Each operation is a word; what it reads are numbers: the place of an operation, or a negative number
for what comes from elsewhere. Nothing here knows of tapes. All of it is linear in the sequence,
by array operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]

WINDOW, SHORT = 5, 3  # 2**5 words tell one place of a period from another, 2**3 of a few words
TRIED: Final = 8  # distances that are tried as a period
MIN_STEPS, MIN_WORDS = 8, 128  # of a segment that is worth it
MANY_WORDS: Final = 256  # of a step, in which there may be a loop
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Words:
    """A sequence: the words, where the operands of each begin (one entry more), and the operands."""

    words: Array
    starts: Array
    operands: Array


@dataclass
class Segment:
    """*steps* steps of *period* operations each, from the place *start*.

    What an operand of a step is, in the order in which its operations read: ``("inside", k)`` is what
    operation *k* of the step gives, ``("carry", r)`` register *r*, ``("constant", x)`` always the same
    and ``("stack", q)`` row by row what column *q* says. A register starts as ``initial`` and holds,
    from then on, what ``follows`` gives: an operation of the step before, or an older register's.
    """

    start: int
    period: int
    steps: int
    operands: list[tuple[str, int]] = field(default_factory=list)
    initial: list[int] = field(default_factory=list)
    follows: list[tuple[str, int]] = field(default_factory=list)
    columns: list[Array] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.start + self.period * self.steps

    def shorten(self, steps: int) -> None:
        """Leave out what comes after so many steps."""
        self.steps = steps
        self.columns = [column[:steps] for column in self.columns]


def segments(text: Words, heads: Array | None = None, least: int = MIN_WORDS) -> list[Segment]:
    """The segments that repeat, in order, none of which overlaps another.

    Steps begin where *heads* is true, if it is given, and *least* is how many words a segment has.
    """
    found = []
    for start, end, period in _runs(text.words, least):
        segment = _segment(text, start, end, period, heads, least)
        if segment is not None:
            found.append(segment)
    return found


def _runs(words: Array, least: int) -> Iterator[tuple[int, int, int]]:
    """Stretches that agree with themselves, shifted by the period that leaves the fewest words.

    A step of many words is likely to have a loop in it: that is taken if it is half of all words.
    """
    found: list[tuple[int, int, Array, Array]] = []  # words left, period, stretches
    for period in _periods(words, SHORT if least < MIN_WORDS else WINDOW):
        same = words[period:] == words[:-period]
        edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False])).astype(np.int8)))
        begins, ends = edges[::2], edges[1::2] + period
        long = ends - begins >= max(MIN_STEPS * period, least)
        left = len(words) - int(np.sum((ends - begins - period)[long]))
        if left < len(words):
            found.append((left, period, begins[long], ends[long]))
    last = 0
    if found:
        best = min(found, key=itemgetter(0))
        inner = [f for f in found if best[1] > MANY_WORDS and f[1] * MIN_STEPS <= best[1]]
        within = min(inner, key=itemgetter(0), default=best)
        _, period, begins, ends = within if 2 * within[0] < len(words) else best
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            yield max(begin, last), end, period
            last = end


def _periods(words: Array, window: int) -> list[int]:
    """Distances at which windows of words most often come again."""
    hashed = words.astype(np.uint64) * _ODD
    for k in range(window):
        step = 1 << k
        if len(hashed) <= step:
            return []
        hashed = (hashed[:-step] ^ (hashed[:-step] >> np.uint64(29))) * _ODD + hashed[step:]
    order = np.argsort(hashed, kind="stable")
    ordered = hashed[order]
    apart = np.diff(order)[ordered[1:] == ordered[:-1]]
    distances, counts = np.unique(apart, return_counts=True)
    best: list[int] = distances[np.argsort(-counts, kind="stable")[:TRIED]].tolist()
    return best


def _segment(
    text: Words, start: int, end: int, period: int, heads: Array | None, least: int
) -> Segment | None:
    """The steps between *start* and *end*, begun where the fewest values cross."""
    if end - start < MIN_STEPS * period:
        return None
    start += _cut(text, start, period, (end - start) // period, heads)
    for _ in range(3):  # the first steps may read what the others do not
        steps = (end - start) // period
        if steps < MIN_STEPS or steps * period < least:
            return None
        segment = Segment(start, period, steps)
        if _read(text, segment):
            return segment
        start += period
    return None


def _rows(text: Words, start: int, period: int, steps: int) -> Array:
    """The operands of *steps* steps, one a row."""
    lo, hi = text.starts[start], text.starts[start + period * steps]
    return text.operands[lo:hi].reshape(steps, -1)


def _owners(text: Words, start: int, period: int) -> Array:
    return np.repeat(np.arange(period), np.diff(text.starts[start : start + period + 1]))


def _cut(text: Words, start: int, period: int, steps: int, heads: Array | None) -> int:
    """The place in a step at which the fewest values are alive, by what a step in the middle reads."""
    at = start + (steps // 2) * period
    reads = _rows(text, at, period, 1)[0]
    apart = at + _owners(text, start, period) - reads
    near = (reads >= start) & (apart < MIN_STEPS // 2 * period)
    place = (reads[near] - start) % period
    longest = np.zeros(period, np.int64)
    np.maximum.at(longest, place, apart[near])
    # A value made at k is alive at the cuts k+1 ... k+longest, round and round.
    crossing = np.zeros(2 * period + 1, np.int64)
    made = np.arange(period)
    np.add.at(crossing, made + 1, 1)
    np.add.at(crossing, made + 1 + longest % period, -1)
    alive = np.cumsum(crossing)
    alive = alive[:period] + alive[period : 2 * period]
    if heads is not None:
        alive[~heads[start : start + period]] = len(text.words)
    return int(np.argmin(alive))


def _read(text: Words, segment: Segment) -> bool:
    """Find what each operand of a step is; False if they are not alike."""
    start, period = segment.start, segment.period
    rows = _rows(text, start, period, segment.steps)
    inside = rows >= start
    place, made = (rows - start) % period, (rows - start) // period
    lag = np.arange(segment.steps)[:, None] - made
    registers: dict[Any, int] = {}
    last = segment.steps - 1
    for a in range(rows.shape[1]):
        source = rows[:, a]
        if not inside[last, a]:
            if inside[:, a].any():
                return False
            if (source == source[0]).all():
                segment.operands.append(("constant", int(source[0])))
            else:
                segment.operands.append(("stack", len(segment.columns)))
                segment.columns.append(source)
            continue
        k, m = int(place[last, a]), int(lag[last, a])
        if not (
            m < MIN_STEPS
            and inside[m:, a].all()
            and not inside[:m, a].any()
            and (place[m:, a] == k).all()
            and (lag[m:, a] == m).all()
        ):
            return False
        if m == 0:
            segment.operands.append(("inside", k))
        else:
            segment.operands.append(("carry", _register(segment, registers, k, source[:m])))
    return True


def _register(segment: Segment, known: dict[Any, int], k: int, first: Array) -> int:
    """The register that gives what operation *k* gave ``len(first)`` steps ago, *first* until then."""
    initial = [int(x) for x in reversed(first)]  # the youngest first
    older: tuple[str, int] = ("inside", k)
    number = -1
    for m in range(1, len(initial) + 1):
        key = (k, *initial[:m])
        if key not in known:
            known[key] = len(segment.initial)
            segment.initial.append(initial[m - 1])
            segment.follows.append(older)
        number = known[key]
        older = ("carry", number)
    return number
