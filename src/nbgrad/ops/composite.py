"""Functions of operations, with NumPy's signatures, on nodes: no rules here.

The public functions and the methods of Tensor are these, wrapped.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.aval import broadcast_shapes, normalize_axis
from nbgrad.core.node import Node
from nbgrad.core.primitive import as_operand
from nbgrad.ops import arithmetic, linalg, structure
from nbgrad.ops.arithmetic import exp, log, sqrt, square, where
from nbgrad.ops.declare import function
from nbgrad.ops.reducing import max, sum
from nbgrad.ops.shaping import as_node, broadcast_to, expand_dims, reshape

Axis = int | tuple[int, ...] | None


@function("special", "scipy.special.logsumexp")
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Node:
    """``log(sum(exp(x)))`` over *axis*, without overflow; weights 0 where all are -inf."""
    node = as_node(x)
    axes = normalize_axis("logsumexp", axis, node.ndim)
    top = max(node, axes, keepdims=True)
    shift = where(top - top == 0, top, 0.0)
    shift = detached(shift)
    out = log(sum(exp(node - shift), axes, keepdims=True)) + shift
    return out if keepdims else reshape(out, sum(node, axes, keepdims=False).shape)


@function("special", "scipy.special.softmax")
def softmax(x: Any, axis: int = -1) -> Node:
    """Exponentials over *axis*, normalised to add up to 1."""
    node = as_node(x)
    weights = exp(node - detached(max(node, axis, keepdims=True)))
    return weights / sum(weights, axis, keepdims=True)


def detached(x: Node) -> Node:
    """The value of *x*, with no gradient to it."""
    return structure.detach(x)


# --------------------------------------------------------------------------------------- products


@function("numpy", np.matmul)
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
            f"dimension of the first) is not {right.shape[-2]}"
        )
    batch = broadcast_shapes("matmul", left.shape[:-2], right.shape[:-2])
    left = broadcast_to(left, (*batch, *left.shape[-2:]))
    right = broadcast_to(right, (*batch, *right.shape[-2:]))
    out = linalg.matmul(left, right)
    if a.ndim == 1:
        return reshape(out, (*out.shape[:-2], out.shape[-1]))
    return reshape(out, out.shape[:-1]) if b.ndim == 1 else out


@function("numpy", np.dot)
def dot(a: Any, b: Any) -> Node:
    """Inner product of vectors, matrix product of matrices, product with a scalar."""
    a, b = as_node(a), as_node(b)
    if not a.ndim or not b.ndim:
        return arithmetic.multiply(a, b)
    if a.ndim == 1 and b.ndim == 1:
        if a.shape != b.shape:
            raise ValueError(f"dot: shapes {a.shape} and {b.shape} not aligned")
        return sum(arithmetic.multiply(a, b))
    if b.ndim <= 2:
        return matmul(a, b)
    raise NotImplementedError(
        f"dot of shapes {a.shape} and {b.shape}: use matmul, which batches leading dimensions"
    )


@function("numpy", np.power)
def power(x: Any, y: Any) -> Node:
    """``x ** y``; small constant integer powers become products, as NumPy does for 2."""
    if y.__class__ is float and y.is_integer() and y not in (0.0,) and as_node(x).aval.inexact:
        y = int(y)
    if as_operand(x).__class__ is not Node and as_operand(y).__class__ is Node:
        return arithmetic.power(x, y)  # a number takes the dtype of the exponent
    node = as_node(x)
    if y.__class__ is int and -16 <= y <= 16 and (y >= 0 or node.aval.inexact):
        return square(node) if y == 2 else arithmetic.integer_power(node, n=y)
    if y.__class__ is float and y == 0.5 and node.aval.inexact:
        return sqrt(node)
    if y.__class__ is int and y < 0 and not node.aval.inexact:
        raise ValueError(
            "power: integers to negative integer powers are not allowed; use x ** -1.0"
        )
    return arithmetic.power(node, y)


@function("numpy", np.clip)
def clip(x: Any, min: Any = None, max: Any = None) -> Node:
    """Limit *x* to ``[min, max]``; either bound may be None."""
    if min is None and max is None:
        return arithmetic.positive(as_node(x))
    if min is None or max is None:
        bound = math.inf if max is None else -math.inf
        node = as_node(x)
        if not node.aval.inexact:
            return (arithmetic.maximum if max is None else arithmetic.minimum)(
                node, min if max is None else max
            )
        return arithmetic.clip(node, *((min, bound) if max is None else (bound, max)))
    return arithmetic.clip(as_node(x), min, max)


@function("numpy", np.astype)
def astype(x: Any, dtype: Any) -> Node:
    """Convert to *dtype*; the gradient is converted back."""
    node = as_node(x)
    wanted = np.dtype(dtype)
    return node if wanted == node.dtype else structure.cast(node, dtype=wanted)
