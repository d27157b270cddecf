"""Bands of rows: loops one after another over the same rows are run together, some rows at a time.

What one of them makes of a row is in the cache when the next one reads it. Kernels and tasks are
those of each loop by itself, so results are the same to the bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from nbgrad.core.frozen import Value
from nbgrad.core.tape import Var
from nbgrad.program.arrange import CHUNK, Arranged
from nbgrad.program.index import merged_stride
from nbgrad.program.nest import Load, Store
from nbgrad.program.plan import writes

BYTES, MOST = 1 << 18, 1 << 20  # that the rows of a band take, and may take: a core's second cache
AHEAD = 32  # items that a band is looked for among: planning stays linear
LEAST = 1 << 20  # bytes that a band goes through, which would not be in that cache anyway


class Band(Value):
    """The steps from *start* to *stop*: how many of its tasks each does at a time, and how many times."""

    start: int
    stop: int
    tasks: tuple[int, ...]
    count: int


def unit_of(item: Arranged, rows: int) -> tuple[int, int] | None:
    """The fewest rows of *rows* that are whole tasks of *item*, and how many; None if none are."""
    nest = item.nest
    if not rows:  # nothing is computed
        return None
    if not nest.reductions:
        return None if nest.size % rows else (1, nest.size // rows)
    chunks = -(-item.inner // CHUNK) if item.columns else 1
    if item.cells and item.blocks == 1:
        return None if item.n_cells % rows else (1, item.n_cells // rows * chunks)
    if item.cells or not item.block:
        return None
    each, rest = divmod(item.reduced_size, rows)
    return None if rest or item.block % each else (item.block // each, chunks)


def by_row(extents: Sequence[int], strides: Sequence[int], rows: int) -> tuple[int, int] | None:
    """How far one row is from the next, and how many elements it reaches over; None if rows differ."""
    at = 1
    for k, n in enumerate(extents):
        if rows % at or at == rows:
            break
        wanted = rows // at
        if n % wanted == 0:
            inner = n // wanted
            stride = merged_stride((*extents[:k], wanted), (*strides[:k], strides[k] * inner))
            rest = [(inner, strides[k]), *zip(extents[k + 1 :], strides[k + 1 :], strict=True)]
            return None if stride is None else (stride, 1 + sum((m - 1) * abs(s) for m, s in rest))
        at *= n
    return None


class Group:
    """Items over the same rows, while they are collected; *later* is what can only follow them."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.items: list[Arranged] = []
        self.units: list[tuple[int, int]] = []
        self.later: list[Arranged] = []
        self.made: dict[Var, int] = {}  # how far one row is from the next; 0: not to be read here
        self.late: set[Var] = set()

    def take(self, item: Arranged) -> None:
        """Put *item* where it belongs."""
        unit = unit_of(item, self.rows)
        if (
            unit is None
            or 4 * unit[0] > self.rows
            or not self._reads(item)
            or not (made := self._writes(item))
        ):
            self.later.append(item)
            self.late.update(writes(item))
            return
        self.items.append(item)
        self.units.append(unit)
        self.made |= made

    def _reads(self, item: Arranged) -> bool:
        nest = item.nest
        for load in (v for v in nest.body if isinstance(v, Load)):
            if load.buffer in self.late:
                return False
            stride = self.made.get(load.buffer)
            if stride is None:
                continue
            found = by_row(nest.extents, load.strides, self.rows)
            if not found or load.offset or found[0] != stride or found[1] > stride:
                return False
        return True

    def _writes(self, item: Arranged) -> dict[Var, int]:
        """What *item* makes by rows; nothing if any of it is not."""
        nest, found = item.nest, dict[Var, int]()
        for store in nest.stores:
            row = by_row(nest.extents, store.strides, self.rows)
            whole = row and not store.offset and row[0] * self.rows == store.buffer.aval.size
            if not row or not whole or not 0 < row[1] <= row[0] or store.buffer in self.late:
                return {}
            found[store.buffer] = row[0]
        for r in nest.reductions:
            row = by_row(nest.extents, r.strides, self.rows) if item.blocks == 1 else None
            found[r.buffer] = row[0] if row and 0 < row[1] <= row[0] else 0
        return found

    def bytes_of_row(self) -> int:
        """What a row takes of all that the items read and write by rows."""
        buffers: dict[Var, int] = {}
        for item in self.items:
            nest = item.nest
            operands: list[Load | Store] = [v for v in nest.body if isinstance(v, Load)]
            for x in [*operands, *nest.stores]:
                row = by_row(nest.extents, x.strides, self.rows)
                if row and row[0]:
                    buffers[x.buffer] = abs(row[0]) * x.dtype.itemsize
        return sum(buffers.values())

    def band(self, start: int, each: int) -> Band | None:
        """The band that it is as the items from *start* on, by *each* row's bytes; None if of no use."""
        unit = math.lcm(*[rows for rows, _ in self.units])
        if len(self.items) < 2 or each * self.rows < LEAST or each * unit > MOST:
            return None
        rows = unit * max(1, BYTES // (each * unit))
        tasks = tuple([rows // per * n for per, n in self.units])
        return Band(start, start + len(self.items), tasks, -(-self.rows // rows))


def units(items: Sequence[Any], bands: Sequence[Band]) -> list[int]:
    """The number of what each item is run with: those of a band have one."""
    inside = {k for band in bands for k in range(band.start + 1, band.stop)}
    found = [-1]
    for k in range(len(items)):
        found.append(found[-1] + (k not in inside))
    return found[1:]


def begins(item: Any) -> bool:
    """Whether a band may begin with *item*: a result for each row, none of them cut."""
    if not isinstance(item, Arranged) or not item.cells or item.rows or item.block:
        return False
    return item.nest.reduced == {item.cells} and item.inner > 1


def in_bands(items: Sequence[Any]) -> tuple[list[Any], list[Band]]:
    """*items* in an order in which those of a band follow one another, and the bands."""
    found: list[Any] = []
    bands: list[Band] = []
    left = list(reversed(items))
    small: set[int] = set()  # items over too little, with all that follows over the same rows
    while left:
        if begins(left[-1]) and id(left[-1]) not in small:
            group, count = Group(left[-1].n_cells), 0
            for item in itertools.islice(reversed(left), AHEAD):
                if not isinstance(item, Arranged):
                    break
                group.take(item)
                count += 1
                if not group.items:
                    break  # what it begins with does not go by rows
            each = group.bytes_of_row()
            band = group.band(len(found), each)
            if band is not None:
                bands.append(band)
                found += group.items
                left[-count:] = reversed(group.later)  # which may be in bands of their own
                continue
            if each * group.rows < LEAST:
                small.update(map(id, group.items))
        found.append(left.pop())
    return found, bands
