"""Diagonals and triangles of matrices, and the indices of both."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.errors import refuse
from nbgrad.ops import basis
from nbgrad.ops.elements import selection
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions import plain
from nbgrad.vocabulary.shapes import as_node, cast_to, moveaxis, one_axis, reshape
from nbgrad.vocabulary.subscript import getitem
from nbgrad.vocabulary.support import held


def _span(rows: int, columns: int, offset: int) -> tuple[int, int]:
    """First position in the flattened matrix and length of a diagonal."""
    if offset >= 0:
        return offset, max(min(rows, columns - offset), 0)
    return -offset * columns, max(min(rows + offset, columns), 0)


@function(
    "numpy",
    np.diagonal,
    cases=lambda d: [
        call(d(2, 3)),
        call(d(3, 2), -1),
        call(d(2, 3, 2), offset=1, axis1=-1, axis2=1),
    ],
    complex=True,
    method=True,
    view=True,
)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """The diagonal of the matrices in two axes, as a new last axis."""
    node = as_node(a)
    if node.ndim < 2:
        raise ValueError(
            f"diagonal: requires an array of at least two dimensions, not {node.ndim}"
        )
    axes = [one_axis("diagonal", k, node.ndim) for k in (axis1, axis2)]
    if axes[0] == axes[1]:
        raise ValueError("diagonal: axis1 and axis2 cannot be the same")
    node = moveaxis(node, axes, (-2, -1))
    rows, columns = node.shape[-2:]
    start, count = _span(rows, columns, int(offset))
    flat = reshape(node, (*node.shape[:-2], rows * columns))
    stop = start + (count - 1) * (columns + 1) + 1 if count else start
    return getitem(flat, (Ellipsis, slice(start, stop, columns + 1)))


@function(
    "numpy",
    np.diag,
    cases=lambda d: [call(d(2)), call(d(2), -1), call(d(3, 2)), call(d(2, 3), k=1)],
    complex=True,
    method=True,
    view=True,
)
def diag(v: Any, k: int = 0) -> Node:
    """The diagonal *k* of a matrix, or the matrix that has a vector there."""
    node = as_node(v)
    if node.ndim == 2:
        return diagonal(node, k)
    if node.ndim != 1:
        raise ValueError(f"diag: input must be 1- or 2-d, not of shape {node.shape}")
    n = node.shape[0] + abs(int(k))
    start, count = _span(n, n, int(k))
    if not count:
        return held(np.zeros((n, n), node.dtype))
    flat = basis.pad(node, shape=(n * n,), starts=(start,), steps=(n + 1,))
    return reshape(flat, (n, n))


@function("numpy", np.diagflat, cases=lambda d: [call(d(1, 2), 1)], complex=True)
def diagflat(v: Any, k: int = 0) -> Node:
    """The matrix with the flattened elements of *v* on the diagonal *k*."""
    return diag(reshape(v, (-1,)), k)


@function(
    "numpy",
    np.trace,
    cases=lambda d: [call(d(2, 3)), call(d(2, 2, 3), 1, axis1=-2, axis2=-1)],
    complex=True,
    method=True,
)
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
) -> Node:
    """Sum of the diagonal."""
    refuse("trace", "write result = trace(...)", out=out)
    line = diagonal(a, offset, axis1, axis2)
    return plain.sum(line if dtype is None else cast_to("trace", line, dtype), -1)


def _kept(m: Any, mask: Any) -> Node:
    node = as_node(m)
    return selection.where(held(mask), node, basis.full(0, shape=(1,), dtype=node.dtype))


@function(
    "numpy",
    np.tril,
    cases=lambda d: [call(d(2, 3)), call(d(2, 2, 2), -1), call(d(2))],
    complex=True,
    method=True,
)
def tril(m: Any, k: int = 0) -> Node:
    """The lower triangle of the last two dimensions, zeros above the diagonal *k*."""
    node = as_node(m)
    return _kept(node, np.tri(*node.shape[-2:], k=int(k), dtype=bool))


@function(
    "numpy",
    np.triu,
    cases=lambda d: [call(d(3, 2)), call(d(2, 2, 2), 1)],
    complex=True,
    method=True,
)
def triu(m: Any, k: int = 0) -> Node:
    """The upper triangle of the last two dimensions, zeros below the diagonal *k*."""
    node = as_node(m)
    return _kept(node, ~np.tri(*node.shape[-2:], k=int(k) - 1, dtype=bool))


def _held(indices: Any) -> tuple[Node, ...]:
    return tuple(held(index) for index in indices)


@function("numpy", "numpy.tril_indices", cases=lambda d: [call(3), call(2, 1, 4)])
def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Node, ...]:
    """Indices of the lower triangle of an *n* by *m* matrix."""
    return _held(np.tril_indices(n, k, m))


@function("numpy", "numpy.triu_indices", cases=lambda d: [call(3), call(2, 1, 4)])
def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Node, ...]:
    """Indices of the upper triangle of an *n* by *m* matrix."""
    return _held(np.triu_indices(n, k, m))


def _matrix(name: str, arr: Any) -> tuple[int, ...]:
    shape = as_node(arr).shape
    if len(shape) != 2:
        raise ValueError(f"{name}: input array must be 2-d, not of shape {shape}")
    return shape


@function("numpy", np.tril_indices_from, cases=lambda d: [call(d(2, 3), 1)], differentiable=False)
def tril_indices_from(arr: Any, k: int = 0) -> tuple[Node, ...]:
    """Indices of the lower triangle of *arr*."""
    rows, columns = _matrix("tril_indices_from", arr)
    return tril_indices(rows, k, columns)


@function("numpy", np.triu_indices_from, cases=lambda d: [call(d(2, 3), 1)], differentiable=False)
def triu_indices_from(arr: Any, k: int = 0) -> tuple[Node, ...]:
    """Indices of the upper triangle of *arr*."""
    rows, columns = _matrix("triu_indices_from", arr)
    return triu_indices(rows, k, columns)


@function("numpy", "numpy.diag_indices", cases=lambda d: [call(3), call(2, 3)])
def diag_indices(n: int, ndim: int = 2) -> tuple[Node, ...]:
    """Indices of the main diagonal of an array of extents *n*."""
    return _held(np.diag_indices(n, ndim))


@function("numpy", np.diag_indices_from, cases=lambda d: [call(d(2, 2))], differentiable=False)
def diag_indices_from(arr: Any) -> tuple[Node, ...]:
    """Indices of the main diagonal of *arr*, whose extents are equal."""
    shape = as_node(arr).shape
    if len(shape) < 2 or len(set(shape)) != 1:
        raise ValueError(f"diag_indices_from: needs equal extents, at least two, not {shape}")
    return diag_indices(shape[0], len(shape))


@function("numpy", "numpy.mask_indices", cases=lambda d: [call(3, np.triu, 1)])
def mask_indices(n: int, mask_func: Any, k: int = 0) -> tuple[Node, ...]:
    """Indices of an *n* by *n* matrix that *mask_func*, such as ``np.triu``, keeps.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.mask_indices(3, np.triu, 1)
    (tensor([0, 0, 1]), tensor([1, 2, 2]))
    """
    return _held(np.nonzero(np.asarray(mask_func(np.ones((n, n), int), k)) != 0))
