"""Reach: which elements of its operands each element of a result depends on.

A rule ``reach(prim, xs, params)`` is given, for each operand that matters, the numbers of its elements,
from 1 up and over all such operands, and zeros for other floating-point operands; of all others the
values, or None where these are not known. It returns what the elements of the result depend on, as one
``Reached`` or several that add up; None if it cannot say. Then ``anything`` does, which can always.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.core.frozen import Frozen
from nbgrad.ops.kinds.batching import LEADING, SHIFTED
from nbgrad.ops.kinds.forms import Assembly, View

if TYPE_CHECKING:
    from nbgrad.core.primitive import Primitive

Array = np.ndarray[Any, Any]
SPARSE = 0.5  # of the elements of a known matrix: if fewer are not zero, it is looked at


class Reached(Frozen):
    """What each element of a result depends on: an element of the operands, or a group of such.

    Attributes
    ----------
    places : ndarray or None
        For each element of the result, in order, the number of an element, or of a group if there
        are any, from 1 up; 0 for none. None: the groups are those of the elements in order.
    starts, members : ndarray or None
        Of group g, ``members[starts[g - 1] : starts[g]]`` are the numbers of the elements.
    """

    places: Array | None
    starts: Array | None = None
    members: Array | None = None

    @classmethod
    def rows(cls, rows: Array, places: Array | None = None) -> Reached:
        """Groups of equal size, the rows of an array."""
        count, width = rows.shape
        starts = np.arange(count + 1, dtype=np.int64) * width
        return cls(places, starts, np.ascontiguousarray(rows).reshape(-1))


Reach = Callable[["Primitive", Sequence[Any], dict[str, Any]], Any]


def MOVES(prim: Primitive, xs: Sequence[Any], params: dict[str, Any]) -> Reached | None:
    """Each element of the result is one of an operand's, or a constant: as the numbers are moved."""
    if any(x is None for x in xs):
        return None
    return Reached(np.asarray(prim.evaluate(*xs, **params)))


def reach_of(lower: Any) -> Reach | None:
    """The rule of an operation of this form: views and assemblies move elements."""
    return MOVES if isinstance(lower, (View, Assembly)) else None


def _moved(x: Array, axes: Sequence[int]) -> Array:
    """Rows of the elements along *axes*, for each place along the others."""
    others = [k for k in range(x.ndim) if k not in axes]
    kept = math.prod([x.shape[k] for k in others])
    along = math.prod([x.shape[k] for k in axes])
    return x.transpose(*others, *axes).reshape(kept, along)


def OVER(prim: Primitive, xs: Sequence[Any], params: dict[str, Any]) -> Reached:
    """Of reductions: on all elements over the axes."""
    return Reached.rows(_moved(xs[0], params["axis"]))


def PREFIX(prim: Primitive, xs: Sequence[Any], params: dict[str, Any]) -> list[Reached]:
    """Of running sums: on the elements before it along the axis, or after it if reversed."""
    axis = params["axis"]
    found = []
    for x in xs:
        ends = slice(None, None, -1 if params.get("reverse") else 1)
        rows = np.moveaxis(x, axis, -1)[..., ends].reshape(-1, x.shape[axis])
        count, n = rows.shape
        widths = np.arange(1, n + 1)
        inside = np.concatenate([np.arange(k) for k in widths]) if n else np.zeros(0, np.int64)
        starts = np.concatenate([[0], np.cumsum(np.tile(widths, count))])
        shape = np.moveaxis(x, axis, -1).shape
        places = np.arange(1, x.size + 1).reshape(shape)[..., ends]
        found.append(Reached(np.moveaxis(places, -1, axis), starts, rows[:, inside].reshape(-1)))
    return found


def anything(
    prim: Primitive, xs: Sequence[Any], params: dict[str, Any], shape: tuple[int, ...]
) -> list[Reached]:
    """What can always be said of a result of *shape*: each element depends on all elements.

    Of stacks, and along axes, it does so within each.
    """
    given = [x for x in xs if x is not None and getattr(x, "size", 1) and np.max(x) > 0]
    axes = params.get("axis", params.get("axes"))
    along = (axes,) if isinstance(axes, int) else axes
    if prim.batch is SHIFTED and along is not None:
        return [_along(x, along, shape) for x in given]
    lead = _leading(prim, xs, shape) if prim.batch is LEADING else 0
    return [_along(x, range(lead, x.ndim), shape, lead) for x in given]


def _along(
    x: Array, axes: Sequence[int], shape: tuple[int, ...], lead: int | None = None
) -> Reached:
    """Each of a result depends on all along *axes*, for each place along the others."""
    rows = _moved(x, axes)
    groups = np.arange(1, rows.shape[0] + 1)
    if lead is None:
        kept = [1 if k in axes else n for k, n in enumerate(x.shape)]
    else:
        kept = [*shape[:lead], *[1] * (len(shape) - lead)]
    return Reached.rows(rows, np.broadcast_to(groups.reshape(kept), shape))


def _leading(prim: Primitive, xs: Sequence[Any], shape: tuple[int, ...]) -> int:
    """How many first dimensions are those of stacks, by the ranks that the operation is declared with."""
    if not prim.cases or any(x is None for x in xs):
        return 0
    declared = [[_rank(x) for x in case if not isinstance(x, dict)] for case in prim.cases]
    ranks = [min(each) for each in zip(*declared, strict=True)]
    lead = min(np.ndim(x) - rank for x, rank in zip(xs, ranks, strict=True))
    if lead <= 0 or any(np.shape(x)[:lead] != shape[:lead] for x in xs):
        return 0
    return lead


def _rank(sample: Any) -> int:
    """The rank of a sample that a declaration gives: a shape, maybe with a word before it, or values."""
    if isinstance(sample, tuple):
        return sum(isinstance(n, int) for n in sample)
    return np.ndim(sample)


def INDEXED(prim: Primitive, xs: Sequence[Any], params: dict[str, Any]) -> Reached | None:
    """Of scatters, which add rows of the first operand at the places of the second."""
    v, index = xs
    if index is None:
        return None
    size = params["size"]
    rows = v.reshape(index.size, -1)
    places = np.asarray(index).reshape(-1).astype(np.int64)
    places[places < 0] += size
    order = np.argsort(places, kind="stable")
    counts = np.bincount(places, minlength=size)
    width = rows.shape[1]
    # Groups by place, then by the element of a row.
    starts = np.concatenate([[0], np.cumsum(np.repeat(counts, width))])
    element = np.arange(width)
    of = np.repeat(places[order], width) * width + np.tile(element, order.size)
    members = rows[order].reshape(-1)[np.argsort(of, kind="stable")]
    return Reached(None, starts, members)


def PRODUCT(prim: Primitive, xs: Sequence[Any], params: dict[str, Any]) -> list[Reached]:
    """Of a matrix product: on a row of the first operand, a column of the second."""
    a, b = xs
    shape = (*a.shape[:-1], b.shape[-1])
    rows = _moved(a, (a.ndim - 1,))
    columns = _moved(b, (b.ndim - 2,))
    left = np.arange(1, rows.shape[0] + 1).reshape(*shape[:-1], 1)
    right = np.arange(1, columns.shape[0] + 1).reshape(*shape[:-2], 1, shape[-1])
    return [
        Reached.rows(found, np.broadcast_to(places, shape))
        for found, places in ((rows, left), (columns, right))
        if found.any()
    ]


def WINDOWS(prim: Primitive, xs: Sequence[Any], params: dict[str, Any]) -> list[Reached]:
    """Of a convolution in full: on a window of each operand, as large as the other."""
    found = []
    for x, other in zip(xs, reversed(xs), strict=True):
        if not x.any():
            continue
        padded = np.pad(x, [(n - 1, n - 1) for n in np.shape(other)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, np.shape(other))
        found.append(Reached.rows(windows.reshape(-1, np.size(other))))
    return found


def OVERLAPS(prim: Primitive, xs: Sequence[Any], params: dict[str, Any]) -> list[Reached]:
    """Of a convolution where the second operand lies within the first: on a window, and all of that."""
    a, b = xs
    windows = np.lib.stride_tricks.sliding_window_view(a, np.shape(b))
    shape = windows.shape[: a.ndim]
    rows = windows.reshape(-1, np.size(b))
    return [Reached.rows(rows), Reached.rows(b.reshape(1, -1), np.broadcast_to(1, shape))]
