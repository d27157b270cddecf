"""Elements by their indices: take, take_along_axis, choose, compress, extract."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.errors import ConcretizationError, refuse
from nbgrad.ops.arrays import indexing
from nbgrad.ops.elements import comparison, selection
from nbgrad.vocabulary.arrays.rearranging import broadcast_arrays, rows
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements import composite
from nbgrad.vocabulary.shapes import (
    as_node,
    expand_dims,
    moveaxis,
    one_axis,
    promoted,
    reshape,
    stack,
)
from nbgrad.vocabulary.subscript import getitem
from nbgrad.vocabulary.support import concrete, held


def known(x: Any) -> Any:
    """*x* as an array of integers; as the node it is while nbgrad.jit traces it."""
    try:
        found = concrete(x)
    except ConcretizationError:
        found = x
    if found.dtype.kind not in "iub" and found.size:
        raise TypeError(f"indices must be integers, not {found.dtype}; use astype(int)")
    return found if found.__class__ is Node else found.astype(np.intp, copy=False)


def bounded(name: str, index: Any, n: int, mode: str = "raise") -> Any:
    """*index* with negative numbers counted from the end, by NumPy's *mode* for those beyond.

    A traced index out of range becomes *n*, which take reports when it runs.
    """
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"{name}: mode must be 'raise', 'wrap' or 'clip', not {mode!r}")
    traced = index.__class__ is Node
    if mode == "wrap":
        return index % n
    if mode == "clip":
        return composite.clip(index, 0, n - 1) if traced else np.clip(index, 0, n - 1)
    if traced:
        inside = comparison.logical_and(index >= -n, index < n)
        return selection.where(inside, selection.where(index < 0, index + n, index), n)
    wrong = (index < -n) | (index >= n)
    if np.any(wrong):
        bad = index[wrong].reshape(-1)[0]
        raise IndexError(f"{name}: index {bad} is out of bounds for axis with size {n}")
    return np.where(index < 0, index + n, index)


def _lined(name: str, a: Any, axis: int | None) -> tuple[Node, int]:
    """The array and the axis to pick along: flattened if None; a number counts as one element."""
    node = as_node(a)
    if axis is None or not node.ndim:
        node, axis = reshape(node, (-1,)), 0 if axis is None else axis
    return node, one_axis(name, axis, node.ndim)


@function(
    "numpy",
    np.take,
    cases=lambda d: [
        call(d(2, 3), d.integers(6, 2, 2)),
        call(d(2, 3), [[2, -1]], axis=1),
        call(d(2, 3), 1, 0),
        call(d(3), [-4, 5], mode="wrap"),
        call(d(3), np.array([-4, 5]), mode="clip"),
    ],
    complex=True,
    method=True,
)
def take(
    a: Any, indices: Any, axis: int | None = None, out: None = None, mode: str = "raise"
) -> Node:
    """Elements of *a* at integer *indices* along *axis* (of the flattened array if None)."""
    refuse("take", "write result = take(...)", out=out)
    node, k = _lined("take", a, axis)
    index = bounded("take", known(indices), node.shape[k], mode)
    flat = index if index.ndim else _reshaped(index, (1,))
    moved = moveaxis(node, k, 0)
    found = indexing.take(moved, flat if flat.__class__ is Node else held(flat))
    found = moveaxis(found, tuple(range(flat.ndim)), tuple(range(k, k + flat.ndim)))
    return found if index.ndim else reshape(found, node.shape[:k] + node.shape[k + 1 :])


def _reshaped(index: Any, shape: tuple[int, ...]) -> Any:
    return reshape(index, shape) if index.__class__ is Node else np.reshape(index, shape)


def positions_along(name: str, indices: Any, shape: tuple[int, ...], axis: int) -> Node:
    """Positions in the flattened array of an index along *axis*, as take_along_axis reads it."""
    index = known(indices)
    if index.ndim != len(shape):
        raise ValueError(
            f"{name}: `indices` and `arr` must have the same number of dimensions, not "
            f"{index.ndim} and {len(shape)}"
        )
    index = bounded(name, index, shape[axis])
    base: Any = np.zeros((1,) * len(shape), np.intp)
    strides = [math.prod(shape[k + 1 :]) for k in range(len(shape))]
    for k, n in enumerate(shape):
        if k != axis:
            place = [1] * len(shape)
            place[k] = n
            base = base + strides[k] * np.arange(n).reshape(place)
    if index.__class__ is not Node:
        return held(base + index * strides[axis])
    beyond = math.prod(shape)
    return selection.where(index < shape[axis], base + index * strides[axis], beyond)


@function(
    "numpy",
    np.take_along_axis,
    cases=lambda d: [
        call(d(2, 3), d.integers(3, 2, 2), axis=1),
        call(d(2, 3), d.integers(2, 1, 3), 0),
        call(d(2, 2), np.array([3, -1]), axis=None),
    ],
    complex=True,
)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Node:
    """Elements picked along *axis*, for each line of *arr* by its own line of *indices*."""
    node = as_node(arr)
    if axis is None:
        node, axis = reshape(node, (-1,)), 0
    k = one_axis("take_along_axis", axis, node.ndim)
    places = positions_along("take_along_axis", indices, node.shape, k)
    return indexing.take(reshape(node, (-1,)), places)


@function(
    "numpy",
    np.choose,
    cases=lambda d: [
        call(d.integers(2, 3), [d(3), d(2, 1)]),
        call(np.array([0, 3, -1]), [d(3), d()], mode="wrap"),
    ],
    complex=True,
    method=True,
)
def choose(a: Any, choices: Sequence[Any], out: None = None, mode: str = "raise") -> Node:
    """For each element, that of the array in *choices* whose number stands in *a*."""
    refuse("choose", "write result = choose(...)", out=out)
    count = choices.shape[0] if choices.__class__ is Node else len(choices)
    index = known(a)
    if mode == "raise" and index.__class__ is not Node and np.any((index < 0) | (index >= count)):
        raise ValueError(f"choose: invalid entry in choice array: not from 0 to {count - 1}")
    index = bounded("choose", index, count, mode)
    parts = [getitem(choices, k) for k in range(count)] if choices.__class__ is Node else choices
    dtype = promoted(*parts)
    number, *spread = broadcast_arrays(
        index, *[composite.astype(as_node(x), dtype) for x in parts]
    )
    return getitem(take_along_axis(stack(spread), expand_dims(number, 0), 0), 0)


@function(
    "numpy",
    np.compress,
    cases=lambda d: [
        call([True, False, True], d(2, 3), axis=1),
        call(np.array([False, True]), d(2, 2)),
    ],
    complex=True,
)
def compress(condition: Any, a: Any, axis: int | None = None, out: None = None) -> Node:
    """The slices along *axis* where the 1-d *condition* holds."""
    refuse("compress", "write result = compress(...)", out=out)
    mask = concrete(condition)
    if mask.ndim != 1:
        raise ValueError(f"compress: condition must be a 1-d array, not of shape {mask.shape}")
    node, k = _lined("compress", a, axis)
    return rows(node, bounded("compress", np.flatnonzero(mask), node.shape[k]), k)


@function("numpy", np.extract, cases=lambda d: [call(d.booleans(2, 3), d(2, 3))], complex=True)
def extract(condition: Any, arr: Any) -> Node:
    """The elements of the flattened array where *condition* holds."""
    places = np.flatnonzero(concrete(condition))
    flat = reshape(arr, (-1,))
    return rows(flat, bounded("extract", places, flat.size), 0)


@function(
    "numpy",
    np.select,
    cases=lambda d: [
        call([d.booleans(3), d.booleans(3)], [d(3), d(2, 1)], d()),
        call([d.booleans(2)], [d(2)]),
    ],
    complex=True,
)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Node:
    """For each element, the choice of the first condition that holds, else *default*."""
    if len(condlist) != len(choicelist):
        raise ValueError(
            f"select: {len(condlist)} conditions do not match {len(choicelist)} choices"
        )
    if not len(condlist):
        raise ValueError("select: with an empty condition list is not possible")
    dtype = promoted(*choicelist, default)
    *chosen, out = [composite.astype(as_node(x), dtype) for x in (*choicelist, default)]
    for condition, choice in zip(reversed(condlist), reversed(chosen), strict=True):
        where = as_node(condition)
        if where.dtype != bool:
            raise TypeError(f"select: conditions must be boolean, not {where.dtype}")
        out = selection.where(where, choice, out)
    return out


@function(
    "numpy",
    np.unravel_index,
    cases=lambda d: [call(d.integers(6, 4), (2, 3)), call(5, (2, 3), order="F")],
    differentiable=False,
)
def unravel_index(indices: Any, shape: Any, order: Any = "C") -> tuple[Node, ...]:
    """Positions in a flattened array as indices of its dimensions."""
    return tuple(held(index) for index in np.unravel_index(known(indices), shape, order))


@function(
    "numpy",
    np.ravel_multi_index,
    cases=lambda d: [
        call((d.integers(2, 4), d.integers(3, 4)), (2, 3)),
        call((d.integers(5, 4), d.integers(3, 4)), (2, 3), mode="wrap"),
    ],
    differentiable=False,
)
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: Any = "C") -> Node:
    """Indices of the dimensions of an array as positions in it when flattened."""
    parts = tuple(known(index) for index in multi_index)
    return held(np.ravel_multi_index(parts, dims, mode, order))
