"""Grids of coordinates, and what NumPy makes arrays with by subscripts: mgrid, ogrid, r_, c_."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.boxes import box
from nbgrad.core.node import Node
from nbgrad.core.operands import unwrap
from nbgrad.core.registry import register_object
from nbgrad.vocabulary.arrays.making import converted
from nbgrad.vocabulary.arrays.picking import known
from nbgrad.vocabulary.arrays.ranges import arange, linspace
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.shapes import (
    as_node,
    as_shape,
    broadcast_to,
    concatenate,
    expand_dims,
    reshape,
)
from nbgrad.vocabulary.support import concrete, held, repeats


@function(
    "numpy",
    np.meshgrid,
    cases=lambda d: [
        call(d(2), d(3)),
        call(d(2), d(3), d(1), indexing="ij", sparse=True),
        call(d(2)),
    ],
    complex=True,
)
def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Node, ...]:
    """Coordinate arrays of a grid from the coordinates along each axis."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing must be 'xy' or 'ij', not {indexing!r}")
    count = len(xi)
    order = list(range(count))
    if indexing == "xy" and count > 1:
        order[:2] = [1, 0]
    shape = [1] * count
    out = []
    for x, k in zip(xi, order, strict=True):
        node = as_node(x)
        shape[k] = node.size
        out.append(reshape(node, [node.size if j == k else 1 for j in range(count)]))
    return tuple(out if sparse else (broadcast_to(x, shape) for x in out))


@function(
    "numpy", "numpy.indices", cases=lambda d: [call((2, 3)), call((2, 3), float, sparse=True)]
)
def indices(dimensions: Any, dtype: Any = int, sparse: bool = False) -> Any:
    """The indices of a grid: for each dimension an array of its coordinate."""
    found = np.indices(as_shape(concrete(dimensions)), dtype, sparse)  # type: ignore[call-overload]
    return tuple(held(x) for x in found) if sparse else held(found)


@function(
    "numpy",
    np.ix_,
    name="ix_",
    cases=lambda d: [call(d.integers(3, 2), d.booleans(3))],
    differentiable=False,
)
def ix_(*args: Any) -> tuple[Node, ...]:
    """Index arrays that together select the grid of the given positions of each axis."""
    return tuple(held(x) for x in np.ix_(*(concrete(known_or_mask(x)) for x in args)))


def known_or_mask(x: Any) -> Any:
    """Integer positions, or a boolean mask as it is."""
    found = concrete(x)
    return found if found.dtype == bool else known(found)


@function(
    "numpy",
    np.vander,
    cases=lambda d: [call(d(3)), call(d(2), 4, increasing=True), call(d(2), N=0)],
    complex=True,
)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Node:
    """The powers of a vector's elements as columns, the highest first."""
    node = as_node(x)
    if node.ndim != 1:
        raise ValueError(f"vander: x must be a one-dimensional array, not of shape {node.shape}")
    count = node.shape[0] if N is None else repeats("vander", "N", N)
    if count < 0:
        raise ValueError(f"vander: the number of columns must not be negative ({count})")
    node = converted(node, np.result_type(node.dtype, int))
    power: Any = held(np.ones(node.shape, node.dtype))
    columns = []
    for k in range(count):
        power = power if k == 0 else power * node if k > 1 else node
        columns.append(expand_dims(power, 1))
    if not columns:
        return held(np.ones((node.shape[0], 0), node.dtype))
    return concatenate(columns if increasing else columns[::-1], 1)


# ------------------------------------------------------------------------- subscripted objects


def _plain(item: Any) -> Any:
    """A slice's bounds as numbers; tensors in it are looked at by value."""
    if isinstance(item, slice):
        parts = (unwrap(p) for p in (item.start, item.stop, item.step))
        return slice(*(concrete(p)[()] if p.__class__ is Node else p for p in parts))
    return item


class Grid:
    """``mgrid`` and ``ogrid``: coordinate tensors of the slices in a subscript."""

    def __init__(self, sparse: bool) -> None:
        self._grid = np.ogrid if sparse else np.mgrid

    def __getitem__(self, key: Any) -> Any:
        plain = tuple(_plain(k) for k in key) if isinstance(key, tuple) else _plain(key)
        found = self._grid[plain]
        if isinstance(found, tuple):
            return tuple(box(held(x)) for x in found)
        return box(held(found))


class Joined:
    """``r_`` and ``c_``: what stands in the subscript, joined; slices become ranges.

    A first item ``"axis,ndim,place"`` says along which axis to join, to how many dimensions at
    least, and where the dimensions of an item of fewer are put.
    """

    def __init__(self, axis: int = 0, ndim: int = 1, place: int = -1) -> None:
        self._layout = (axis, ndim, place)

    def __getitem__(self, key: Any) -> Any:
        items = list(key) if isinstance(key, tuple) else [key]
        axis, ndim, place = self._layout
        if items and isinstance(items[0], str):
            axis, ndim, place = _directive(items.pop(0), self._layout)
        nodes = [_fitted(_item(item), ndim, place) for item in items]
        scalars = [n for n, item in zip(nodes, items, strict=True) if np.isscalar(item)]
        if scalars and len(scalars) < len(nodes):
            wide = [n.dtype for n in nodes if not any(n is s for s in scalars)]
            numbers = [item for item in items if np.isscalar(item)]
            dtype = np.result_type(*wide, *numbers)
            nodes = [converted(n, dtype) for n in nodes]
        return box(concatenate(nodes, axis))


def _directive(text: str, layout: tuple[int, int, int]) -> tuple[int, int, int]:
    if text in ("r", "c"):
        raise TypeError("r_: matrices ('r', 'c') are not available; use r_['1,2'] or stack")
    given = [int(part) for part in text.split(",")]
    axis, ndim, place = (*given, *layout[len(given) :])
    return axis, ndim, place


def _item(item: Any) -> Node:
    """An array, a number, or the range that a slice stands for."""
    if not isinstance(item, slice):
        return converted(unwrap(item))
    start, stop, step = (unwrap(p) for p in (item.start, item.stop, item.step))
    start = 0 if start is None else start
    if isinstance(step, complex):
        return as_node(linspace(start, stop, int(abs(step))))
    return arange(start, stop, 1 if step is None else step)


def _fitted(node: Node, ndim: int, place: int) -> Node:
    """*node* with dimensions of size 1 added up to *ndim*, its own starting at *place*."""
    lacking = ndim - node.ndim
    if lacking <= 0:
        return node
    lead = lacking if place == -1 else min(max(place if place >= 0 else place + ndim, 0), lacking)
    return reshape(node, (1,) * lead + node.shape + (1,) * (lacking - lead))


register_object("numpy", "mgrid", Grid(sparse=False))
register_object("numpy", "ogrid", Grid(sparse=True))
register_object("numpy", "r_", Joined())
register_object("numpy", "c_", Joined(-1, 2, 0))
register_object("numpy", "s_", np.s_)
register_object("numpy", "index_exp", np.index_exp)
