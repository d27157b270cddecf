"""Colourings of the columns of stencils on grids, by arithmetic.

Goldfarb and Toint, "Optimal estimation of Jacobian and Hessian matrices that arise in finite difference calculations",
Mathematics of Computation 43 (1984): the colour of a column is a sum of multiples of its places along the axes, modulo
the number of colours. Greedy algorithms take 7 colours for the five points of a plane and 12 for the seven of space;
this takes 5 and 7.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from nbgrad.machine.index_sets import Sets

Array = np.ndarray[Any, Any]
SAMPLES: Final = 8  # rows that are looked at before all are
LONGEST: Final = 40  # columns of a row, and
CHOICES: Final = 500  # multipliers, beyond which nothing is tried


def lattice(sets: Sets, count: int, least: int, most: int) -> tuple[Array, int] | None:
    """A colouring of *count* columns with at least *least* colours and fewer than *most*, if there is one like this."""
    rows = _samples(sets)
    if rows is None:
        return None
    across = [(1, *strides) for strides in _strides(rows[len(rows) // 2])]
    for colors in range(max(least, 2), most):
        for strides in across:
            for by in _multipliers(rows, strides, colors)[:4]:
                found = _places(np.arange(count), strides) @ by % colors
                if _holds(sets, found, colors):
                    return found, colors
    return None


def _samples(sets: Sets) -> Array | None:
    """Some of the longest rows, if these look alike: a stencil's, away from the border."""
    lengths = np.diff(sets.starts)
    longest = int(lengths.max(initial=0))
    if not 1 < longest <= LONGEST:
        return None
    where = np.flatnonzero(lengths == longest)
    where = where[np.linspace(0, len(where) - 1, SAMPLES).astype(np.int64)]
    rows = np.sort(sets.indices[sets.starts[where][:, None] + np.arange(longest)], axis=1)
    alike = (rows - rows[:, :1] == rows[len(rows) // 2] - rows[len(rows) // 2, 0]).all(axis=1)
    return rows if alike.sum() > SAMPLES // 2 else None


def _strides(row: Array) -> Iterator[tuple[int, ...]]:
    """How far apart neighbours along further axes may be: distances of columns of one row."""
    apart = np.unique(np.abs(row[:, None] - row))
    found = [int(s) for s in apart if s > 1]
    yield ()
    for s in found:
        yield (s,)
    for s, t in itertools.combinations(found, 2):
        if t % s == 0:
            yield s, t


def _places(columns: Array, strides: tuple[int, ...]) -> Array:
    """Where columns are along each axis, in a last one."""
    ends = zip(strides, (*strides[1:], 0), strict=True)
    found = [columns // s % (t // s) if t else columns // s for s, t in ends]
    return np.stack(found, axis=-1)


def _multipliers(rows: Array, strides: tuple[int, ...], colors: int) -> list[Array]:
    """The multipliers by which columns of each of some rows differ."""
    free = len(strides) - 1
    if colors**free > CHOICES:
        return []
    by = np.array(list(itertools.product([1], *[range(1, colors)] * free)), np.int64)
    places = _places(rows, strides)
    for row in places:
        given = np.sort(row @ by.T % colors, axis=0)
        by = by[(given[1:] != given[:-1]).all(axis=0)]
    return list(by)


def _holds(sets: Sets, found: Array, colors: int) -> bool:
    """Whether no row has two columns of one colour."""
    lengths = np.diff(sets.starts)
    rows = np.repeat(np.arange(len(lengths)) * colors, lengths)
    return int(np.bincount(rows + found[sets.indices]).max(initial=0)) < 2
