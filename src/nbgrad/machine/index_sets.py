"""Sets of indices by row, in compiled code: unions, rows picked, transposes.

A ``Sets`` is the structure of a sparse matrix in CSR form. The indices of a row are sorted, and each is
there once. Nothing here costs more than the indices that are read and written.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nbgrad.core.frozen import Frozen
from nbgrad.machine.compile import compile_kernel, remembered

Array = np.ndarray[Any, Any]
MAX_INDICES: Final = 1 << 28  # of all rows together: a gigabyte

PICK: Final = """
def pick(lo, hi, places, starts, indices, to, out):
    for k in range(lo, hi):
        r = places[k]
        end = to[k]
        if r > 0:
            for e in range(starts[r - 1], starts[r]):
                out[end] = indices[e]
                end += 1
"""
LENGTHS: Final = """
def lengths(lo, hi, places, starts, to):
    total = to[lo]
    for k in range(lo, hi):
        r = places[k]
        if r > 0:
            total += starts[r] - starts[r - 1]
        to[k + 1] = total
"""
UNION: Final = """
def union(lo, hi, starts, indices, further, others, to, out):
    total = 0
    to[lo] = 0
    for k in range(lo, hi):
        a = starts[k]
        a_end = starts[k + 1]
        b = further[k]
        b_end = further[k + 1]
        while a < a_end and b < b_end:
            x = indices[a]
            y = others[b]
            if x <= y:
                out[total] = x
                a += 1
                if x == y:
                    b += 1
            else:
                out[total] = y
                b += 1
            total += 1
        while a < a_end:
            out[total] = indices[a]
            total += 1
            a += 1
        while b < b_end:
            out[total] = others[b]
            total += 1
            b += 1
        to[k + 1] = total
"""
COUNT_GROUPS: Final = """
def count_groups(lo, hi, groups, members, starts, indices, seen, to):
    total = 0
    to[lo] = 0
    for g in range(lo, hi):
        for m in range(groups[g], groups[g + 1]):
            r = members[m]
            if r > 0:
                for e in range(starts[r - 1], starts[r]):
                    x = indices[e]
                    if seen[x] != g + 1:
                        seen[x] = g + 1
                        total += 1
        to[g + 1] = total
"""
FILL_GROUPS: Final = """
def fill_groups(lo, hi, groups, members, starts, indices, seen, out):
    total = 0
    for g in range(lo, hi):
        for m in range(groups[g], groups[g + 1]):
            r = members[m]
            if r > 0:
                for e in range(starts[r - 1], starts[r]):
                    x = indices[e]
                    if seen[x] != -g - 1:
                        seen[x] = -g - 1
                        out[total] = x
                        total += 1
"""
TRANSPOSE: Final = """
def transpose(lo, hi, columns, starts, indices, to, out):
    for j in range(columns + 1):
        to[j] = 0
    for e in range(starts[lo], starts[hi]):
        to[indices[e] + 1] += 1
    for j in range(columns):
        to[j + 1] += to[j]
    for k in range(lo, hi):
        for e in range(starts[k], starts[k + 1]):
            j = indices[e]
            out[to[j]] = k
            to[j] += 1
    for j in range(columns, 0, -1):
        to[j] = to[j - 1]
    to[0] = 0
"""
_PARAMS: Final = {
    "pick": "i8* i8* i4* i8* i4*",
    "lengths": "i8* i8* i8*",
    "union": "i8* i4* i8* i4* i8* i4*",
    "count_groups": "i8* i8* i8* i4* i8* i8*",
    "fill_groups": "i8* i8* i8* i4* i8* i4*",
    "transpose": "i8 i8* i4* i8* i4*",
}
_TEXTS: Final = (PICK, LENGTHS, UNION, COUNT_GROUPS, FILL_GROUPS, TRANSPOSE)


@remembered
def kernel(text: str, params: str) -> Any:
    """The compiled function that *text* defines, of *params* after ``lo`` and ``hi``."""
    name = text.split("(", 1)[0].split()[-1]
    return compile_kernel(text, name, tuple(params.split()), noalias=True)


def call(text: str, params: str, count: int, *args: Any) -> None:
    """Run a kernel over ``range(count)`` on arrays and integers."""
    words = [a.ctypes.data if isinstance(a, np.ndarray) else int(a) for a in args]
    kernel(text, params)(0, count, np.array(words, np.int64))


_BY_NAME: Final = dict(zip(_PARAMS, _TEXTS, strict=True))


def _run(name: str, count: int, *args: Any) -> None:
    call(_BY_NAME[name], _PARAMS[name], count, *args)


class TooMany(MemoryError):
    """There would be more indices than ``MAX_INDICES``."""


class Sets(Frozen):
    """A set of indices for each row: row k has ``indices[starts[k] : starts[k + 1]]``.

    ``starts``, of 64-bit integers, need not begin with 0: some rows of another are no copy.
    """

    starts: Array
    indices: Array

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def count(self) -> int:
        """The number of indices in all rows."""
        return int(self.starts[-1] - self.starts[0])

    def rows(self, first: int, stop: int) -> Sets:
        """Some of the rows."""
        return Sets(self.starts[first : stop + 1], self.indices)


def singles(count: int, first: int = 0) -> Sets:
    """Rows of one index each, counted up."""
    indices = np.arange(first, first + count, dtype=np.int32)
    return Sets(np.arange(count + 1, dtype=np.int64), indices)


def nothing(count: int) -> Sets:
    """Rows without indices."""
    return Sets(np.zeros(count + 1, np.int64), np.zeros(0, np.int32))


def _room(count: int) -> Array:
    if count > MAX_INDICES:
        raise TooMany(count)
    return np.empty(count, np.int32)


def _integers(x: Any) -> Array:
    return np.ascontiguousarray(x, np.int64).reshape(-1)


def pick(sets: Sets, places: Any) -> Sets:
    """The rows of these numbers, counted from 1; 0 is a row without indices."""
    places = _integers(places)
    n = len(sets)
    if len(places) == n and n and places[0] == 1 and bool(np.all(places[1:] - places[:-1] == 1)):
        return sets
    to = np.zeros(len(places) + 1, np.int64)
    _run("lengths", len(places), places, sets.starts, to)
    out = _room(int(to[-1]))
    _run("pick", len(places), places, sets.starts, sets.indices, to, out)
    return Sets(to, out)


def union(a: Sets, b: Sets) -> Sets:
    """The union of two sets in each row; the operand itself where the other adds nothing."""
    if a is b or not b.count:
        return a
    if not a.count:
        return b
    to, out = np.empty(len(a) + 1, np.int64), _room(a.count + b.count)
    _run("union", len(a), a.starts, a.indices, b.starts, b.indices, to, out)
    total = int(to[-1])
    if total == a.count:
        return a
    return b if total == b.count else Sets(to, out[:total].copy())


def grouped(sets: Sets, starts: Any, members: Any, columns: int) -> Sets:
    """For each group of rows, numbered from 1, the union of their sets, of indices below *columns*."""
    starts, members = _integers(starts), _integers(members)
    count = len(starts) - 1
    seen, to = np.zeros(columns, np.int64), np.empty(count + 1, np.int64)
    given = starts, members, sets.starts, sets.indices, seen
    _run("count_groups", count, *given, to)
    out = _room(int(to[-1]))
    _run("fill_groups", count, *given, out)
    return transposed(transposed(Sets(to, out), columns), count)


def transposed(sets: Sets, columns: int) -> Sets:
    """For each index the rows that have it, in order."""
    to, out = np.empty(columns + 1, np.int64), np.empty(sets.count, np.int32)
    _run("transpose", len(sets), columns, sets.starts, sets.indices, to, out)
    return Sets(to, out)


def stacked(several: list[Sets]) -> Sets:
    """The rows of all."""
    if len(several) == 1:
        return several[0]
    starts, indices, base = [], [], 0
    for sets in several:
        first = int(sets.starts[0])
        starts.append(sets.starts[:-1] - first + base)
        indices.append(sets.indices[first : int(sets.starts[-1])])
        base += sets.count
    starts.append(np.array([base], np.int64))
    return Sets(np.concatenate(starts), np.concatenate(indices))


def within(sets: Sets, kept: Any) -> Sets:
    """The rows where *kept* holds, the others without indices."""
    if bool(np.all(kept)):
        return sets
    return pick(sets, np.where(kept, np.arange(1, len(sets) + 1), 0))
