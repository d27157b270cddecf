"""Functions of operations, with NumPy's signatures, on nodes: no rules here.

The public functions and the methods of Tensor are these, wrapped.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.aval import broadcast_shapes, normalize_axis
from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive
from nbgrad.ops import arithmetic, linalg, reduction, structure
from nbgrad.ops.arithmetic import absolute, exp, log, sqrt, square, where
from nbgrad.ops.comparison import equal
from nbgrad.ops.declare import call, function
from nbgrad.ops.shaping import as_node, broadcast_to, expand_dims, reshape

Axis = int | tuple[int, ...] | None


def _reduce(prim: Primitive, x: Any, axis: Any, keepdims: bool) -> Node:
    node = as_node(x)
    return prim(node, axis=normalize_axis(prim.name, axis, node.ndim), keepdims=bool(keepdims))


# ------------------------------------------------------------------------------------- reductions


@function("numpy", np.sum, cases=lambda d: [call(d(2, 3)), call(d(2, 3), axis=1)], complex=True)
def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Node:
    """Sum over *axis* (all axes by default)."""
    return _reduce(structure.sum_, x, axis, keepdims)


@function("numpy", np.mean)
def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Node:
    """Arithmetic mean over *axis*."""
    return _reduce(reduction.mean, x, axis, keepdims)


@function("numpy", np.prod)
def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Node:
    """Product over *axis*."""
    return _reduce(reduction.prod, x, axis, keepdims)


@function("numpy", np.max, aliases=("amax",))
def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Node:
    """Largest element over *axis*; ties share the gradient evenly."""
    return _reduce(reduction.max_, x, axis, keepdims)


@function("numpy", np.min, aliases=("amin",))
def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Node:
    """Smallest element over *axis*; ties share the gradient evenly."""
    return _reduce(reduction.min_, x, axis, keepdims)


@function("numpy", np.any)
def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Node:
    """Whether any element over *axis* is true."""
    return _reduce(reduction.any_, x, axis, keepdims)


@function("numpy", np.all)
def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Node:
    """Whether all elements over *axis* are true."""
    return _reduce(reduction.all_, x, axis, keepdims)


def _arg(prim: Primitive, x: Any, axis: int | None, keepdims: bool) -> Node:
    node = as_node(x)
    if axis is None and node.ndim > 1 and not keepdims:
        node, axis = reshape(node, (-1,)), 0
    return _reduce(prim, node, axis, keepdims)


@function("numpy", np.argmax)
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Node:
    """Index of the first largest element (of the flattened array by default)."""
    return _arg(reduction.argmax, x, axis, keepdims)


@function("numpy", np.argmin)
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Node:
    """Index of the first smallest element (of the flattened array by default)."""
    return _arg(reduction.argmin, x, axis, keepdims)


def _safe_sqrt(x: Node) -> Node:
    """Square root whose derivatives of every order are 0 at 0."""
    zero = equal(x, 0)
    return where(zero, 0.0, sqrt(where(zero, 1.0, x)))


@function("numpy", np.var, cases=lambda d: [call(d(2, 3)), call(d(2, 3), axis=0, ddof=1)])
def var(x: Any, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Node:
    """Variance over *axis*: mean squared deviation, with divisor ``n - ddof``."""
    node = as_node(x)
    axes = normalize_axis("var", axis, node.ndim)
    deviation = arithmetic.subtract(node, mean(node, axes, True))
    if node.dtype.kind == "c":
        deviation = absolute(deviation)
    n = math.prod(node.shape[a] for a in axes)
    if not ddof:
        return mean(square(deviation), axes, keepdims)
    with np.errstate(all="ignore"):
        scale = float(np.float64(1.0) / np.maximum(np.float64(n - ddof), 0.0))
    return sum(square(deviation), axes, keepdims) * scale


@function("numpy", np.std)
def std(x: Any, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Node:
    """Standard deviation over *axis*; derivative 0 where it is 0."""
    return _safe_sqrt(var(x, axis, ddof, keepdims))


@function("linalg", np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Node:
    """Vector norm of *x* over *axis*, of order ``ord`` (2 by default); derivative 0 at 0.

    A matrix without ``axis`` and ``ord`` gives the Frobenius norm, as in NumPy.
    """
    node = as_node(x)
    if ord is not None and axis is None and node.ndim == 2 and ord != "fro":
        raise NotImplementedError(
            f"norm: matrix norm of order {ord!r} is not available yet; pass axis= for a vector "
            "norm, or ord=None for the Frobenius norm"
        )
    if ord in (None, 2, "fro"):
        return _safe_sqrt(sum(square(absolute(node)), axis, keepdims))
    magnitude = absolute(node)
    if ord == math.inf:
        return max(magnitude, axis, keepdims)
    if ord == -math.inf:
        return min(magnitude, axis, keepdims)
    if ord == 1:
        return sum(magnitude, axis, keepdims)
    if ord == 0:
        return sum(structure.cast(arithmetic.absolute(node) > 0, dtype=node.dtype), axis, keepdims)
    zero = equal(magnitude, 0)
    powers = where(zero, 0.0, arithmetic.power(where(zero, 1.0, magnitude), float(ord)))
    total = sum(powers, axis, keepdims)
    empty = equal(total, 0)
    return where(empty, 0.0, arithmetic.power(where(empty, 1.0, total), 1.0 / float(ord)))


@function("special", "scipy.special.logsumexp")
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Node:
    """``log(sum(exp(x)))`` over *axis*, without overflow; weights 0 where all are -inf."""
    node = as_node(x)
    axes = normalize_axis("logsumexp", axis, node.ndim)
    top = max(node, axes, True)
    shift = where(top - top == 0, top, 0.0)
    shift = detached(shift)
    out = log(sum(exp(node - shift), axes, True)) + shift
    return out if keepdims else reshape(out, sum(node, axes, False).shape)


@function("special", "scipy.special.softmax")
def softmax(x: Any, axis: int = -1) -> Node:
    """Exponentials over *axis*, normalised to add up to 1."""
    node = as_node(x)
    weights = exp(node - detached(max(node, axis, True)))
    return weights / sum(weights, axis, True)


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


@function("numpy", np.power, also=(np.float_power,))
def power(x: Any, y: Any) -> Node:
    """``x ** y``; small constant integer powers become products, as NumPy does for 2."""
    if y.__class__ is float and y.is_integer() and y not in (0.0,) and as_node(x).aval.inexact:
        y = int(y)
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
