"""Index maps: where, for each point of a loop nest, a value of a tape is read.

A map has one entry for each dimension of the value: an affine function of the loop indices.
Views compose maps, so a chain of slices, transposes and broadcasts costs nothing at run time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nbgrad.core.frozen import Value
from nbgrad.program.nest import Guard


class Entry(Value):
    """Index of one dimension: ``constant + sum(coefficients * loop indices)``."""

    coefficients: tuple[int, ...]
    constant: int = 0

    def scaled(self, step: int, start: int) -> Entry:
        """``start + step * self``."""
        return Entry(tuple(step * c for c in self.coefficients), start + step * self.constant)

    def single_loop(self) -> int | None:
        """The loop this is a unit step of, or None."""
        found = [k for k, c in enumerate(self.coefficients) if c]
        return found[0] if len(found) == 1 and self.coefficients[found[0]] == 1 else None


IndexMap = tuple[Entry, ...]


def identity(n_loops: int) -> IndexMap:
    """The map of a value that has the shape of the nest."""
    return tuple(Entry(tuple(int(j == k) for j in range(n_loops))) for k in range(n_loops))


def broadcast(imap: IndexMap, x_shape: tuple[int, ...], shape: tuple[int, ...]) -> IndexMap:
    """Map of the operand of ``broadcast_to``."""
    lead = len(shape) - len(x_shape)
    out = []
    for k, n in enumerate(x_shape):
        entry = imap[k + lead]
        same = n == shape[k + lead]
        out.append(entry if same else Entry((0,) * len(entry.coefficients)))
    return tuple(out)


def transpose(imap: IndexMap, perm: tuple[int, ...]) -> IndexMap:
    """Map of the operand of ``transpose``."""
    out: list[Entry] = list(imap)
    for d, source in enumerate(perm):
        out[source] = imap[d]
    return tuple(out)


def slice_(imap: IndexMap, starts: Any, steps: Any) -> IndexMap:
    """Map of the operand of ``slice``."""
    return tuple(e.scaled(step, start) for e, start, step in zip(imap, starts, steps, strict=True))


def squeeze(
    imap: IndexMap, x_shape: tuple[int, ...], shape: tuple[int, ...], n_loops: int
) -> IndexMap | None:
    """Map of the operand of a reshape that only adds or drops dimensions of size 1, else None."""
    if [n for n in x_shape if n != 1] != [n for n in shape if n != 1]:
        return None
    rest = iter([e for e, n in zip(imap, shape, strict=True) if n != 1])
    zero = Entry((0,) * n_loops)
    return tuple(zero if n == 1 else next(rest) for n in x_shape)


def split(
    imap: IndexMap, x_shape: tuple[int, ...], shape: tuple[int, ...], extents: tuple[int, ...]
) -> IndexMap | None:
    """Map of the operand of a reshape that joins dimensions, where each is walked by steps of its own.

    The diagonal of a matrix, which is its elements in a row by steps of ``n + 1``, goes through rows and
    columns by steps of 1. None if no map will do, or where there are no elements.
    """
    if 0 in x_shape:
        return None
    sizes = iter([n for n in x_shape if n != 1])
    found: list[Entry] = []
    for entry, n in zip(imap, shape, strict=True):
        group: list[int] = []
        while n != 1 and math.prod(group) < n:
            group.append(next(sizes, n + 1))
        if math.prod(group) != n:
            return None
        for size in group[:0:-1]:
            digits = [divmod(c, size) for c in entry.coefficients]
            above, rest = divmod(entry.constant, size)
            if rest + sum(r * (k - 1) for (_, r), k in zip(digits, extents, strict=True)) >= size:
                return None  # it would carry
            found.append(Entry(tuple([r for _, r in digits]), rest))
            entry = Entry(tuple([q for q, _ in digits]), above)
        found += [entry] if group else []
        size_of = len(group)
        found[len(found) - size_of :] = found[len(found) - size_of :][::-1]
    zero, rest_of = Entry((0,) * len(extents)), iter(found)
    return tuple(zero if n == 1 else next(rest_of) for n in x_shape)


def pad(
    imap: IndexMap, x_shape: tuple[int, ...], shape: tuple[int, ...], starts: Any, steps: Any
) -> tuple[IndexMap, tuple[Guard, ...], bool] | None:
    """Map of the operand of ``pad``, the guards it needs, and whether it is ever inside.

    None if no map will do.
    """
    out, guards = [], []
    inside = True
    for d, entry in enumerate(imap):
        start, step, n = starts[d], steps[d], x_shape[d]
        if step == 1 and start == 0 and n == shape[d]:
            out.append(entry)
            continue
        if step == -1 and n == shape[d] and start == n - 1:
            out.append(entry.scaled(-1, n - 1))
            continue
        if not any(entry.coefficients):
            # One place, known now: inside the window or not.
            position, gap = divmod(entry.constant - start, step)
            inside = inside and not gap and 0 <= position < n
            out.append(Entry(entry.coefficients, position))
            continue
        loop = entry.single_loop()
        if loop is None or (step != 1 and n != 1):
            return None
        out.append(entry.scaled(1, -start))
        guards.append(Guard(loop, start - entry.constant, start - entry.constant + n))
    return tuple(out), tuple(guards), inside


def strides_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """C-contiguous strides in elements."""
    out, step = [], 1
    for n in reversed(shape):
        out.append(step)
        step *= n
    return tuple(reversed(out))


def flatten(imap: IndexMap, shape: tuple[int, ...], n_loops: int) -> tuple[tuple[int, ...], int]:
    """Strides for each loop, and the offset, of a contiguous buffer of *shape* read at *imap*."""
    strides = [0] * n_loops
    offset = 0
    for entry, step in zip(imap, strides_of(shape), strict=True):
        offset += entry.constant * step
        for k, c in enumerate(entry.coefficients):
            strides[k] += c * step
    return tuple(strides), offset


def merged_stride(extents: Sequence[int], strides: Sequence[int]) -> int | None:
    """The one stride that walks through all these dimensions in order, or None.

    Examples
    --------
    >>> merged_stride((2, 3), (3, 1)), merged_stride((2, 3), (4, 1)), merged_stride((1, 1), (5, 3))
    (1, None, 0)
    """
    found: int | None = None
    size = 1
    for n, stride in reversed([(n, s) for n, s in zip(extents, strides, strict=True) if n != 1]):
        if found is None:
            found = stride
        elif stride != found * size:
            return None
        size *= n
    return found or 0
