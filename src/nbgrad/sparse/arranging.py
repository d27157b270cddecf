"""Where the values of terms belong in a sparse matrix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cmp_to_key
from typing import Any

import numpy as np

from nbgrad.machine import entries
from nbgrad.machine.index_sets import Sets
from nbgrad.sparse.sweeps import Program

Array = np.ndarray[Any, Any]
SAMPLES = 64  # rows by which terms are put in order


class Direct:
    """Entries that a program gives as they are, and where they belong.

    Parameters
    ----------
    program : Program
        Its outputs are the terms, one after the other in memory.
    order : sequence of int
        Which output comes when.
    sizes : sequence of int
    block : (int, int, int, int)
        So many terms from a place on, of so many rows, are entries in order from a place on.
    places, targets : ndarray
        Which values are which other entries.
    further : sequence of (ndarray, ndarray)
        Values that are added to entries.
    """

    def __init__(
        self,
        program: Program,
        order: Sequence[int],
        sizes: Sequence[int],
        block: tuple[int, int, int, int, int],
        places: Array,
        targets: Array,
        further: Sequence[tuple[Array, Array]],
    ) -> None:
        self._held = program, order, sizes, block, places, targets, further
        self.program, self.order, self.block = program, order, block
        self.ends = np.cumsum([0, *sizes]).tolist()
        self.places, self.targets, self.further = places, targets, further

    def __reduce__(self) -> Any:
        return Direct, self._held

    def by_columns(self, sets: Sets, columns: int) -> Direct:
        """The same for the entries in the order of their columns."""
        count = sets.count
        rows = np.repeat(np.arange(len(sets)), np.diff(sets.starts))
        order = np.lexsort((rows, sets.indices[sets.starts[0] : sets.starts[-1]]))
        now = np.empty(count, np.int64)
        now[order] = np.arange(count)
        program, ranks, sizes, block, places, targets, further = self._held
        width, first, apart, n, at = block
        inside = first + np.arange(width) * apart + np.arange(n)[:, None]
        places = np.concatenate([places, inside.reshape(-1).astype(np.int32)])
        targets = now[np.concatenate([targets, at + np.arange(width * n)])]
        order = np.argsort(targets)
        further = [(values, now[which]) for values, which in further]
        none = width, first, apart, 0, 0
        return Direct(program, ranks, sizes, none, places[order], targets[order], further)

    def fill(self, args: Sequence[Any], data: Array) -> None:
        """Write the values at *args* to *data*."""
        values = np.empty(self.ends[-1], data.dtype)
        outs: list[Any] = [None] * len(self.order)
        for k, place in enumerate(self.order):
            outs[place] = values[self.ends[k] : self.ends[k + 1]]
        self.program.into(args, outs)
        width, first, apart, rows, at = self.block
        if width * rows + len(self.targets) < len(data):
            data[...] = 0.0  # where the pattern has more than there is
        if rows:
            entries.interleave(values, first, width, apart, rows, data, at)
        if len(self.targets) == len(data):
            entries.gather(values, self.places, data)
        elif len(self.targets):
            found = np.empty(len(self.targets), data.dtype)
            entries.gather(values, self.places, found)
            data[self.targets] = found
        for places, targets in self.further:  # each of them once
            data[targets] += values[places]


def _compare(a: Array, b: Array) -> int:
    """Which of two terms reads the earlier elements, by a sample of rows."""
    step = max(1, len(a) // SAMPLES)
    a, b = a[::step], b[::step]
    both = (a >= 0) & (b >= 0)
    return int(np.sign(np.sum(np.sign(a[both] - b[both]))))


def arranged(
    program: Program, found: list[list[Array]], rows: Sequence[int], sets: Sets, columns: int
) -> Direct:
    """How the terms *found*, for each result of so many *rows*, become the entries of a pattern."""
    order: list[int] = []
    sizes: list[int] = []
    parts = []  # of each result: where its values begin, its first row, the columns of its terms
    end = row = 0
    for places, n in zip(found, rows, strict=True):
        ranks = sorted(range(len(places)), key=_in_order(places))
        order += [len(order) + k for k in ranks]
        if places:
            parts.append((end, row, np.stack([places[k] for k in ranks])))
            sizes += [n] * len(places)
            end += n * len(places)
        row += n
    counts = np.diff(sets.starts)
    blocks = [_block(*part, counts, sets.starts) for part in parts]
    best = max(range(len(blocks)), key=lambda k: blocks[k][0] * blocks[k][3])
    block = blocks[best]
    whole = int(sets.starts[0])
    block = (*block[:4], block[4] - whole)
    keys, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for k, (first, begin, matrix) in enumerate(parts):
        n = matrix.shape[1]
        others = np.arange(n)
        if k == best and block[3]:
            a = block[1] - first
            others = np.concatenate([others[:a], others[a + block[3] :]])
            matrix = matrix[:, others]
        i, which = np.nonzero(matrix.T >= 0)
        keys.append((begin + others[i]) * columns + matrix[which, i])
        values.append(first + which * n + others[i])
    levels = _levels(np.concatenate(keys), np.concatenate(values), sets, columns)
    return Direct(program, order, sizes, block, *levels)


def _in_order(places: list[Array]) -> Any:
    return cmp_to_key(lambda a, b: _compare(places[a], places[b]))


def _block(
    first: int, row: int, matrix: Array, counts: Array, starts: Array
) -> tuple[int, int, int, int, int]:
    """The longest run of rows in which all terms are entries, in order: see :class:`Direct`."""
    width, n = matrix.shape
    whole = (matrix >= 0).all(axis=0) & (np.diff(matrix, axis=0) > 0).all(axis=0)
    whole &= counts[row : row + n] == width
    edges = np.flatnonzero(np.diff(np.concatenate([[False], whole, [False]])))
    if not len(edges):
        return width, first, n, 0, 0
    lengths = edges[1::2] - edges[::2]
    k = int(lengths.argmax())
    a = int(edges[2 * k])
    return width, first + a, n, int(lengths[k]), int(starts[row + a])


def _levels(
    keys: Array, values: Array, sets: Sets, columns: int
) -> tuple[Array, Array, list[tuple[Array, Array]]]:
    """Which values, by row and column, are which entries: the first of each, and further ones."""
    if not len(keys):
        return keys.astype(np.int32), keys, []
    whole, end = int(sets.starts[0]), int(sets.starts[-1])
    given = np.repeat(np.arange(len(sets)), np.diff(sets.starts)) * columns
    given += sets.indices[whole:end]
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    targets = np.searchsorted(given, keys)
    real = (targets < len(given)) & (given[np.minimum(targets, len(given) - 1)] == keys)
    keys, values, targets = keys[real], values[real], targets[real]
    fresh = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, bool)
    begins = np.flatnonzero(fresh)
    level = np.arange(len(keys)) - begins[np.cumsum(fresh) - 1] if len(keys) else fresh
    first = level == 0
    levels = range(1, int(level.max(initial=0)) + 1)
    further = [(values[level == k], targets[level == k]) for k in levels]
    return values[first].astype(np.int32), targets[first], further
