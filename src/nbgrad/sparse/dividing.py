"""Which products give which entries: by columns, by rows, by both, and for symmetric matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.machine import colors, index_sets
from nbgrad.machine.index_sets import Sets
from nbgrad.sparse.sweeps import Program, compressed, sweep
from nbgrad.sparse.tapes import Recorded

Array = np.ndarray[Any, Any]
REVERSE = 2  # what a product with the transpose costs, in products with the matrix


class Entries:
    """The entries of a pattern, in the order of the matrix: their rows and columns."""

    def __init__(self, sets: Sets, down: Sets, format: str) -> None:
        self.sets, self.down = sets, down
        self.kept = sets if format == "csr" else down
        outer = np.repeat(np.arange(len(self.kept)), np.diff(self.kept.starts))
        inner = self.kept.indices.astype(np.int64)
        self.rows: Array = outer if format == "csr" else inner
        self.columns: Array = inner if format == "csr" else outer


def _lengths(sets: Sets) -> Array:
    return np.diff(sets.starts)


def chosen(of: Entries, dtype: Any, symmetric: bool) -> str:
    """The method that needs the least work, by the longest rows and columns."""
    if dtype.kind == "c":
        return "columns"
    across, along = (int(_lengths(s).max(initial=0)) for s in (of.sets, of.down))
    _, price = _cut(of)
    best = min(across, REVERSE * along)
    if 2 * price < best:
        return "both"
    if symmetric:
        return "star"
    return "columns" if across <= REVERSE * along else "rows"


def _cut(of: Entries) -> tuple[int, int]:
    """How many of the longest rows to find by products with the transpose, and the price of all."""
    lengths = np.sort(_lengths(of.sets))[::-1]
    prices = REVERSE * np.arange(len(lengths) + 1) + np.concatenate([lengths, [0]])
    best = int(prices.argmin())
    return best, int(prices[best])


def divided(
    recorded: Recorded, of: Entries, method: str, order: str, dtype: Any
) -> tuple[list[Any], int]:
    """What fills the entries by this *method*, and how many products that takes."""
    if method == "columns":
        found, count = colors.columns(of.sets, of.down, order)
        return [compressed(recorded, True, found, count, of.columns, of.rows, dtype)], count
    if method == "rows":
        found, count = colors.columns(of.down, of.sets, order)
        return [compressed(recorded, False, found, count, of.rows, of.columns, dtype)], count
    if method == "both":
        return _both(recorded, of, order, dtype)
    if method == "star":
        found, count = colors.star(of.sets, order)
        alone = _alone(of.rows, of.columns, found, count)
        along = np.where(alone, of.columns, of.rows)
        across = np.where(alone, of.rows, of.columns)
        return [compressed(recorded, True, found, count, along, across, dtype)], count
    found, count = colors.acyclic(of.sets, order)
    return [Substituted.make(recorded, of, found, count, dtype)], count


def _alone(rows: Array, columns: Array, found: Array, count: int) -> Array:
    """Whether an entry is the only one of its row in columns of its colour."""
    keys = rows * count + found[columns]
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    alone: Array = counts[inverse] == 1
    return alone


def _both(recorded: Recorded, of: Entries, order: str, dtype: Any) -> tuple[list[Any], int]:
    """The longest rows by products with the transpose, the others by columns."""
    many = _cut(of)[0]
    lengths = _lengths(of.sets)
    long = np.zeros(len(lengths), bool)
    long[np.argsort(-lengths, kind="stable")[:many]] = True
    sources, total = [], 0
    for forward, kept in ((True, ~long), (False, long)):
        mine = np.flatnonzero(kept[of.rows])
        if not len(mine):
            continue
        part = index_sets.within(of.sets, kept)
        down = index_sets.transposed(part, len(of.down))
        given = (part, down) if forward else (down, part)
        found, count = colors.columns(*given, order)
        if not forward:
            found = np.where(kept, found, -1)
        along, across = (of.columns, of.rows) if forward else (of.rows, of.columns)
        count = int(found[along[mine]].max()) + 1
        sources.append(compressed(recorded, forward, found, count, along, across, dtype, mine))
        total += count
    return sources, total


class Substituted:
    """Entries of a symmetric matrix that follow from products one after the other."""

    def __init__(
        self, program: Program, found: Array, count: int, steps: Array, diagonal: Array, own: Array
    ) -> None:
        self._held = program, found, count, steps, diagonal, own
        self.program, self.steps, self.diagonal, self.own = program, steps, diagonal, own
        self.seeds = (found == np.arange(count)[:, None]).astype(float)
        self.places = np.arange(self.seeds.size)

    def __reduce__(self) -> Any:
        return Substituted, self._held

    @classmethod
    def make(
        cls, recorded: Recorded, of: Entries, found: Array, count: int, dtype: Any
    ) -> Substituted:
        """Of a colouring without cycles of two colours."""
        if dtype != np.float64:
            raise ValueError(f"hessian: method='acyclic' is for float64, not {dtype}")
        n = len(of.sets)
        program = sweep(recorded, True, count, count * n, dtype)
        diagonal = np.flatnonzero(of.rows == of.columns)
        vertices = of.rows[diagonal]
        steps = colors.eliminated(of.sets, found, count)
        return cls(program, found, count, steps, diagonal, found[vertices] * n + vertices)

    def fill(self, args: Sequence[Any], data: Array) -> None:
        """Write the values at *args* to *data*."""
        (products,) = self.program(*args, self.seeds, self.places)
        data[self.diagonal] = products[self.own]
        colors.substituted(self.steps, products, data)
