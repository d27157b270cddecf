"""Medians, quantiles and percentiles, by all of NumPy's methods.

The elements are gathered by position from the unsorted array, so only those that count get a
gradient; quantiles between two elements share it, and are differentiable in ``q`` too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.aval import normalize_axis
from nbgrad.core.node import Node, constant
from nbgrad.core.operands import as_operand
from nbgrad.core.values import known_value
from nbgrad.errors import refuse
from nbgrad.ops.arrays import sorting
from nbgrad.ops.arrays.indexing import take
from nbgrad.ops.basis import detach
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.elements.comparison import equal, isnan, logical_and, logical_not
from nbgrad.ops.elements.rounding import ceil, floor, rint
from nbgrad.ops.elements.selection import maximum, minimum
from nbgrad.ops.elements.selection import where as select
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import OUT, Axis, any, as_dtype, mean, sum
from nbgrad.vocabulary.reductions.scans import cumsum
from nbgrad.vocabulary.reductions.statistics import weights_of
from nbgrad.vocabulary.shapes import as_node, broadcast_to, is_number, reshape, transpose

INDEX = np.dtype(np.intp)
# Hyndman and Fan's constants alpha and beta of the methods that interpolate everywhere.
CONTINUOUS = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "linear": (1.0, 1.0),
    "median_unbiased": (1 / 3.0, 1 / 3.0),
    "normal_unbiased": (3 / 8.0, 3 / 8.0),
}
DISCRETE = ("inverted_cdf", "closest_observation", "lower", "higher", "nearest")
METHODS = (*CONTINUOUS, *DISCRETE, "averaged_inverted_cdf", "midpoint")


# ------------------------------------------------------------------------------ picking elements


class Rows:
    """The elements to order, in rows, and the shape of what is left of each."""

    def __init__(self, name: str, a: Any, axis: Axis, keepdims: bool, skip: bool) -> None:
        node = as_node(a)
        axes = normalize_axis(name, axis, node.ndim)
        kept = tuple(k for k in range(node.ndim) if k not in axes)
        self.shape = tuple(
            1 if k in axes else n for k, n in enumerate(node.shape) if keepdims or k in kept
        )
        self.order_of_axes = (*kept, *axes)
        self.size = math.prod(node.shape[k] for k in axes)
        self.values = self.arranged(node)
        self.count = self.values.shape[0]
        self.order = sorting.argsort(self.values, axis=1)
        missing = isnan(self.values) if node.aval.inexact else None
        self.spoiled = any(missing, 1, keepdims=True) if missing is not None and not skip else None
        self.valid = logical_not(missing) if missing is not None and skip else None
        starts = np.arange(self.count, dtype=INDEX)[:, None] * self.size
        self.starts = constant(starts)

    def arranged(self, node: Node) -> Node:
        """*node*, or weights of its shape, in rows."""
        return reshape(transpose(node, self.order_of_axes), (-1 if node.size else 0, self.size))

    def pick(self, index: Node) -> Node:
        """The elements at positions *index* of the sorted rows, one or several for each row."""
        places = take(reshape(self.order, (-1,)), index + self.starts)
        return take(reshape(self.values, (-1,)), places + self.starts)

    def length(self, like: np.dtype[Any]) -> Any:
        """How many elements of each row count."""
        if self.valid is None:
            return self.size
        return as_dtype(sum(self.valid, 1, keepdims=True), like)

    def settled(self, found: Node, shape: tuple[int, ...]) -> Node:
        """Results in rows, as NumPy shapes them; NaN where an element is NaN."""
        if self.spoiled is not None:
            found = select(self.spoiled, np.nan, found)
        return reshape(transpose(found), (*shape, *self.shape))


# ----------------------------------------------------------------------------------------- median


def _median(name: str, a: Any, axis: Axis, out: Any, keepdims: bool, skip: bool) -> Node:
    refuse(name, OUT, out=out)
    rows = Rows(name, a, axis, keepdims, skip)
    if not rows.size:
        return as_dtype(np.full(rows.shape, np.nan), np.result_type(rows.values.dtype, 0.0))
    n = rows.length(INDEX)
    if n.__class__ is Node:
        middle = [maximum(n - 1, 0), minimum(n, rows.size * 2 - 2)]
        pair = [rows.pick(arithmetic.floor_divide(k, 2)) for k in middle]
        return rows.settled((pair[0] + pair[1]) / 2, ())
    middle = sorted({(n - 1) // 2, n // 2})
    return rows.settled(mean(rows.pick(constant(np.array([middle]))), 1, keepdims=True), ())


@function(
    "numpy",
    np.median,
    cases=lambda d: [
        call(d.distinct(2, 4), axis=1),
        call(d.distinct(2, 3), axis=(0, 1), keepdims=True),
        call(d.distinct(3, 2), axis=0),
    ],
    method=True,
)
def median(
    a: Any,
    axis: Axis = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Node:
    """Median over *axis*; of an even number, the mean of the two in the middle."""
    return _median("median", a, axis, out, keepdims, skip=False)


def _holed(d: Any, *shape: int) -> Any:
    x = d.distinct(*shape)
    x[..., 1] = np.nan
    return x


@function(
    "numpy",
    np.nanmedian,
    cases=lambda d: [call(_holed(d, 2, 4), axis=1), call(_holed(d, 2, 3), keepdims=True)],
    method=True,
)
def nanmedian(
    a: Any,
    axis: Axis = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Node:
    """Median over *axis* of what is not NaN; NaN if nothing is."""
    return _median("nanmedian", a, axis, out, keepdims, skip=True)


# -------------------------------------------------------------------------------------- quantiles


def _discrete(method: str, n: Any, q: Node) -> Node:
    """Position that a method without interpolation picks."""
    if method in ("inverted_cdf", "closest_observation"):
        place = n * q - 1 if method == "inverted_cdf" else n * q - 1 - 0.5
        low = floor(place)
        stays = equal(place, low)
        if method == "closest_observation":
            stays = logical_and(stays, equal(arithmetic.remainder(low, 2), 1))
        return select(stays, low, low + 1)
    place = (n - 1) * q
    if method == "nearest":
        return rint(place)
    return floor(place) if method == "lower" else ceil(place)


def _between(method: str, n: Any, q: Node) -> tuple[Node, Node]:
    """Position of the element before a quantile, and how far it is to the next."""
    if method == "midpoint":
        place = (n - 1) * q
        low = floor(place)
        return low, as_dtype(low < place, place.dtype) * 0.5
    if method == "averaged_inverted_cdf":
        place = n * q - 1
        low = floor(place)
        return low, select(equal(place, low), 0.5, as_dtype(1.0, place.dtype))
    alpha, beta = CONTINUOUS[method]
    place = (n - 1) * q if method == "linear" else n * q + (alpha + q * (1 - alpha - beta)) - 1
    low = floor(detach(place))
    return low, place - low


def _weighted(rows: Rows, q: Node, weights: Node) -> Node:
    """Position of the first element at which the share of the weights so far reaches q."""
    if rows.valid is not None:
        weights = select(rows.valid, weights, 0.0)
    shares = cumsum(sorting.along(as_dtype(weights, float), rows.order, 1), 1)
    last = take(reshape(shares, (-1,)), rows.starts + (rows.size - 1))
    shares = as_dtype(shares / last, q.dtype)
    shares = select(equal(shares, 0), -1.0, shares)
    below = reshape(shares, (rows.count, 1, rows.size)) < reshape(q, (1, -1, 1))
    return minimum(sum(below, 2), rows.size - 1)


def _interpolated(rows: Rows, q: Node, method: str, weak: bool) -> Node:
    n = rows.length(q.dtype)
    low, share = _between(method, n, q)
    top = maximum(n - 1, 0.0)
    before = as_dtype(maximum(minimum(low, top), 0.0), INDEX)
    after = as_dtype(maximum(minimum(low + 1, top), 0.0), INDEX)
    a, b = rows.pick(before), rows.pick(after)
    if weak:
        share = as_dtype(share, a.dtype if a.aval.inexact else float)
    step = b - a
    return select(share >= 0.5, b - step * (1 - share), a + step * share)


def _quantile(
    name: str, a: Any, q: Any, axis: Axis, out: Any, method: str, keepdims: bool, weights: Any
) -> Node:
    refuse(name, OUT, out=out)
    node, share = as_node(a), _checked(name, q)
    if node.dtype.kind == "c":
        raise TypeError(f"{name}: a must be an array of real numbers")
    if method not in METHODS:
        raise ValueError(f"{name}: {method!r} is not a valid method. Use one of: {METHODS}")
    if weights is not None and method != "inverted_cdf":
        raise ValueError(f"{name}: only method 'inverted_cdf' supports weights. Got: {method}.")
    if method == "linear" and "quantile" in name and not as_node(q).aval.inexact:
        method = "lower"  # 0 or 1 as integers: the extremes themselves, in their dtype
    rows = Rows(name, node, axis, keepdims, name.startswith("nan"))
    if not rows.size:
        raise IndexError(f"{name}: no quantile of zero elements (shape {node.shape})")
    flat = reshape(share, (1, -1))
    if weights is not None:
        given = broadcast_to(weights_of(name, node, axis, weights), node.shape)
        found = rows.pick(_weighted(rows, flat, rows.arranged(given)))
    elif method in DISCRETE:
        n = rows.length(flat.dtype)
        place = maximum(minimum(_discrete(method, n, flat), n - 1), 0.0)
        found = rows.pick(as_dtype(place, INDEX))
    else:
        found = _interpolated(rows, flat, method, is_number(q))
    return rows.settled(found, share.shape)


def _checked(name: str, q: Any) -> Node:
    """*q* between 0 and 1 as a node; percentiles are divided by 100."""
    node = as_node(as_operand(q))
    top = 100 if "percentile" in name else 1
    known = known_value(node)  # before a cast, of which the value is not known yet
    if not node.aval.inexact:
        node = as_dtype(node, float)
    if known is not None and not np.all((known >= 0) & (known <= top)):
        what = "Percentiles" if top == 100 else "Quantiles"
        raise ValueError(f"{name}: {what} must be in the range [0, {top}]")
    return node / 100 if top == 100 else node


def _quantile_cases(d: Any, top: float) -> list[Any]:
    continuous = [m for m in METHODS if m in CONTINUOUS]
    x, q = d.distinct(2, 5), top * np.array([0.36, 0.64]).astype(d.dtype)
    found = [call(x, q, axis=1, method=m) for m in continuous]
    fixed = 0.45 * top
    found += [call(x, fixed, axis=1, method=m) for m in METHODS if m not in CONTINUOUS]
    found.append(call(x, fixed, keepdims=True))
    w = np.array([1.0, 3.0, 0.5, 2.0, 1.0])
    found.append(call(x, [fixed, 0.0], 1, method="inverted_cdf", weights=w))
    return found


@function("numpy", np.quantile, cases=lambda d: _quantile_cases(d, 1.0), method=True)
def quantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Node:
    """Value below which a share *q* of the elements lies, over *axis*.

    *method* is one of NumPy's: the default interpolates linearly between two elements, which then
    share the gradient; the derivative in *q* is the slope between them.
    """
    return _quantile("quantile", a, q, axis, out, method, keepdims, weights)


@function("numpy", np.percentile, cases=lambda d: _quantile_cases(d, 100.0)[-3:])
def percentile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Node:
    """:func:`quantile` of ``q / 100``."""
    return _quantile("percentile", a, q, axis, out, method, keepdims, weights)


def _nan_cases(d: Any, top: float) -> list[Any]:
    x, q = _holed(d, 2, 5), top * np.array([0.36, 0.64]).astype(d.dtype)
    w = np.array([[1.0, 3.0, 0.5, 2.0, 1.0]] * 2)
    return [
        call(x, q, axis=1),
        call(x, 0.45 * top, method="nearest"),
        call(x, 0.45 * top, 1, method="inverted_cdf", weights=w),
    ]


@function("numpy", np.nanquantile, cases=lambda d: _nan_cases(d, 1.0), method=True)
def nanquantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Node:
    """:func:`quantile` of what is not NaN; NaN if nothing is."""
    return _quantile("nanquantile", a, q, axis, out, method, keepdims, weights)


@function("numpy", np.nanpercentile, cases=lambda d: _nan_cases(d, 100.0))
def nanpercentile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Node:
    """:func:`percentile` of what is not NaN; NaN if nothing is."""
    return _quantile("nanpercentile", a, q, axis, out, method, keepdims, weights)
