"""Histograms and counts: differentiable in weights, and in edges where densities divide by them."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.node import Node, constant
from nbgrad.core.values import value_of
from nbgrad.errors import ConcretizationError
from nbgrad.ops.arrays import sorting
from nbgrad.ops.arrays.indexing import scatter_add
from nbgrad.ops.elements.comparison import equal
from nbgrad.ops.elements.selection import where
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import as_dtype, max, min, sum
from nbgrad.vocabulary.reductions.scans import diff, window
from nbgrad.vocabulary.shapes import as_node, concatenate, reshape, transpose

INDEX = np.dtype(np.intp)
_BETWEEN = np.array([-0.7, 0.5, -0.4, 1.2, 1.6])  # samples that tests can move
_WEIGHTS = np.array([0.5, -0.2, 1.5, 0.8, 1.1])


@function(
    "numpy",
    np.bincount,
    cases=lambda d: [
        call(np.array([0, 3, 1, 3]), d.real(4), minlength=6),
        call(np.array([0, 3, 1, 3])),
    ],
    method=True,
)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Node:
    """How often each of 0, 1, 2 ... occurs, or the sum of the weights where it does.

    The length of the result is one more than the largest element, so *x* must not be traced.
    """
    node = as_node(x)
    if node.ndim != 1:
        raise ValueError("bincount: object must be 1-dimensional")
    if not node.size:
        node = as_dtype(node, INDEX)
    if node.dtype.kind not in "iub":
        raise TypeError(f"bincount: cannot cast x from {node.dtype} to int64 by the rule 'safe'")
    numbers = value_of(node)
    if numbers.size and numbers.min() < 0:
        raise ValueError("bincount: 'list' argument must have no negative elements")
    size = builtins.max(int(numbers.max(initial=-1)) + 1, operator.index(minlength))
    return _totals(as_dtype(node, INDEX), _counted_weights(weights, node), size)


def _counted_weights(weights: Any, x: Node) -> Node | None:
    if weights is None:
        return None
    node = as_node(weights)
    if node.shape != x.shape:
        raise ValueError("bincount: the weights and list don't have the same length.")
    return as_dtype(node, np.float64)


def _totals(index: Node, weights: Node | None, size: int) -> Node:
    """The sum of weights (or the number of elements) with each index below *size*."""
    ones = weights if weights is not None else constant(np.ones(index.shape, INDEX))
    return scatter_add(ones, index, size=size)


# ------------------------------------------------------------------------------------------ edges


def _known(node: Node) -> Any:
    """The values of *node*; None while a function is traced."""
    try:
        return value_of(node)
    except ConcretizationError:
        return None


def _uniform_edges(a: Node, n: int, span: Any) -> Node:
    """Edges of *n* equal bins over *span*, or from the smallest to the largest element."""
    if n < 1:
        raise ValueError("histogram: `bins` must be positive, when an integer")
    if span is None and a.size:
        first, last = min(a), max(a)
        ends = _known(first), _known(last)
        if ends[0] is not None and not np.isfinite(ends).all():
            raise ValueError(
                f"histogram: autodetected range of {list(map(float, ends))} is not finite"
            )
        widened = equal(first, last)
        dtype = a.dtype if a.aval.inexact else np.dtype(float)
        first, last = as_dtype(first, dtype), as_dtype(last, dtype)
        first, last = where(widened, first - 0.5, first), where(widened, last + 0.5, last)
        inner = np.arange(n, dtype=dtype) * ((last - first) / n) + first
        return concatenate([inner, reshape(last, (1,))])
    low, high = (0.0, 1.0) if span is None else (float(value_of(as_node(end))) for end in span)
    if low > high:
        raise ValueError("histogram: max must be larger than min in range parameter.")
    if not np.isfinite([low, high]).all():
        raise ValueError(f"histogram: supplied range of [{low}, {high}] is not finite")
    if low == high:
        low, high = low - 0.5, high + 0.5
    return constant(np.linspace(low, high, n + 1, dtype=np.result_type(low, high, a.dtype, 0.0)))


def _edges(a: Node, bins: Any, span: Any, weights: Any) -> tuple[Node, bool]:
    """Edges of the bins, and whether they are of equal width."""
    if isinstance(bins, str):
        if weights is not None:
            raise TypeError(
                "histogram: automated estimation of the number of bins is not supported for "
                "weighted data"
            )
        bins = len(np.histogram_bin_edges(value_of(a), bins, span)) - 1
    if bins.__class__ is not Node and np.ndim(bins) == 0:
        try:
            return _uniform_edges(a, operator.index(bins), span), True
        except TypeError as error:
            raise TypeError(
                "histogram: `bins` must be an integer, a string, or an array"
            ) from error
    edges = as_node(bins)
    if edges.ndim != 1:
        raise ValueError("histogram: `bins` must be 1d, when an array")
    known = _known(edges)
    if known is not None and np.any(known[:-1] > known[1:]):
        raise ValueError("histogram: `bins` must increase monotonically, when an array")
    return edges, False


@function(
    "numpy",
    np.histogram_bin_edges,
    cases=lambda d: [
        call(d.distinct(6), 3),
        call(d.distinct(6), "sturges"),
        call(d(4), range=(0, 1)),
    ],
)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Node:
    """Edges of the bins that :func:`histogram` takes; equal ones move with the extremes of *a*."""
    return _edges(reshape(as_node(a), (-1,)), bins, range, weights)[0]


# ------------------------------------------------------------------------------------- histograms


def _bins(x: Node, edges: Node) -> Node:
    """Number of the bin of each element; 0 is before the first, the last bin has both edges."""
    place = sorting.searchsorted(edges, x, side="right")
    n = edges.shape[0] - 1
    last = window(edges, 0, n, n + 1)
    return where(equal(x, last), n, place)


@function(
    "numpy",
    np.histogram,
    cases=lambda d: [
        call(d.distinct(6), 3, weights=d.real(6)),
        call(d.distinct(6), 3, density=True),
        call(_BETWEEN, np.array([-1.0, 0.0, 2.0]), weights=_WEIGHTS, density=True),
        call(d.distinct(6), 4, range=(-1, 1)),
    ],
)
def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Node, Node]:
    """Numbers of elements (or sums of weights) in bins, and the edges of the bins.

    Differentiable in weights, and with *density* in the edges, which may come from *a*.
    """
    x = reshape(as_node(a), (-1,))
    w = None if weights is None else as_node(weights)
    if w is not None and w.shape != as_node(a).shape:
        raise ValueError("histogram: weights should have the same shape as a.")
    edges, uniform = _edges(x, bins, range, weights)
    n = edges.shape[0] - 1
    index = _bins(as_dtype(x, edges.dtype) if uniform else x, edges)
    flat = None if w is None else reshape(w, (-1,))
    counts = window(_totals(index, flat, n + 2), 0, 1, n + 1)
    if not density:
        return counts, edges
    return counts / as_dtype(diff(edges), float) / sum(counts), edges


def _columns(sample: Any) -> list[Node]:
    """The coordinates of a sample: columns of a matrix, or a sequence of them."""
    if isinstance(sample, (tuple, list)):
        return [reshape(as_node(x), (-1,)) for x in sample]
    node = as_node(sample)
    node = node if node.ndim == 2 else transpose(reshape(node, (1, -1)))
    rows = transpose(node)
    return [reshape(window(rows, 0, k, k + 1), (-1,)) for k in builtins.range(rows.shape[0])]


@function(
    "numpy",
    np.histogramdd,
    cases=lambda d: [
        call(d.distinct(5, 2), bins=[2, 3], weights=d.real(5)),
        call(d.distinct(5, 2), bins=2, density=True),
    ],
)
def histogramdd(
    sample: Any,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Node, list[Node]]:
    """Histogram in several dimensions, and the edges of the bins along each.

    Examples
    --------
    >>> import nbgrad as ng
    >>> counts, edges = ng.histogramdd([[0.1, 0.2], [0.8, 0.9]], bins=2)
    >>> counts
    tensor([[1., 0.],
            [0., 1.]])
    """
    columns = _columns(sample)
    count = len(columns)
    several = isinstance(bins, (tuple, list)) or len(getattr(bins, "shape", ())) > 0
    per_axis: Sequence[Any] = list(bins) if several else [bins] * count
    if len(per_axis) != count:
        raise ValueError(
            "histogramdd: the dimension of bins must be equal to the dimension of the sample x."
        )
    spans = [None] * count if range is None else range
    if len(spans) != count:
        raise ValueError("histogramdd: range argument must have one entry per dimension")
    edges = [
        _edges(x if span is None else as_dtype(x, float), b, span, weights)[0]
        for x, b, span in zip(columns, per_axis, spans, strict=True)
    ]
    shape = [e.shape[0] + 1 for e in edges]
    index: Any = 0
    for x, e, n in zip(columns, edges, shape, strict=True):
        index = index * n + _bins(x, e)
    w = None if weights is None else reshape(as_node(weights), (-1,))
    hist = as_dtype(reshape(_totals(index, w, int(np.prod(shape))), tuple(shape)), float)
    for k, n in enumerate(shape):
        hist = window(hist, k, 1, n - 1)
    return (_density(hist, edges) if density else hist), edges


def _density(hist: Node, edges: Sequence[Node]) -> Node:
    total = sum(hist)
    for k, e in enumerate(edges):
        shape = tuple(-1 if j == k else 1 for j in builtins.range(len(edges)))
        hist = hist / reshape(diff(e), shape)
    return hist / total


@function(
    "numpy",
    np.histogram2d,
    cases=lambda d: [
        call(d.distinct(5), d.distinct(5), bins=[2, 3], weights=d.real(5)),
        call(_BETWEEN, _BETWEEN[::-1], bins=np.array([-1.0, 0.0, 2.0]), density=True),
    ],
)
def histogram2d(
    x: Any,
    y: Any,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Node, Node, Node]:
    """Histogram of pairs, and the edges of the bins along both dimensions."""
    a, b = as_node(x), as_node(y)
    if a.shape != b.shape:
        raise ValueError("histogram2d: x and y must have the same length.")
    count = len(bins) if isinstance(bins, (tuple, list)) else getattr(bins, "shape", (1,))[0]
    both = [bins, bins] if count not in (1, 2) else bins
    hist, (first, second) = histogramdd([a, b], both, range, density, weights)
    return hist, first, second
