"""Weighted means, ranges, covariances and correlations."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.values import known_value, looks, value_of
from nbgrad.errors import refuse
from nbgrad.ops import basis
from nbgrad.ops.elements import selection
from nbgrad.ops.elements.arithmetic import conjugate, sqrt
from nbgrad.ops.linalg import products
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.composite import astype
from nbgrad.vocabulary.reductions.plain import OUT, Axis, as_dtype, max, mean, min, sum
from nbgrad.vocabulary.shapes import (
    as_node,
    broadcast_to,
    concatenate,
    reshape,
    squeeze,
    transpose,
)


@function(
    "numpy",
    np.ptp,
    cases=lambda d: [call(d.distinct(2, 3), axis=1, keepdims=True)],
    method=True,
)
def ptp(a: Any, axis: Axis = None, out: Any = None, keepdims: bool = False) -> Node:
    """Largest minus smallest element over *axis*; ties share the gradient evenly."""
    refuse("ptp", OUT, out=out)
    node = as_node(a)
    return max(node, axis, keepdims=keepdims) - min(node, axis, keepdims=keepdims)


def weights_of(name: str, a: Node, axis: Axis, weights: Any) -> Node:
    """*weights* with the dimensions of *a*: they have its shape, or that of its *axis*."""
    node = as_node(weights)
    if node.shape == a.shape:
        return node
    if axis is None:
        raise TypeError(f"{name}: axis must be specified when shapes of a and weights differ")
    given = [k % a.ndim for k in (axis if isinstance(axis, tuple) else (axis,))]
    if node.shape != tuple(a.shape[k] for k in given):
        raise ValueError(
            f"{name}: shape of weights {node.shape} must be consistent with shape of a {a.shape} "
            f"along specified axis {axis}"
        )
    node = transpose(node, np.argsort(given).tolist())
    return reshape(node, tuple(n if k in given else 1 for k, n in enumerate(a.shape)))


@function(
    "numpy",
    np.average,
    cases=lambda d: [
        call(d(2, 3), axis=1, weights=d.positive(3), returned=True),
        call(d(2, 3), weights=d.positive(2, 3)),
        call(d(2, 3), axis=0),
    ],
    complex=True,
)
def average(
    a: Any,
    axis: Axis = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Any:
    """Mean over *axis* weighted by *weights*; with the sum of weights if *returned*."""
    node = as_node(a)
    if weights is None:
        found = mean(node, axis, keepdims=keepdims)
        total: Node = as_dtype(node.size / math.prod(found.shape or (1,)), found.dtype)
    else:
        w = weights_of("average", node, axis, weights)
        dtypes = [node.dtype, w.dtype]
        if not node.aval.inexact:
            dtypes.append(np.dtype(np.float64))
        dtype = np.result_type(*dtypes)
        known = known_value(w)
        w = broadcast_to(as_dtype(w, dtype), node.shape)
        total = sum(w, axis, keepdims=keepdims)
        if known is not None and not np.all(value_of(total)):
            raise ZeroDivisionError("average: weights sum to zero, can't be normalized")
        found = sum(node * w, axis, keepdims=keepdims) / total
    return (found, broadcast_to(total, found.shape)) if returned else found


def _variables(m: Any, rowvar: bool, dtype: Any, name: str) -> Node:
    """Observations as a matrix with a row for each variable."""
    node = as_dtype(m, dtype)
    if node.ndim > 2:
        raise ValueError(f"cov: {name} has more than 2 dimensions")
    if node.ndim < 2:
        return reshape(node, (1, -1))
    return node if rowvar or (name == "y" and node.shape[0] == 1) else transpose(node)


def _observation_weights(fweights: Any, aweights: Any, count: int) -> list[Node]:
    """Frequencies and importances of the observations, those that are given."""
    found = []
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        node = as_dtype(given, float)
        if node.ndim > 1:
            raise RuntimeError(f"cov: cannot handle multidimensional {name}")
        if node.shape[0] != count:
            raise RuntimeError(f"cov: incompatible numbers of samples and {name}")
        known = known_value(node)
        if known is not None and np.any(known < 0):
            raise ValueError(f"cov: {name} cannot be negative")
        if name == "fweights" and known is not None and np.any(known % 1):
            raise TypeError("cov: fweights must be integer")
        found.append(node)
    return found


@function(
    "numpy",
    np.cov,
    cases=lambda d: [
        call(d(2, 4)),
        call(d(4), d(4), bias=True),
        call(d(4, 2), rowvar=False, fweights=np.array([1, 2, 1, 3]), aweights=d.positive(4)),
        call(d(4)),
    ],
    complex=True,
    method=True,
)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Node:
    """Covariance matrix of variables in rows (columns if not *rowvar*), observed together."""
    if ddof is not None and ddof != int(ddof):
        raise ValueError("cov: ddof must be integer")
    given = [as_node(m)] if y is None else [as_node(m), as_node(y)]
    dtype = dtype or np.result_type(*(g.dtype for g in given), np.float64)
    parts = [_variables(g, rowvar, dtype, n) for g, n in zip(given, "my", strict=False)]
    x = concatenate(parts, 0) if len(parts) > 1 else parts[0]
    free = (0 if bias else 1) if ddof is None else int(ddof)
    weights = _observation_weights(fweights, aweights, x.shape[1])
    if not weights:
        divisor: Any = float(x.shape[1] - free)
        if divisor <= 0:
            looks.count += 1  # a replay would not warn
            warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=2)
        deviation = x - mean(x, 1, keepdims=True)
        factor = as_dtype(np.true_divide(1, np.maximum(divisor, 0)), x.dtype)
        return squeeze(products.matmul(deviation, transpose(conjugate(deviation))) * factor)
    w = weights[0] if len(weights) == 1 else weights[0] * weights[1]
    total = sum(w)
    loss = free if aweights is None else free * sum(w * weights[-1]) / total
    deviation = x - average(x, 1, w, keepdims=True)
    spread = products.matmul(
        deviation, as_dtype(transpose(conjugate(deviation * w)), deviation.dtype)
    )
    return squeeze(spread / selection.maximum(total - loss, 0.0))


@function(
    "numpy",
    np.corrcoef,
    cases=lambda d: [call(d(2, 4)), call(d(4), d(4)), call(d(4, 2), rowvar=False)],
    complex=True,
    method=True,
)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Node:
    """Correlation matrix: covariances divided by both standard deviations."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return c / c
    n = c.shape[0]
    rows = basis.reshape(c, shape=(n * n,))
    diagonal = basis.slice_(rows, starts=(0,), sizes=(n,), steps=(n + 1,))
    deviation = sqrt(astype(diagonal, np.empty(0, c.dtype).real.dtype))
    return _limited(c / reshape(deviation, (n, 1)) / deviation)


def _limited(c: Node) -> Node:
    """Rounding may leave [-1, 1]; what is inside keeps its derivative, and the bounds too."""
    if c.dtype.kind == "c":
        dtype = np.empty(0, c.dtype).real.dtype
        real, imag = astype(c, dtype), astype(c * -1j, dtype)
        return selection.clip(real, -1.0, 1.0) + selection.clip(imag, -1.0, 1.0) * 1j
    return selection.clip(c, -1.0, 1.0)
