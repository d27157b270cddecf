"""Orders and searches: integer results, which carry no gradient but can be traced.

The values they point at are differentiable through a gather: see :func:`along`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.node import Node, constant
from nbgrad.core.primitive import Primitive
from nbgrad.ops.arrays.indexing import take
from nbgrad.ops.basis import reshape, transpose
from nbgrad.ops.kinds.batching import SHIFTED, Batch, only
from nbgrad.ops.kinds.opaque import opaque

INDEX = np.dtype(np.intp)


def untracked(
    name: str,
    evaluate: Callable[..., Any],
    shape: Callable[..., tuple[int, ...]],
    doc: str,
    cases: tuple[Any, ...],
    dtype: Any = INDEX,
    batch: Batch = SHIFTED,
) -> Primitive:
    """Declare an operation of arrays with integer or boolean results of a known shape."""

    def prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
        xs = tuple(x if x.__class__ is Node else constant(x) for x in xs)
        avals = (x.aval for x in xs)
        return xs, make_aval(shape(*avals, **params), np.dtype(dtype)), ()

    return opaque(name, prepare=prepare, evaluate=evaluate, doc=doc, batch=batch, cases=cases)


def _in_lines(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """*evaluate* of arrays in three dimensions: NumPy sorts at most 32, and arrays have 64."""

    @functools.wraps(evaluate)
    def call(*xs: Any, axis: int, **params: Any) -> Any:
        shape = xs[0].shape
        if len(shape) <= 32:
            return evaluate(*xs, axis=axis, **params)
        lines = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
        return evaluate(*(x.reshape(lines) for x in xs), axis=1, **params).reshape(shape)

    return call


def _argsort(x: Any, axis: int) -> Any:
    """Stable order. NumPy's fastest sort gives it too where no two elements are equal, or NaN."""
    if x.shape[axis] > 64 and x.dtype.kind in "fiu":
        order = np.argsort(x, axis=axis)
        found = np.moveaxis(np.take_along_axis(x, order, axis), axis, -1)
        if np.all(found[..., 1:] > found[..., :-1]):
            return order
    return np.argsort(x, axis=axis, kind="stable")


argsort = untracked(
    "argsort",
    _in_lines(_argsort),
    lambda x, axis: x.shape,
    "Positions of the sorted elements along an axis; equal ones stay in order, NaN is last.",
    cases=(((2, 3), {"axis": 0}), ((4,), {"axis": 0})),
)
argpartition = untracked(
    "argpartition",
    _in_lines(lambda x, kth, axis: np.argpartition(x, kth, axis=axis)),
    lambda x, kth, axis: x.shape,
    "Positions that put the kth elements in their sorted places, smaller ones before.",
    cases=(((2, 4), {"kth": (1,), "axis": 1}),),
)
lexsort = untracked(
    "lexsort",
    _in_lines(lambda *keys, axis: np.lexsort(keys, axis=axis)),
    lambda *keys, axis: keys[0].shape,
    "Positions sorted by the last key, ties by the one before it, and so on.",
    cases=(((3,), (3,), {"axis": 0}),),
)
searchsorted = untracked(
    "searchsorted",
    lambda a, v, side: np.searchsorted(a, v, side=side),
    lambda a, v, side: v.shape,
    "Where elements would be inserted into a sorted vector.",
    cases=(((1,), (2, 3), {"side": "left"}),),
    batch=only(1),
)
digitize = untracked(
    "digitize",
    lambda x, bins, right: np.digitize(x, bins, right=right),
    lambda x, bins, right: x.shape,
    "Number of the bin of each element, of bins that increase or decrease.",
    cases=(((2, 3), (2,), {"right": False}),),
    batch=only(0),
)
isin = untracked(
    "isin",
    lambda x, test, invert: np.isin(x, test, invert=invert),
    lambda x, test, invert: x.shape,
    "Whether each element is among those of the second operand.",
    cases=(([3, 1, 4], [1, 3], {"invert": False}),),
    batch=only(0),
    dtype=bool,
)


def _running(accumulate: Callable[..., Any], wins: Callable[..., Any]) -> Callable[..., Any]:
    """Positions of the running extremum: the first element that attains it, or the first NaN."""

    def evaluate(x: Any, axis: int) -> Any:
        moved = np.moveaxis(x, axis, -1)
        best = accumulate(moved, axis=-1)
        fresh = np.ones(moved.shape, bool)
        before, now = best[..., :-1], moved[..., 1:]
        fresh[..., 1:] = wins(now, before) | ((now != now) & (before == before))
        own = np.where(fresh, np.arange(moved.shape[-1]), 0)
        return np.moveaxis(np.maximum.accumulate(own, axis=-1), -1, axis)

    return evaluate


running_argmax = untracked(
    "running_argmax",
    _running(np.maximum.accumulate, np.greater),
    lambda x, axis: x.shape,
    "Position of the largest of the elements so far along an axis; the first of equal ones.",
    cases=(((2, 3), {"axis": 1}),),
)
running_argmin = untracked(
    "running_argmin",
    _running(np.minimum.accumulate, np.less),
    lambda x, axis: x.shape,
    "Position of the smallest of the elements so far along an axis; the first of equal ones.",
    cases=(((2, 3), {"axis": 1}),),
)


def along(x: Node, index: Node, axis: int) -> Node:
    """Elements of *x* at positions *index* along *axis*; other dimensions are equal."""
    order = (*(k for k in range(x.ndim) if k != axis), axis)
    back = tuple(int(k) for k in np.argsort(order))
    rows, places = transpose(x, perm=order), transpose(index, perm=order)
    starts = np.arange(math.prod(rows.shape[:-1]), dtype=INDEX) * x.shape[axis]
    places = places + constant(starts.reshape((*rows.shape[:-1], 1)))
    return transpose(take(reshape(rows, shape=(x.size,)), places), perm=back)
