"""``pad``: every mode of NumPy's, axis by axis, so that corners come out as NumPy's do."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.lookup import ours
from nbgrad.core.node import Node
from nbgrad.core.operands import holds_node
from nbgrad.ops import basis
from nbgrad.ops.elements.arithmetic import floor_divide, multiply
from nbgrad.vocabulary.arrays.rearranging import along, flip, rows
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions import plain
from nbgrad.vocabulary.shapes import (
    as_node,
    broadcast_to,
    cast_to,
    concatenate,
    one_axis,
    stack,
)
from nbgrad.vocabulary.subscript import getitem
from nbgrad.vocabulary.support import concrete, held

# The keyword argument that each mode takes.
OPTIONS = {
    "constant": "constant_values", "empty": "", "edge": "", "wrap": "",
    "linear_ramp": "end_values", "reflect": "reflect_type", "symmetric": "reflect_type",
    "maximum": "stat_length", "minimum": "stat_length", "mean": "stat_length",
    "median": "stat_length",
}  # fmt: skip


def _node_of(nest: Any) -> Any:
    """Nested sequences that hold nodes, as one node."""
    if not isinstance(nest, (list, tuple)):
        return nest
    return stack([_node_of(item) for item in nest])


def _pairs(given: Any, ndim: int) -> Any:
    """*given* for both sides of each axis: ``pairs[axis][side]``."""
    if holds_node(given):
        node = broadcast_to(_node_of(given), (ndim, 2))
        return [[getitem(node, (k, side)) for side in (0, 1)] for k in range(ndim)]
    return np.broadcast_to(np.asarray(given), (ndim, 2)).tolist()


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        table = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            table[axis] = (width, width) if np.ndim(width) == 0 else tuple(width)
        pad_width = table
    widths = concrete(pad_width)
    if widths.dtype.kind not in "iu":
        raise TypeError("pad: `pad_width` must be of integral type.")
    if widths.size and widths.min() < 0:
        raise ValueError("pad: index can't contain negative values")
    return [(int(a), int(b)) for a, b in np.broadcast_to(widths, (ndim, 2))]


def _edges(x: Node, axis: int) -> tuple[Node, Node]:
    return getitem(x, along(axis, slice(0, 1))), getitem(x, along(axis, slice(-1, None)))


def _wide(x: Node, value: Node, axis: int, width: int) -> Node:
    """*value* (0-d, or of size 1 along *axis*) as a slab of *width*."""
    return broadcast_to(value, (*x.shape[:axis], width, *x.shape[axis + 1 :]))


def _constant(x: Node, axis: int, widths: Any, values: Any) -> Node:
    slabs = [cast_to("pad", as_node(v), x.dtype) for v in values]
    left, right = (_wide(x, v, axis, w) for v, w in zip(slabs, widths, strict=True))
    return concatenate([left, x, right], axis)


def _ramps(x: Node, axis: int, widths: Any, ends: Any) -> Node:
    """Straight lines from the end values to the edges."""
    slabs = []
    for edge, end, width in zip(_edges(x, axis), ends, widths, strict=True):
        shape = [1] * x.ndim
        shape[axis] = width
        part = held((np.arange(width) / max(width, 1)).reshape(shape))
        if x.aval.inexact:
            part = cast_to("pad", part, np.zeros(0, x.dtype).real.dtype)
        line = as_node(end) + multiply(edge - as_node(end), part)
        slabs.append(
            cast_to("pad", floor_divide(line, 1) if x.dtype.kind in "iu" else line, x.dtype)
        )
    return concatenate([slabs[0], x, flip(slabs[1], axis)], axis)


def _statistic(mode: str) -> Any:
    found = {"maximum": plain.max, "minimum": plain.min, "mean": plain.mean}
    return found[mode] if mode in found else _declared(np.median)


def _declared(reference: Any) -> Any:
    found = ours(reference)
    if found is None:
        raise NotImplementedError(f"pad: this needs {reference.__name__}, which is not available")
    return found


def _statistics(x: Node, axis: int, widths: Any, lengths: Any, mode: str) -> Node:
    slabs, n = [], x.shape[axis]
    for side, (length, width) in enumerate(zip(lengths, widths, strict=True)):
        count = n if length is None else min(int(length), n)
        if count == 0 and mode in ("maximum", "minimum"):
            raise ValueError("pad: stat_length of 0 yields no value for padding")
        window = slice(0, count) if side == 0 else slice(n - count, n)
        value = _statistic(mode)(getitem(x, along(axis, window)), axis=axis, keepdims=True)
        if x.dtype.kind in "iu" and value.aval.inexact:
            value = _declared(np.rint)(value)
        slabs.append(_wide(x, cast_to("pad", value, x.dtype), axis, width))
    return concatenate([slabs[0], x, slabs[1]], axis)


def _odd(x: Node, axis: int, widths: Any, mode: str) -> Node:
    """Reflections through the edge value: ``2 * edge - reflected``, as often as needed.

    NumPy's own result on the unit vectors gives the coefficients: each new element is plus or
    minus the element it reflects, and multiples of the two edges.
    """
    n = x.shape[axis]
    rest = ((0, 0),)
    map_ = np.pad(np.eye(n), (widths, *rest), mode=mode, reflect_type="odd")  # type: ignore[call-overload]
    source = np.pad(np.arange(n), widths, mode=mode)
    inner = (source > 0) & (source < n - 1)
    sign = np.where(inner, map_[np.arange(len(source)), source], 0)
    shape = [1] * x.ndim
    shape[axis] = -1

    def weights(column: Any) -> Node:
        return held(column.astype(np.zeros(0, x.dtype).real.dtype).reshape(shape))

    first, last = _edges(x, axis)
    total = rows(x, source, axis) * weights(sign) + first * weights(map_[:, 0])
    total = total + last * weights(map_[:, -1]) if n > 1 else total
    left = getitem(total, along(axis, slice(0, widths[0])))
    right = getitem(total, along(axis, slice(widths[0] + n, None)))
    return concatenate([left, x, right], axis)


def _one_axis(x: Node, axis: int, widths: Any, mode: str, option: Any) -> Node:
    if mode == "constant":
        return _constant(x, axis, widths, option[axis])
    if x.shape[axis] == 0:
        raise ValueError(
            f"pad: can't extend empty axis {axis} using modes other than 'constant' or 'empty'"
        )
    if mode == "linear_ramp":
        return _ramps(x, axis, widths, option[axis])
    if OPTIONS[mode] == "stat_length":
        return _statistics(x, axis, widths, option[axis], mode)
    if option == "odd" and x.shape[axis] > 1:
        return _odd(x, axis, widths, mode)
    return rows(x, np.pad(np.arange(x.shape[axis]), widths, mode=mode), axis)  # type: ignore[call-overload]


@function(
    "numpy",
    np.pad,
    cases=lambda d: [
        call(d(2, 3), 1),
        call(d(2, 3), ((1, 0), (2, 1)), constant_values=((1, 2), (3, 4))),
        call(d(3), (2, 3), "edge"),
        call(d(3, 2), ((4, 1), (0, 1)), mode="reflect"),
        call(d(3), (7, 4), "reflect", reflect_type="odd"),
        call(d(2, 3), (3, 4), mode="symmetric", reflect_type="odd"),
        call(d(2, 2), (2, 3), "symmetric"),
        call(d(3), (4, 2), "wrap"),
        call(d(2, 3), 2, "linear_ramp", end_values=(1, 2)),
        call(d(2, 3), 1, "mean", stat_length=2),
        call(d(3), {0: (1, 2)}),
    ],
    complex=True,
)
def pad(array: Any, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Node:
    """Widen each axis by *pad_width* elements; *mode* says what they hold.

    The modes are NumPy's. ``constant_values`` and ``end_values`` may be tensors, with gradients.
    ``"empty"`` pads with zeros. A function as *mode* is not available: it would have to write into
    the padded array; join the parts with ``concatenate`` instead.
    """
    node = as_node(array)
    widths = _widths(pad_width, node.ndim)
    if callable(mode):
        raise TypeError("pad: a function as mode writes in place; use concatenate instead")
    if mode not in OPTIONS:
        raise ValueError(f"pad: mode '{mode}' is not supported")
    if extra := set(kwargs) - {OPTIONS[mode]}:
        raise ValueError(f"pad: unsupported keyword arguments for mode '{mode}': {extra}")
    given = kwargs.get(OPTIONS[mode])
    if mode == "empty" or (
        mode == "constant" and (given is None or (given.__class__ is int and given == 0))
    ):
        return _zeros(node, widths)
    option = given
    if mode in ("constant", "linear_ramp") or OPTIONS[mode] == "stat_length":
        option = _pairs(given if given is not None or "stat" in OPTIONS[mode] else 0, node.ndim)
    for k, width in enumerate(widths):
        if any(width):
            node = _one_axis(node, one_axis("pad", k, node.ndim), width, mode, option)
    return node


def _zeros(x: Node, widths: Any) -> Node:
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, widths, strict=True))
    if shape == x.shape:
        return x
    return basis.pad(x, shape=shape, starts=tuple(a for a, _ in widths), steps=(1,) * x.ndim)
