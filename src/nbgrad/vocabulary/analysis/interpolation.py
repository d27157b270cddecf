"""Piecewise linear interpolation, differentiable in the places, the knots and their values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.aval import single_axis
from nbgrad.core.node import Node
from nbgrad.ops.arrays import sorting
from nbgrad.ops.arrays.indexing import take
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.elements.arithmetic import absolute, strong_multiply
from nbgrad.ops.elements.comparison import equal, logical_and, logical_or, not_equal
from nbgrad.ops.elements.exponential import shifted
from nbgrad.ops.elements.selection import maximum, minimum, where
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import as_dtype
from nbgrad.vocabulary.reductions.scans import window
from nbgrad.vocabulary.shapes import as_node, concatenate, moveaxis, reshape


def interval(x: Node, at: Node) -> Node:
    """Number of the interval between knots *x* that each place is in; the end ones go on."""
    place = sorting.searchsorted(x, at, side="right") - 1
    return maximum(minimum(place, x.shape[0] - 2), 0)


def between(x: Node, y: Node, at: Node) -> Node:
    """Linear interpolation of the rows of *y* at places *at* of any shape, going on at the ends.

    On a knot the slope is that of the interval after it, on the last one of that before it.
    """
    k = interval(x, at)
    x0, x1, y0, y1 = take(x, k), take(x, k + 1), take(y, k), take(y, k + 1)

    def column(v: Node) -> Node:
        return reshape(v, (*at.shape, *(1,) * (y.ndim - 1)))

    flat = equal(x1, x0)  # two knots in one place: a jump, which has no slope
    slope = (y1 - y0) / column(where(flat, 1.0, x1 - x0))
    slope = where(column(flat), 0.0, slope)
    # On a knot nothing is added to its value, though the slope to its neighbour be infinite.
    after = y0 + strong_multiply(column(shifted(at, x0)), slope)
    before = y1 + strong_multiply(column(shifted(at, x1)), slope)
    found = where(logical_or(column(at >= x1), not_equal(after, after)), before, after)
    # Both knots infinite: only what is equal at both has a value between them.
    found = where(logical_and(not_equal(found, found), equal(y0, y1)), y0, found)
    return where(column(not_equal(at, at)), math.nan, found)


@function(
    "numpy",
    np.interp,
    cases=lambda d: [
        call(np.array([0.3, 1.7, 2.6]), np.array([0.0, 1.0, 2.5, 3.0]), d(4)),
        call(np.array([-0.3, 3.2, 0.1]), np.array([0.0, 1.0]), d(2), left=d.real(), right=0.5),
        call(np.array([0.3, 3.7, -2.6]), np.array([0.1, 2.0, 1.0]), d(3), period=3.0),
    ],
    complex=True,
)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Node:
    """Piecewise linear function through the points (*xp*, *fp*), at places *x*.

    Differentiable in all of them. On a knot the slope is that of the interval after it, on the
    last knot of that before it; outside the function is constant.
    """
    at, knots = as_dtype(x, float), as_dtype(xp, float)
    values = as_node(fp)
    values = as_dtype(values, complex if values.dtype.kind == "c" else float)
    if knots.ndim != 1 or values.ndim != 1:
        raise ValueError("interp: data points must be 1-D sequences")
    if knots.shape != values.shape:
        raise ValueError("interp: fp and xp are not of the same length")
    if not knots.size:
        raise ValueError("interp: array of sample points is empty")
    if period is not None:
        at, knots, values = _wrapped(at, knots, values, period)
        left = right = None
    n = knots.shape[0]
    ends = [reshape(window(v, 0, k, k + 1), ()) for v in (knots, values) for k in (0, n - 1)]
    low = ends[2] if left is None else as_dtype(left, values.dtype)
    high = ends[3] if right is None else as_dtype(right, values.dtype)
    inside = between(knots, values, at) if n > 1 else ends[2] + 0.0 * at
    return where(at < ends[0], low, where(at > ends[1], high, inside))


def _wrapped(at: Node, knots: Node, values: Node, period: Any) -> tuple[Node, Node, Node]:
    """One period of a periodic function, with a knot more at either side."""
    if period.__class__ is not Node and period == 0:
        raise ValueError("interp: period must be a non-zero value")
    length = absolute(as_dtype(period, float))
    at, knots = arithmetic.remainder(at, length), arithmetic.remainder(knots, length)
    order = sorting.argsort(knots, axis=0)
    knots, values = take(knots, order), take(values, order)
    n = knots.shape[0]
    first, last = (window(knots, 0, k, k + 1) for k in (0, n - 1))
    knots = concatenate([last - length, knots, first + length])
    values = concatenate([window(values, 0, n - 1, n), values, window(values, 0, 0, 1)])
    return at, knots, values


def spread(found: Node, at: Node, axis: int) -> Node:
    """Move the dimensions of the places to where the axis of the values was."""
    count = at.ndim
    return moveaxis(found, tuple(range(count)), tuple(range(axis, axis + count)))


def _scipy_linear(
    x: Any, y: Any, xnew: Any, axis: int = -1, fill_value: Any = "extrapolate"
) -> Any:
    from scipy.interpolate import interp1d

    # SciPy before 1.18 takes the differences of single precision in single precision.
    y = np.asarray(y, np.result_type(y, np.float64))
    return interp1d(x, y, axis=axis, fill_value=fill_value, bounds_error=False)(xnew)


@function(
    "interpolate",
    _scipy_linear,
    cases=lambda d: [
        call(np.array([0.0, 1.0, 2.5]), d(2, 3), np.array([[0.3, 1.7], [2.6, -0.2]])),
        call(np.array([0.0, 1.0, 2.5]), d(3, 2), np.array([0.3, 1.7, 2.2]), axis=0),
    ],
)
def piecewise_linear(
    x: Any, y: Any, xnew: Any, axis: int = -1, fill_value: Any = "extrapolate"
) -> Node:
    """Piecewise linear function through *y* along *axis*, over increasing knots *x*.

    Outside the knots it is *fill_value*, a pair of them for the two sides, or goes on if that is
    ``"extrapolate"``.
    """
    knots, values, at = as_dtype(x, float), as_node(y), as_dtype(xnew, float)
    values = as_dtype(values, complex if values.dtype.kind == "c" else float)
    k = single_axis("piecewise_linear", axis, values.ndim)
    if knots.ndim != 1 or knots.shape[0] != values.shape[k] or knots.shape[0] < 2:
        raise ValueError(
            f"piecewise_linear: x of shape {knots.shape} must hold two knots or more, one for each "
            f"element of y along axis {axis} (shape {values.shape})"
        )
    found = between(knots, moveaxis(values, k, 0), at)
    if not isinstance(fill_value, str):
        pair = fill_value if isinstance(fill_value, tuple) else (fill_value, fill_value)
        low, high = (as_dtype(side, found.dtype) for side in pair)
        places = reshape(at, (*at.shape, *(1,) * (values.ndim - 1)))
        n = knots.shape[0]
        found = where(places < window(knots, 0, 0, 1), low, found)
        found = where(places > window(knots, 0, n - 1, n), high, found)
    return spread(found, at, k)
