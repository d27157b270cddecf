"""Norms of vectors and matrices, and condition numbers.

First derivatives at 0 are 0, second ones the limit of the whole or NaN: see docs/kinks.md.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.aval import single_axis
from nbgrad.core.node import Node
from nbgrad.ops.basis import cast
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.elements.arithmetic import absolute
from nbgrad.ops.elements.comparison import equal
from nbgrad.ops.elements.selection import where
from nbgrad.ops.linalg import spectra
from nbgrad.ops.linalg.matrices import matrix_operand, real_dtype, squared_magnitude
from nbgrad.ops.linalg.solves import inv
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import max, min, safe_sqrt, sum
from nbgrad.vocabulary.shapes import as_node, reshape, transpose


def _inexact(x: Any) -> Node:
    node = as_node(x)
    return node if node.aval.inexact else cast(node, dtype=np.dtype(np.float64))


def _root(x: Node, p: float) -> Node:
    """The p-th root, whose derivatives of every order are 0 at 0."""
    zero = equal(x, 0)
    return where(zero, 0.0, arithmetic.power(where(zero, 1.0, x), 1.0 / p))


def _order(x: Node, ord: Any, axis: tuple[int, ...], keepdims: bool) -> Node:
    """Vector norm over *axis*."""
    if ord is None or ord == 2:
        return safe_sqrt(sum(squared_magnitude(x), axis, keepdims=keepdims))
    if isinstance(ord, str):
        raise ValueError(f"norm: invalid norm order {ord!r} for vectors")
    magnitude = absolute(x)
    if ord in (math.inf, -math.inf):
        return (max if ord > 0 else min)(magnitude, axis, keepdims=keepdims)
    if ord == 0:
        return sum(cast(magnitude > 0, dtype=real_dtype(x.dtype)), axis, keepdims=keepdims)
    if ord == 1:
        return sum(magnitude, axis, keepdims=keepdims)
    ord = float(ord)
    if ord < 0:
        return arithmetic.power(
            sum(arithmetic.power(magnitude, ord), axis, keepdims=keepdims), 1.0 / ord
        )
    zero = equal(magnitude, 0)
    powers = where(zero, 0.0, arithmetic.power(where(zero, 1.0, magnitude), ord))
    return _root(sum(powers, axis, keepdims=keepdims), ord)


_SINGULAR = {2: lambda s: max(s, -1), -2: lambda s: min(s, -1), "nuc": lambda s: sum(s, -1)}


def _matrix_order(x: Node, ord: Any, axis: tuple[int, int], keepdims: bool) -> Node:
    """Matrix norm over rows and columns, the two of *axis*."""
    rows, columns = axis
    if ord in (None, "fro", "f"):
        return _order(x, 2, axis, keepdims=keepdims)
    if ord in _SINGULAR:
        order = [k for k in range(x.ndim) if k not in axis] + [rows, columns]
        found = _SINGULAR[ord](spectra.svdvals(transpose(x, order)))
    elif ord in (1, -1, math.inf, -math.inf):
        within, across = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = sum(absolute(x), within, keepdims=True)
        found = (max if ord > 0 else min)(sums, across, keepdims=True)
    else:
        raise ValueError(f"norm: invalid norm order {ord!r} for matrices")
    kept = tuple(1 if k in axis else n for k, n in enumerate(x.shape))
    left = tuple(n for k, n in enumerate(x.shape) if k not in axis)
    return reshape(found, kept if keepdims else left)


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes in the order given: of a matrix norm, rows and columns."""
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    found = tuple(single_axis("norm", k, ndim) for k in axes)
    if len(set(found)) != len(found):
        raise ValueError(f"norm: duplicate axes given: {axis}")
    return found


@function(
    "linalg",
    np.linalg.norm,
    cases=lambda d: [
        call(d(3)),
        call(d(2, 3), axis=1),
        call(d(2, 2, 2)),
        *(call(d(3), p) for p in (np.inf, -np.inf, 0, 1, 3, -2)),
        *(call(d(3, 2), p) for p in ("fro", "nuc", np.inf, -np.inf, 1, -1, 2, -2)),
        call(d(2, 2, 3), "nuc", (0, 2), True),
        call(d(2, 2, 3), 1, (2, 0)),
    ],
    complex=True,
    method=True,
)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Node:
    """Norm of vectors or matrices, of any order that NumPy has; its derivative at 0 is 0.

    Without ``axis`` and ``ord`` it is the 2-norm of all elements.
    """
    node = _inexact(x)
    if axis is None:
        axes = tuple(range(node.ndim))
        if (
            ord is None
            or (ord in ("fro", "f") and node.ndim == 2)
            or (ord == 2 and node.ndim == 1)
        ):
            return _order(node, 2, axes, keepdims)
    else:
        axes = _axes(axis, node.ndim)
    if len(axes) == 1:
        return _order(node, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_order(node, ord, (axes[0], axes[1]), keepdims)
    raise ValueError(f"norm: Improper number of dimensions to norm: {len(axes)}; pass axis=")


@function(
    "linalg",
    np.linalg.vector_norm,
    cases=lambda d: [
        call(d(2, 3)),
        call(d(2, 3), axis=0, ord=1),
        call(d(2, 3), keepdims=True, ord=3),
    ],
    complex=True,
)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Node:
    """Vector norm over any number of axes."""
    node = _inexact(x)
    axes = tuple(range(node.ndim)) if axis is None else _axes(axis, node.ndim)
    return _order(node, ord, axes, keepdims)


@function(
    "linalg",
    np.linalg.matrix_norm,
    cases=lambda d: [
        call(d(2, 3, 2)),
        call(d(2, 3, 2), ord=2, keepdims=True),
        call(d(2, 3), ord=1),
    ],
    complex=True,
)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Node:
    """Norm of the matrices in the last two dimensions."""
    node = matrix_operand("matrix_norm", as_node(x))
    return _matrix_order(node, ord, (node.ndim - 2, node.ndim - 1), keepdims)


@function(
    "linalg",
    np.linalg.cond,
    cases=lambda d: [
        call(d(2, 3, 2)),
        *(call(d.square(2, 2), p) for p in (2, -2, "fro", np.inf, -np.inf, 1, -1, "nuc")),
    ],
    complex=True,
)
def cond(x: Any, p: Any = None) -> Node:
    """Condition number: the norm times that of the inverse."""
    node = matrix_operand("cond", as_node(x))
    if p in (None, 2, -2):
        values = spectra.svdvals(node)
        large, small = max(values, -1), min(values, -1)
        return small / large if p == -2 else large / small
    return matrix_norm(node, ord=p) * matrix_norm(inv(node), ord=p)
