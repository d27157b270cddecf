"""Products of vectors and matrices: what ``@`` and ``dot`` mean, by NumPy's rules."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.aval import broadcast_shapes
from nbgrad.core.node import Node
from nbgrad.ops.arrays.contraction import contract
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.linalg import products
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import sum
from nbgrad.vocabulary.shapes import as_node, broadcast_to, expand_dims, reshape


@function(
    "numpy",
    np.matmul,
    complex=True,
    cases=lambda d: [
        call(d(2, 3), d(3, 2)),
        call(d(3), d(2, 3, 1)),
        call(d(2, 1, 2, 3), d(3, 3)),
        call(d(2, 3), d(2, 3, 2)),
    ],
)
def matmul(a: Any, b: Any) -> Node:
    """Matrix product with NumPy's rules: 1-D operands are vectors, leading dimensions batch."""
    a, b = as_node(a), as_node(b)
    if not a.ndim or not b.ndim:
        raise ValueError(
            "matmul: operands need at least one dimension; use * for a scalar product"
        )
    if a.ndim == 1 and b.ndim == 1:
        return dot(a, b)
    left = expand_dims(a, 0) if a.ndim == 1 else a
    right = expand_dims(b, 1) if b.ndim == 1 else b
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(
            f"matmul: shapes {a.shape} and {b.shape} do not match: {left.shape[-1]} (last "
            f"dimension of the first) is not {right.shape[-2]}. Transpose one of them, for example y.T, or reshape"
        )
    out = _batched(left, right)
    if a.ndim == 1:
        return reshape(out, (*out.shape[:-2], out.shape[-1]))
    return reshape(out, out.shape[:-1]) if b.ndim == 1 else out


def _batched(left: Node, right: Node) -> Node:
    one = right.size == math.prod(right.shape[-2:]) and right.ndim <= left.ndim
    if one and left.ndim > 2:
        # One matrix for all of the batch: a single product, also for the matrix's gradient.
        matrix = reshape(right, right.shape[-2:])
        rows = reshape(left, (math.prod(left.shape[:-1]), left.shape[-1]))
        return reshape(products.matmul(rows, matrix), (*left.shape[:-1], matrix.shape[1]))
    batch = broadcast_shapes("matmul", left.shape[:-2], right.shape[:-2])
    left = broadcast_to(left, (*batch, *left.shape[-2:]))
    right = broadcast_to(right, (*batch, *right.shape[-2:]))
    return products.matmul(left, right)


@function(
    "numpy",
    np.dot,
    complex=True,
    cases=lambda d: [
        call(d(3), d(3)),
        call(d(2, 3), d(3)),
        call(d(2, 1, 3), d(2, 3, 2)),
        call(d(), d(2)),
    ],
)
def dot(a: Any, b: Any, out: None = None) -> Node:
    """Sum of products over the last dimension of *a* and the last but one of *b*."""
    refuse_out("dot", out)
    a, b = as_node(a), as_node(b)
    if not a.ndim or not b.ndim:
        return arithmetic.multiply(a, b)
    inner = max(b.ndim - 2, 0)
    if a.shape[-1] != b.shape[inner]:
        raise ValueError(
            f"dot: shapes {a.shape} and {b.shape} not aligned: {a.shape[-1]} (dim {a.ndim - 1}) "
            f"!= {b.shape[inner]} (dim {inner})"
        )
    if a.ndim == 1 and b.ndim == 1:
        return _inner(a, b)
    if b.ndim <= 2:
        return matmul(a, b)
    return contracted(a, b, (a.ndim - 1,), (inner,))


def _inner(a: Node, b: Node) -> Node:
    product = arithmetic.multiply(a, b)
    if product.aval.inexact:
        return sum(product)
    # A sum of booleans or small integers would be of another dtype.
    return reshape(products.matmul(reshape(a, (1, -1)), reshape(b, (-1, 1))), ())


def contracted(a: Node, b: Node, over_a: tuple[int, ...], over_b: tuple[int, ...]) -> Node:
    """Sum of products over dimensions of *a* and *b*; the others stand in order, *a*'s first."""
    la = list(range(a.ndim))
    lb = [a.ndim + k for k in range(b.ndim)]
    for k, j in zip(over_a, over_b, strict=True):
        lb[j] = la[k]
    kept = [x for x in la if x not in lb] + [x for x in lb if x not in la]
    return contract(a, la, b, lb, kept)


def refuse_out(name: str, out: Any) -> None:
    """NumPy's ``out=`` would write into an array that others may have read already."""
    if out is not None:
        raise TypeError(f"{name}: out= is not supported; write `result = {name}(...)` instead")
