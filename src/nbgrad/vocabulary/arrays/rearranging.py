"""Elements in another order: flips, rolls, rotations, repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import broadcast_shapes, normalize_axis
from nbgrad.core.node import Node
from nbgrad.errors import refuse
from nbgrad.ops.arrays import rolls
from nbgrad.ops.arrays.indexing import take
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.shapes import (
    as_node,
    as_shape,
    broadcast_to,
    expand_dims,
    moveaxis,
    one_axis,
    reshape,
    swapaxes,
)
from nbgrad.vocabulary.subscript import getitem
from nbgrad.vocabulary.support import concrete, held

Axis = int | tuple[int, ...] | None


def along(axis: int, item: Any) -> tuple[Any, ...]:
    """An index of one axis, the others whole."""
    return (*[slice(None)] * axis, item)


def rows(x: Node, index: Any, axis: int) -> Node:
    """The elements of *x* at the integer array *index* of *axis*."""
    found = take(moveaxis(x, axis, 0), held(index))
    return moveaxis(found, 0, axis)


def placed(x: Node, positions: Any) -> Node:
    """Elements of *x* by their *positions* in the flattened array."""
    return take(reshape(x, (-1,)), held(positions))


@function(
    "numpy",
    np.flip,
    cases=lambda d: [call(d(2, 3)), call(d(2, 3), axis=-1), call(d(2, 3), (0, 1))],
    complex=True,
    method=True,
    view=True,
)
def flip(m: Any, axis: Axis = None) -> Node:
    """Reverse the order of the elements along *axis* (all axes by default)."""
    node = as_node(m)
    flipped = normalize_axis("flip", axis, node.ndim)
    return getitem(
        node, tuple(slice(None, None, -1 if k in flipped else None) for k in range(node.ndim))
    )


@function(
    "numpy", np.fliplr, cases=lambda d: [call(d(2, 3))], complex=True, method=True, view=True
)
def fliplr(m: Any) -> Node:
    """Reverse the order along the second axis."""
    node = as_node(m)
    if node.ndim < 2:
        raise ValueError(f"fliplr: input must be at least 2-d, not of shape {node.shape}")
    return flip(node, 1)


@function(
    "numpy", np.flipud, cases=lambda d: [call(d(3, 2))], complex=True, method=True, view=True
)
def flipud(m: Any) -> Node:
    """Reverse the order along the first axis."""
    node = as_node(m)
    if node.ndim < 1:
        raise ValueError("flipud: input must be at least 1-d")
    return flip(node, 0)


@function(
    "numpy",
    np.rot90,
    cases=lambda d: [call(d(2, 3)), call(d(2, 3, 2), 3, axes=(0, -1)), call(d(2, 3), k=-2)],
    complex=True,
    method=True,
    view=True,
)
def rot90(m: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Node:
    """Rotate *k* quarter turns in the plane of two *axes*, from the first to the second."""
    node = as_node(m)
    if len(axes) != 2:
        raise ValueError(f"rot90: axes must be two, not {axes}")
    first, second = (one_axis("rot90", axis, node.ndim) for axis in axes)
    if first == second:
        raise ValueError(f"rot90: axes must be different, not {axes}")
    turns = int(k) % 4
    if turns == 0:
        return node
    if turns == 2:
        return flip(node, (first, second))
    if turns == 1:
        return swapaxes(flip(node, second), first, second)
    return flip(swapaxes(node, first, second), second)


@function(
    "numpy",
    np.roll,
    cases=lambda d: [
        call(d(2, 3), 2),
        call(d(2, 3), -1, axis=1),
        call(d(2, 3), (1, 2), axis=(0, 1)),
    ],
    complex=True,
    method=True,
)
def roll(a: Any, shift: Any, axis: Axis = None) -> Node:
    """Shift the elements along *axis*; those that leave one end enter at the other."""
    node = as_node(a)
    shift = concrete(shift) if shift.__class__ is Node else shift
    if axis is None:
        return reshape(roll(reshape(node, (-1,)), shift, 0), node.shape)
    for places, k in zip(*_pairs(shift, axis), strict=True):
        node = _rolled(node, int(places), one_axis("roll", k, node.ndim))
    return node


def _pairs(shift: Any, axis: Any) -> tuple[list[int], list[int]]:
    shifts, axes = np.broadcast_arrays(shift, axis)
    if shifts.ndim > 1:
        raise ValueError("roll: 'shift' and 'axis' should be scalars or 1-d sequences")
    return shifts.ravel().tolist(), axes.ravel().tolist()


def _rolled(x: Node, places: int, axis: int) -> Node:
    count = places % x.shape[axis] if x.shape[axis] else 0
    if not count:
        return x
    found: Node = rolls.roll(x, shift=count, axis=axis)
    return found


@function(
    "numpy",
    np.tile,
    cases=lambda d: [call(d(2, 3), 2), call(d(3), (2, 2)), call(d(2, 1, 2), (1, 3))],
    complex=True,
    method=True,
)
def tile(A: Any, reps: Any) -> Node:
    """Repeat the whole array *reps* times along each dimension."""
    node = as_node(A)
    counts = as_shape(concrete(reps))
    ndim = max(node.ndim, len(counts))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - node.ndim) + node.shape
    apart = reshape(node, [n for extent in shape for n in (1, extent)])
    pairs = [n for r, extent in zip(counts, shape, strict=True) for n in (r, extent)]
    merged = tuple(r * extent for r, extent in zip(counts, shape, strict=True))
    return reshape(broadcast_to(apart, pairs), merged)


@function(
    "numpy",
    np.repeat,
    cases=lambda d: [
        call(d(2, 3), 2),
        call(d(2, 3), 2, axis=-1),
        call(d(2, 3), [2, 0, 1], axis=1),
    ],
    complex=True,
    method=True,
)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Node:
    """Repeat each element *repeats* times (a number, or one for each) along *axis*."""
    node = as_node(a)
    if axis is None or not node.ndim:
        node, axis = reshape(node, (-1,)), 0
    k = one_axis("repeat", axis, node.ndim)
    counts = concrete(repeats)
    if counts.size != 1:
        return rows(node, np.repeat(np.arange(node.shape[k]), counts), k)
    count = int(counts.reshape(()))
    if count < 0:
        raise ValueError(f"repeat: repeats may not contain negative values ({count})")
    shape = node.shape
    apart = expand_dims(node, k + 1)
    wide = broadcast_to(apart, (*shape[: k + 1], count, *shape[k + 1 :]))
    return reshape(wide, (*shape[:k], shape[k] * count, *shape[k + 1 :]))


@function(
    "numpy",
    np.ravel,
    cases=lambda d: [call(d(2, 3)), call(d(2, 3), order="F")],
    complex=True,
    view="contiguous",
)
def ravel(a: Any, order: str = "C") -> Node:
    """The elements in one dimension."""
    return reshape(a, (-1,), order="C" if order == "K" else order)


@function(
    "numpy", np.rollaxis, cases=lambda d: [call(d(2, 1, 3), 2), call(d(2, 3), 0, 2)], view=True
)
def rollaxis(a: Any, axis: int, start: int = 0) -> Node:
    """Move *axis* back until it stands before *start*; moveaxis is easier to read."""
    node = as_node(a)
    k = one_axis("rollaxis", axis, node.ndim)
    place = start + node.ndim if start < 0 else start
    if not 0 <= place <= node.ndim:
        raise np.exceptions.AxisError(
            f"rollaxis: start arg requires {-node.ndim} <= start < {node.ndim + 1}, "
            f"but {start} was passed in"
        )
    return moveaxis(node, k, place - 1 if k < place else place)


@function(
    "numpy", np.matrix_transpose, cases=lambda d: [call(d(2, 1, 3))], complex=True, view=True
)
def matrix_transpose(x: Any, /) -> Node:
    """Exchange the last two dimensions."""
    node = as_node(x)
    if node.ndim < 2:
        raise ValueError(f"matrix_transpose: input must be at least 2-d, not {node.shape}")
    return swapaxes(node, -1, -2)


@function("numpy", np.resize, cases=lambda d: [call(d(2, 2), (3, 2)), call(d(3), 2)], complex=True)
def resize(a: Any, new_shape: Any) -> Node:
    """The elements in a new shape, cut off or repeated from the start as often as needed."""
    node = as_node(a)
    shape = as_shape(new_shape)
    if min(shape, default=0) < 0:
        raise ValueError(f"resize: all elements of new_shape must be non-negative, not {shape}")
    if not node.size:
        return held(np.zeros(shape, node.dtype))
    return placed(node, np.resize(np.arange(node.size), shape))


@function(
    "numpy",
    np.trim_zeros,
    cases=lambda d: [call(np.pad(d(2), 1)), call(np.pad(d(2, 2), 1), "f", axis=1)],
    complex=True,
    differentiable=False,  # a step of finite differences fills the zeros: see test_shapes.py,
    view=True,
)
def trim_zeros(filt: Any, trim: str = "fb", axis: Axis = None) -> Node:
    """Drop the zeros at the front (``f``) and the back (``b``); looks at the values."""
    node = as_node(filt)
    sides = trim.lower()
    if sides not in ("fb", "bf", "f", "b"):
        raise ValueError(f"trim_zeros: trim must be 'f', 'b' or 'fb', not {trim!r}")
    filled = np.argwhere(concrete(node) != 0)
    window: list[Any] = [slice(None)] * node.ndim
    for k in normalize_axis("trim_zeros", axis, node.ndim):
        low = int(filled[:, k].min()) if len(filled) and "f" in sides else 0
        high = int(filled[:, k].max()) + 1 if len(filled) else 0
        window[k] = slice(low, high if "b" in sides or not len(filled) else None)
    return getitem(node, tuple(window))


def _at_least(xs: Sequence[Any], grown: Any) -> Any:
    found = tuple(grown(as_node(x)) for x in xs)
    return found[0] if len(found) == 1 else found


@function("numpy", np.atleast_1d, cases=lambda d: [call(d(), d(2, 3))], complex=True, view=True)
def atleast_1d(*arys: Any) -> Any:
    """Give each array at least one dimension."""
    return _at_least(arys, lambda x: x if x.ndim else reshape(x, (1,)))


@function(
    "numpy",
    np.atleast_2d,
    cases=lambda d: [call(d()), call(d(3), d(1, 2))],
    complex=True,
    view=True,
)
def atleast_2d(*arys: Any) -> Any:
    """Give each array at least two dimensions; new ones come first."""
    return _at_least(arys, lambda x: reshape(x, (1,) * (2 - x.ndim) + x.shape))


def _grown_3d(x: Node) -> Node:
    shapes = {0: (1, 1, 1), 1: (1, *x.shape, 1), 2: (*x.shape, 1)}
    return reshape(x, shapes[x.ndim]) if x.ndim < 3 else x


@function(
    "numpy", np.atleast_3d, cases=lambda d: [call(d(), d(3), d(2, 3))], complex=True, view=True
)
def atleast_3d(*arys: Any) -> Any:
    """Give each array at least three dimensions; a vector becomes ``(1, n, 1)``."""
    return _at_least(arys, _grown_3d)


@function(
    "numpy",
    np.broadcast_arrays,
    cases=lambda d: [call(d(3), d(2, 1), d())],
    complex=True,
    view=True,
)
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    """All arrays in the shape they have when broadcast against each other."""
    nodes = [as_node(x) for x in args]
    shape = broadcast_shapes("broadcast_arrays", *(n.shape for n in nodes)) if nodes else ()
    return tuple(broadcast_to(n, shape) for n in nodes)


@function(
    "numpy",
    np.lib.stride_tricks.sliding_window_view,
    cases=lambda d: [
        call(d(5), 3),
        call(d(3, 4), (2, 3)),
        call(d(3, 4), (3,), axis=(0,)),
        call(d(2, 5), 2, -1),
        call(d(6), (2, 3), (0, 0)),
    ],
    complex=True,
)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Axis = None, *, subok: bool = False, writeable: bool = False
) -> Node:
    """Every window of *window_shape*, in new dimensions at the end. It is a copy, no view."""
    name = "sliding_window_view"
    refuse(name, "the windows are copies; write to the tensor", writeable=writeable or None)
    node, sizes = as_node(x), as_shape(window_shape)
    axes = tuple(range(node.ndim)) if axis is None else as_shape(axis)
    axes = tuple(one_axis(name, k, node.ndim) for k in axes)
    if len(axes) != len(sizes):
        raise ValueError(
            f"{name}: window_shape {sizes} must have one size for each axis of {axes}"
        )
    for size, k in zip(sizes, axes, strict=True):
        count = node.shape[k] - size + 1
        if size < 0 or count < 1:
            raise ValueError(
                f"{name}: a window of {size} does not lie in the {node.shape[k]} elements of axis {k}"
            )
        index = np.arange(count)[:, None] + np.arange(size)
        node = moveaxis(take(moveaxis(node, k, 0), held(index)), (0, 1), (k, -1))
    return node
