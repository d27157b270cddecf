"""Reductions other than the plain sum: mean, prod, extrema, any, all, argmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.node import Node
from nbgrad.ops.basis import concatenate, reshape, slice_, sum_, transpose
from nbgrad.ops.elements.comparison import equal, indicator
from nbgrad.ops.kinds.cotangents import conjugate, expand, times
from nbgrad.ops.kinds.forms import Combine, Library
from nbgrad.ops.kinds.reduction import reduction
from nbgrad.ops.totals import total


def _floating(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.kind in "fc" else np.dtype(np.float64)


def count(x: Aval, axis: tuple[int, ...]) -> int:
    """Number of elements that a reduction over *axis* combines."""
    return math.prod(x.shape[a] for a in axis)


def _mean(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    # Not np.mean, whose warning for an empty array no errstate silences.
    return np.true_divide(total(x, axis, keepdims), count(x, axis), dtype=x.dtype)


mean = reduction(
    "mean",
    evaluate=_mean,
    combine=Combine(
        "{a} + {b}",
        "0",
        "fc",
        finalize="{a} / {n}",
        complex_finalize="divide_{c}({a}, {n})",
    ),
    vjp=lambda ct, y, x, axis, keepdims: expand(ct / max(count(x.aval, axis), 1), x.aval, axis),
    jvp=lambda t, y, x, axis, keepdims: mean(t, axis=axis, keepdims=keepdims),
    dtype=_floating,
    doc="Arithmetic mean over axes.",
)


def _ties(y: Node, x: Node, axis: tuple[int, ...]) -> Node:
    """One at the elements that attain the extremum."""
    return indicator(equal(x, expand(y, x.aval, axis)), x)


def _extremum_vjp(ct: Any, y: Node, x: Node, axis: Any, keepdims: bool) -> Node:
    ties = _ties(y, x, axis)
    share = times(ct, 1 / sum_(ties, axis=axis, keepdims=keepdims))  # once, not for each element
    return times(expand(share, x.aval, axis), ties)


def _extremum_jvp(t: Node, y: Node, x: Node, axis: Any, keepdims: bool) -> Node:
    ties = _ties(y, x, axis)
    weights = ties / expand(sum_(ties, axis=axis, keepdims=True), x.aval, axis)
    return sum_(times(t, weights), axis=axis, keepdims=keepdims)


max_ = reduction(
    "max",
    evaluate=lambda x, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims),
    combine=Combine("({a} if ({a} >= {b}) | ({a} != {a}) else {b})", "-inf", "fi"),
    vjp=_extremum_vjp,
    jvp=_extremum_jvp,
    needs_elements=True,
    doc="Largest element over axes; the gradient is split evenly among ties.",
)
min_ = reduction(
    "min",
    evaluate=lambda x, axis, keepdims: np.min(x, axis=axis, keepdims=keepdims),
    combine=Combine("({a} if ({a} <= {b}) | ({a} != {a}) else {b})", "inf", "fi"),
    vjp=_extremum_vjp,
    jvp=_extremum_jvp,
    needs_elements=True,
    doc="Smallest element over axes; the gradient is split evenly among ties.",
)


def _halves(x: Node) -> tuple[Node, Node, Node | None]:
    """Split the last axis in two equal halves and, if it is odd, the last element."""
    n = x.shape[-1] // 2
    lead, zeros, steps = x.shape[:-1], (0,) * (x.ndim - 1), (1,) * x.ndim

    def part(start: int, size: int) -> Node:
        return slice_(x, starts=(*zeros, start), sizes=(*lead, size), steps=steps)

    return part(0, n), part(n, n), part(2 * n, 1) if x.shape[-1] % 2 else None


def _exclusive_products(x: Node) -> Node:
    """For each element of the last axis, the product of all the others.

    A binary tree of products is built and descended: no division, so zeros are exact, and it is
    made of products only, so its own derivatives are exact too.
    """
    n = x.shape[-1]
    if n == 1:
        return x * 0 + 1
    left, right, odd = _halves(x)
    pairs = left * right
    above = pairs if odd is None else concatenate(pairs, odd, axis=x.ndim - 1)
    outside = _exclusive_products(above)
    size = pairs.shape[-1]
    shape = {"starts": (0,) * x.ndim, "sizes": pairs.shape, "steps": (1,) * x.ndim}
    of_pairs = slice_(outside, **shape) if odd is not None else outside
    parts = [of_pairs * right, of_pairs * left]
    if odd is not None:
        starts = (0,) * (x.ndim - 1) + (size,)
        parts.append(slice_(outside, starts=starts, sizes=odd.shape, steps=shape["steps"]))
    return concatenate(*parts, axis=x.ndim - 1)


def _prod_weights(x: Node, axis: tuple[int, ...]) -> Node:
    kept = tuple(k for k in range(x.ndim) if k not in axis)
    perm = kept + axis
    moved = transpose(x, perm=perm)
    rows = reshape(moved, shape=(*(x.shape[k] for k in kept), count(x.aval, axis)))
    weights = reshape(_exclusive_products(rows), shape=moved.shape)
    return transpose(weights, perm=tuple(int(k) for k in np.argsort(perm)))


def _prod_vjp(ct: Any, y: Node, x: Node, axis: Any, keepdims: bool) -> Any:
    if x.size == 0 or not axis:
        return ct if not axis else 0.0
    return times(expand(ct, x.aval, axis), conjugate(_prod_weights(x, axis)))


def _prod_jvp(t: Node, y: Node, x: Node, axis: Any, keepdims: bool) -> Node:
    if x.size == 0 or not axis:
        return t if not axis else sum_(t, axis=axis, keepdims=keepdims)
    return sum_(times(t, _prod_weights(x, axis)), axis=axis, keepdims=keepdims)


prod = reduction(
    "prod",
    evaluate=lambda x, axis, keepdims: np.prod(x, axis=axis, keepdims=keepdims),
    combine=Combine("{a} * {b}", "1", "fiuc"),
    vjp=_prod_vjp,
    jvp=_prod_jvp,
    dtype=lambda d: np.multiply.reduce(np.empty(0, d)).dtype,
    doc="Product over axes; the gradient is exact when elements are zero.",
)
any_ = reduction(
    "any",
    evaluate=lambda x, axis, keepdims: np.any(x, axis=axis, keepdims=keepdims),
    combine=Combine("{a} | {b}", "False", "b"),
    dtype=lambda d: np.dtype(bool),
    doc="Whether any element holds.",
)
all_ = reduction(
    "all",
    evaluate=lambda x, axis, keepdims: np.all(x, axis=axis, keepdims=keepdims),
    combine=Combine("{a} & {b}", "True", "b"),
    dtype=lambda d: np.dtype(bool),
    doc="Whether all elements hold.",
)


def _arg(function: Any) -> Any:
    def evaluate(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        if len(axis) == 1:
            return function(x, axis=axis[0], keepdims=keepdims)
        flat = function(x)
        return np.reshape(flat, (1,) * x.ndim) if keepdims else flat

    return evaluate


def _arg_splits(params: dict[str, Any], x: Aval) -> Any:
    """The dimensions before, along and after the axis."""
    axis = params["axis"]
    if len(axis) == 1:
        return [(0, axis[0], axis[0] + 1, x.ndim)]
    return [(0, 0, x.ndim, x.ndim)] if len(axis) == x.ndim else None


argmax = reduction(
    "argmax",
    evaluate=_arg(np.argmax),
    library=Library("argmax", ("fiu",), _arg_splits),
    dtype=lambda d: np.dtype(np.intp),
    needs_elements=True,
    doc="Index of the first largest element.",
)
argmin = reduction(
    "argmin",
    evaluate=_arg(np.argmin),
    library=Library("argmin", ("fiu",), _arg_splits),
    dtype=lambda d: np.dtype(np.intp),
    needs_elements=True,
    doc="Index of the first smallest element.",
)
