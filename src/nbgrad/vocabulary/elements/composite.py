"""Functions of operations, with NumPy's signatures, on nodes: no rules here.

The public functions and the methods of Tensor are these, wrapped.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.aval import normalize_axis
from nbgrad.core.memory import named
from nbgrad.core.node import Node, leaf_node
from nbgrad.core.operands import as_operand
from nbgrad.core.placing import moved
from nbgrad.ops import basis
from nbgrad.ops.elements import arithmetic, selection
from nbgrad.ops.elements.arithmetic import absolute, exp, log, sqrt, square
from nbgrad.ops.elements.comparison import equal
from nbgrad.ops.elements.exponential import shifted, uniform_power
from nbgrad.ops.elements.selection import where
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import max, sum
from nbgrad.vocabulary.shapes import as_node, reshape

Axis = int | tuple[int, ...] | None


@function(
    "special",
    "scipy.special.logsumexp",
    cases=lambda d: [call(d(2, 3)), call(d(2, 3), axis=1, b=d.positive(2, 3), keepdims=True)],
)
def logsumexp(
    a: Any, axis: Axis = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """``log(sum(b * exp(a)))`` over *axis*, without overflow; weights 0 where all are -inf.

    Elements of +inf share the weight evenly, as equal elements of a maximum do. Where ``b`` is 0 an
    element counts for nothing, but the derivative by ``b`` is what it would count for.
    """
    node = counted = as_node(a)
    if b is not None:
        b = as_node(b)
        node = arithmetic.add(node, where(equal(b, b), 0.0, b))  # the shape and dtype of both
        counted = where(equal(b, 0), -math.inf, node)
    axes = normalize_axis("logsumexp", axis, node.ndim)
    top = detached(max(counted, axes, keepdims=True))
    shift = where(equal(top, -math.inf), 0.0, top)
    weights = exp(shifted(node, shift))
    if b is not None:
        weights = arithmetic.strong_multiply(b, weights)
    total = sum(weights, axes, keepdims=keepdims)
    if not keepdims:
        shift = reshape(shift, total.shape)
    empty = equal(total, 0)  # the derivative of log there would be infinite
    size = where(empty, 1.0, absolute(total) if return_sign else total)
    value = where(empty, -math.inf, log(size)) + shift  # of infinities that cancel NaN
    return (value, arithmetic.sign(total)) if return_sign else value


@function("special", "scipy.special.softmax", cases=lambda d: [call(d(2, 3), axis=1)])
def softmax(x: Any, axis: Axis = None) -> Node:
    """Exponentials over *axis* (all axes by default), normalised to add up to 1.

    Elements of +inf share it evenly, which is the limit, with derivatives to match (SciPy's result
    is NaN there); where all are -inf there is no limit, and value and derivatives are NaN.
    """
    weights = exp(below_top(as_node(x), axis))
    return weights / sum(weights, axis, keepdims=True)


def below_top(x: Node, axis: Axis) -> Node:
    """How far elements are below the largest over *axis*; NaN where all are -inf."""
    top = detached(max(x, axis, keepdims=True))
    return shifted(x, where(equal(top, -math.inf), math.nan, top))


def detached(x: Node) -> Node:
    """The value of *x*, with no gradient to it."""
    return basis.detach(x)


def differentiable_copy(node: Node, connected: bool) -> Node:
    """A new node of the same value that requires grad, with a path back to *node* if connected."""
    if connected and node.requires_grad:
        connected_copy: Node = arithmetic.positive(node)
        return connected_copy
    copy = leaf_node(node.value) if node.value is not None else detached(node)
    if copy.sig is None and (node.sig is not None or node.passed is True):
        copy.passed = True  # it lies where a user put it: see core/placing.py
    copy.requires_grad = True
    return copy


@function(
    "numpy",
    np.power,
    cases=lambda d: [call(d(2, 3), 3), call(d(3), -2.0), call(d.positive(3), d(3)), call(2, d(3))],
    complex=True,
)
def power(x: Any, y: Any) -> Node:
    """``x ** y``; small constant integer powers become products, as NumPy does for 2."""
    if y.__class__ is float and 0 < abs(y) <= 16 and y.is_integer() and as_node(x).aval.inexact:
        y = int(y)
    elif y.__class__ is int and abs(y) >= 1 << 63 and as_node(x).aval.inexact:
        y = float(y)  # rules compare it, for which an integer must have 64 bits
    base = as_operand(x)
    if base.__class__ is not Node and as_operand(y).__class__ is Node:
        return arithmetic.power(x, y)  # a number takes the dtype of the exponent
    node = base if base.__class__ is Node else as_node(x)
    if y.__class__ is int and -16 <= y <= 16 and (y >= 0 or node.aval.inexact):
        return square(node) if y == 2 else arithmetic.integer_power(node, n=y)
    if y.__class__ is float and y == 0.5 and node.aval.inexact:
        return sqrt(node)
    if y.__class__ is int and y < 0 and not node.aval.inexact and node.aval.size:
        raise ValueError(
            "power: integers to negative integer powers are not allowed; use x ** -1.0"
        )
    exponent = as_operand(y)
    if exponent.__class__ is Node and exponent.size == 1 and node.size > 1 and node.aval.inexact:
        return uniform_power(node, reshape(exponent, ()) if exponent.ndim else exponent)
    return arithmetic.power(node, y)


@function(
    "numpy",
    np.clip,
    cases=lambda d: [call(d(9), -0.5, 0.5), call(d.integers(9, 4), min=2), call(d(3), None, 1.0)],
)
def clip(
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    out: Any = None,
    *,
    min: Any = None,
    max: Any = None,
) -> Node:
    """Limit *a* to ``[a_min, a_max]`` (or ``[min, max]``); either bound may be None."""
    if out is not None:
        raise TypeError("clip: out= would overwrite an array; write `result = ...` instead")
    lo, hi = (a_min if min is None else min), (a_max if max is None else max)
    node = as_node(a)
    if node.dtype.kind in "iu":  # integers beyond the dtype limit nothing
        limits = np.iinfo(node.dtype)
        lo = None if lo.__class__ is int and lo <= limits.min else lo
        hi = None if hi.__class__ is int and hi >= limits.max else hi
    if lo is None and hi is None:
        return arithmetic.positive(node)
    if lo is not None and hi is not None:
        return selection.clip(node, lo, hi)
    if not node.aval.inexact:
        return selection.maximum(node, lo) if hi is None else selection.minimum(node, hi)
    return selection.clip(node, *((lo, math.inf) if hi is None else (-math.inf, hi)))


@function(
    "numpy",
    np.astype,
    cases=lambda d: [call(d(3), np.complex128), call(d.integers(5, 3), np.float32)],
    complex=True,
    view="uncopied",
)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Node:
    """Convert to *dtype*; the gradient is converted back.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.astype(ng.tensor([1.0, 2.5]), ng.float32).dtype
    dtype('float32')
    """
    node = as_node(x)
    node = node if device is None else moved(node, named(device))
    wanted = np.dtype(dtype)
    return node if wanted == node.dtype else basis.cast(node, dtype=wanted)
