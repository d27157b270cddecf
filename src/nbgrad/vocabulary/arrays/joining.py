"""Arrays joined: stacks, blocks, appended, inserted and deleted elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import single_axis
from nbgrad.core.node import Node
from nbgrad.vocabulary.arrays.rearranging import along, atleast_1d, atleast_2d, atleast_3d, rows
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.shapes import (
    as_node,
    broadcast_to,
    cast_to,
    concatenate,
    listed,
    moveaxis,
    one_axis,
    reshape,
)
from nbgrad.vocabulary.subscript import getitem
from nbgrad.vocabulary.support import concrete


def _each(grown: Any, tup: Any) -> list[Node]:
    return [grown(x) for x in listed(tup)]


@function("numpy", np.hstack, cases=lambda d: [call([d(2), d(1)]), call((d(2, 1), d(2, 2)))])
def hstack(tup: Sequence[Any], *, dtype: Any = None, casting: Any = "same_kind") -> Node:
    """Join along the second axis (the first of 1-d arrays)."""
    nodes = _each(atleast_1d, tup)
    axis = 0 if nodes and nodes[0].ndim == 1 else 1
    return concatenate(nodes, axis, dtype=dtype, casting=casting)


@function(
    "numpy",
    np.vstack,
    aliases=("row_stack",),
    cases=lambda d: [call([d(2), d(2)]), call([d(1, 2), d(2, 2)])],
    complex=True,
)
def vstack(tup: Sequence[Any], *, dtype: Any = None, casting: Any = "same_kind") -> Node:
    """Join along the first axis; vectors are rows."""
    return concatenate(_each(atleast_2d, tup), 0, dtype=dtype, casting=casting)


@function("numpy", np.dstack, cases=lambda d: [call([d(2), d(2)]), call([d(2, 2), d(2, 2)])])
def dstack(tup: Sequence[Any]) -> Node:
    """Join along the third axis."""
    return concatenate(_each(atleast_3d, tup), 2)


@function("numpy", np.column_stack, cases=lambda d: [call([d(2), d(2, 2)])], complex=True)
def column_stack(tup: Sequence[Any]) -> Node:
    """Join along the second axis; vectors are columns."""
    nodes = [as_node(x) for x in listed(tup)]
    return concatenate([n if n.ndim > 1 else reshape(n, (-1, 1)) for n in nodes], 1)


@function(
    "numpy",
    np.block,
    cases=lambda d: [
        call([[d(2, 2), d(2, 1)], [d(1, 2), d(1, 1)]]),
        call([d(), d(2)]),
        call(d(2)),
    ],
    complex=True,
)
def block(arrays: Any) -> Node:
    """Assemble an array from nested lists of blocks: innermost lists join the last axis."""
    depth = _depth(arrays, "arrays")
    ndim = max(depth, *_ndims(arrays))
    return _block(arrays, depth, ndim)


def _depth(nest: Any, where: str) -> int:
    """Depth of a nest of lists, which is the same everywhere."""
    if isinstance(nest, tuple):
        raise TypeError(f"block: {where} is a tuple; only lists can hold blocks")
    if not isinstance(nest, list):
        return 0
    if not nest:
        raise ValueError(f"block: List at {where} cannot be empty")
    depths = [_depth(item, f"{where}[{k}]") for k, item in enumerate(nest)]
    if len(set(depths)) != 1:
        raise ValueError(f"block: List depths are mismatched in {where}: {depths}")
    return depths[0] + 1


def _ndims(nest: Any) -> list[int]:
    if isinstance(nest, list):
        return [n for item in nest for n in _ndims(item)]
    return [as_node(nest).ndim, 0]


def _block(nest: Any, depth: int, ndim: int) -> Node:
    if depth == 0:
        node = as_node(nest)
        return reshape(node, (1,) * (ndim - node.ndim) + node.shape)
    return concatenate([_block(item, depth - 1, ndim) for item in nest], ndim - depth)


@function("numpy", np.append, cases=lambda d: [call(d(2), d(1, 2)), call(d(2, 2), d(1, 2), 0)])
def append(arr: Any, values: Any, axis: int | None = None) -> Node:
    """*arr* with *values* at its end; both are flattened if *axis* is None."""
    return concatenate([as_node(arr), as_node(values)], axis)


def _flattened(name: str, arr: Any, axis: int | None) -> tuple[Node, int]:
    """The array and the axis to edit: without axis, the flattened array's last."""
    node = as_node(arr)
    if axis is None:
        return reshape(node, (-1,)), 0
    return node, one_axis(name, axis, node.ndim)


def _places(name: str, obj: Any, n: int) -> Any:
    """Integer positions that a slice, a mask or an integer array stands for."""
    if isinstance(obj, slice):
        return np.arange(*obj.indices(n), dtype=np.intp)
    places = concrete(obj)
    if places.ndim > 1:
        raise ValueError(f"{name}: index array argument obj must be one dimensional or scalar")
    if places.dtype == bool:
        return np.flatnonzero(places)
    return places if places.size else places.astype(np.intp)


@function(
    "numpy",
    np.insert,
    cases=lambda d: [
        call(d(2, 2), 1, d()),
        call(d(2, 2), 1, d(2), axis=1),
        call(d(3), [0, 2], d(2)),
        call(d(2, 3), [2, 1], d(2, 2), axis=1),
        call(d(3), slice(0, 2), d(1)),
    ],
    complex=True,
)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Node:
    """*arr* with *values* inserted before the positions *obj* of *axis*."""
    node, k = _flattened("insert", arr, axis)
    n = node.shape[k]
    places = _places("insert", obj, n)
    if places.size and (places.min() < -n or places.max() > n):
        raise IndexError(f"insert: index {obj} is out of bounds for axis {k} with size {n}")
    new = cast_to("insert", as_node(values), node.dtype)
    if places.size == 1:
        new = reshape(new, (1,) * (node.ndim - new.ndim) + new.shape)
        new = moveaxis(new, 0, k) if places.ndim == 0 else new
        places = np.repeat(places.reshape(1), new.shape[k])
    count = len(places)
    while new.ndim > node.ndim and new.shape[0] == 1:
        new = reshape(new, new.shape[1:])
    new = broadcast_to(new, (*node.shape[:k], count, *node.shape[k + 1 :]))
    places = np.where(places < 0, places + n, places)
    order = np.insert(np.arange(n), places, n + np.arange(count))
    return rows(concatenate([node, new], k), order, k)


@function(
    "numpy",
    np.delete,
    cases=lambda d: [
        call(d(2, 2), 1),
        call(d(2, 3), [0, -1], axis=1),
        call(d(4), slice(None, None, 2)),
    ],
    complex=True,
)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Node:
    """*arr* without the positions *obj* of *axis*."""
    node, k = _flattened("delete", arr, axis)
    n = node.shape[k]
    gone = obj if isinstance(obj, slice) else concrete(obj)
    if isinstance(gone, np.ndarray) and not gone.size and gone.dtype != bool:
        gone = gone.astype(np.intp)  # an empty list
    return rows(node, np.delete(np.arange(n), gone), k)


def _cut(node: Node, cuts: Sequence[Any], axis: int) -> list[Node]:
    ends = [*cuts, None]
    return [
        getitem(node, along(axis, slice(start, stop)))
        for start, stop in zip([0, *cuts], ends, strict=True)
    ]


@function(
    "numpy",
    np.array_split,
    cases=lambda d: [call(d(5), 3), call(d(2, 3), [1], axis=1)],
    complex=True,
    view=True,
)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Node]:
    """Parts along *axis*: a number of nearly equal ones, or cut at the given indices."""
    node = as_node(ary)
    k = one_axis("array_split", axis, node.ndim)
    where = concrete(indices_or_sections)
    if where.ndim:
        return _cut(node, where.tolist(), k)
    sections = int(where)
    if sections <= 0:
        raise ValueError("array_split: number sections must be larger than 0.")
    size, longer = divmod(node.shape[k], sections)
    sizes = [size + 1] * longer + [size] * (sections - longer)
    return _cut(node, np.cumsum(sizes)[:-1].tolist(), k)


@function(
    "numpy",
    np.split,
    cases=lambda d: [call(d(2, 4), 2, axis=1), call(d(5), [1, 3])],
    complex=True,
    method=True,
    view=True,
)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Node]:
    """Parts along *axis*: a number of equal ones, or cut at the given indices."""
    node = as_node(ary)
    where = concrete(indices_or_sections)
    if not where.ndim and node.shape[one_axis("split", axis, node.ndim)] % int(where):
        raise ValueError(
            "split: array split does not result in an equal division; use array_split"
        )
    return array_split(node, where, axis)


@function("numpy", np.hsplit, cases=lambda d: [call(d(2, 4), 2), call(d(4), [1])], view=True)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Node]:
    """Parts along the second axis (the first of a 1-d array)."""
    node = as_node(ary)
    if not node.ndim:
        raise ValueError("hsplit: only works on arrays of 1 or more dimensions")
    return split(node, indices_or_sections, 1 if node.ndim > 1 else 0)


@function("numpy", np.vsplit, cases=lambda d: [call(d(4, 2), 2)], view=True)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Node]:
    """Parts along the first axis of an array of two or more dimensions."""
    node = as_node(ary)
    if node.ndim < 2:
        raise ValueError("vsplit: only works on arrays of 2 or more dimensions")
    return split(node, indices_or_sections, 0)


@function("numpy", np.dsplit, cases=lambda d: [call(d(1, 2, 4), 2)], view=True)
def dsplit(ary: Any, indices_or_sections: Any) -> list[Node]:
    """Parts along the third axis."""
    node = as_node(ary)
    if node.ndim < 3:
        raise ValueError("dsplit: only works on arrays of 3 or more dimensions")
    return split(node, indices_or_sections, 2)


@function(
    "numpy",
    "numpy.unstack",
    also=(getattr(np, "unstack", None),),  # which NumPy 2.0 has not
    cases=lambda d: [call(d(2, 3)), call(d(2, 3), axis=1)],
    complex=True,
    view=True,
)
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Node, ...]:
    """The slices along *axis*, as a tuple: the inverse of stack."""
    node = as_node(x)
    if not node.ndim:
        raise ValueError("unstack: input array must be at least 1-d.")
    k = single_axis("unstack", axis, node.ndim)
    return tuple(getitem(node, along(k, j)) for j in range(node.shape[k]))
