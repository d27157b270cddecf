"""Reductions over axes with NumPy's signatures: functions of operations, no rules here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.aval import normalize_axis, reduced_axes
from nbgrad.core.node import Node
from nbgrad.core.operands import as_operand
from nbgrad.core.primitive import Primitive
from nbgrad.errors import refuse
from nbgrad.ops import basis
from nbgrad.ops.arrays import reductions
from nbgrad.ops.elements import arithmetic, selection
from nbgrad.ops.elements.arithmetic import square
from nbgrad.ops.elements.kinks import length
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.shapes import as_node, reshape

Axis = int | tuple[int, ...] | None
OUT = "write `result = ...` instead"


def as_dtype(x: Any, dtype: Any) -> Node:
    """*x* as a node of *dtype*, if one is given."""
    node = as_node(x)
    if dtype is None or np.dtype(dtype) == node.dtype:
        return node
    return basis.cast(node, dtype=np.dtype(dtype))


def masked(node: Node, where: Any, fill: Any) -> Node:
    """*node* with *fill* where the mask does not hold; True stands for no mask."""
    if where is True:
        return node
    if fill.__class__ is Node or np.can_cast(np.result_type(fill), node.dtype, "same_kind"):
        fill = as_dtype(fill, node.dtype)
    return selection.where(where, node, fill)


def reduce(prim: Primitive, node: Node, axis: Any, keepdims: bool) -> Node:
    """Apply a reduction with *axis* as NumPy's callers give it."""
    return prim(node, axis=reduced_axes(prim.name, axis, node.ndim), keepdims=bool(keepdims))


def counted(node: Node, axis: Axis, where: Any) -> Any:
    """How many elements a reduction combines: a number, or a node of counts under a mask."""
    axes = normalize_axis("count", axis, node.ndim)
    if where is True:
        return math.prod(node.shape[k] for k in axes)
    mask = basis.broadcast_to(as_dtype(where, bool), shape=node.shape)
    return reduce(basis.sum_, as_dtype(mask, np.intp), axes, True)


def _wide(node: Node, dtype: Any) -> tuple[Node, Any]:
    """*node* in the dtype that a mean is computed in, and the dtype of the result if it differs.

    NumPy computes in float32 what is stored as float16.
    """
    if dtype is None and node.dtype == np.float16:
        return as_dtype(node, np.float32), np.float16
    node = as_dtype(node, dtype)
    return node if node.aval.inexact else as_dtype(node, np.float64), dtype


@function(
    "numpy",
    np.sum,
    cases=lambda d: [
        call(d(2, 3), axis=1, keepdims=True),
        call(d(2, 3), initial=2.0, where=np.array([True, False, True])),
        call(d.integers(5, 3), dtype=np.float32),
    ],
    complex=True,
)
def sum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Node:
    """Sum over *axis* (all axes by default) of the elements where *where* holds."""
    refuse("sum", OUT, out=out)
    total = reduce(basis.sum_, masked(as_dtype(a, dtype), where, 0), axis, keepdims)
    total = as_dtype(total, dtype)
    return total if initial is None else total + as_dtype(initial, total.dtype)


@function(
    "numpy",
    np.prod,
    cases=lambda d: [
        call(d(2, 3), axis=1),
        call(d(2, 3), initial=2.0, where=np.array([True, False, True])),
    ],
    complex=True,
)
def prod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Node:
    """Product over *axis*; the gradient is exact when elements are zero."""
    refuse("prod", OUT, out=out)
    total = reduce(reductions.prod, masked(as_dtype(a, dtype), where, 1), axis, keepdims)
    total = as_dtype(total, dtype)
    return total if initial is None else total * as_dtype(initial, total.dtype)


@function(
    "numpy",
    np.mean,
    cases=lambda d: [
        call(d(2, 3), axis=(0, 1)),
        call(d(2, 3), axis=0, where=np.array([[True, False, True], [True, True, False]])),
        call(d.integers(9, 2, 3)),
    ],
    complex=True,
)
def mean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    *,
    where: Any = True,
) -> Node:
    """Arithmetic mean over *axis* of the elements where *where* holds."""
    refuse("mean", OUT, out=out)
    node, result = _wide(as_node(a), dtype)
    axis = normalize_axis("mean", axis, node.ndim)
    if where is True:
        return as_dtype(reduce(reductions.mean, node, axis, keepdims), result)
    total = reduce(basis.sum_, masked(node, where, 0), axis, True)
    average = total / as_dtype(counted(node, axis, where), node.dtype)
    return as_dtype(_shaped(average, node, axis, keepdims), result)


def _shaped(kept: Node, node: Node, axis: Axis, keepdims: bool) -> Node:
    """*kept*, a reduction of *node* with keepdims, without them unless *keepdims*."""
    if keepdims:
        return kept
    axes = normalize_axis("reduce", axis, node.ndim)
    return reshape(kept, tuple(n for k, n in enumerate(node.shape) if k not in axes))


def _extremum(
    prim: Primitive,
    pair: Any,
    a: Any,
    axis: Axis,
    keepdims: bool,
    initial: Any,
    where: Any,
) -> Node:
    """The extremum over *axis*, of *initial* too, of the elements where *where* holds."""
    node = as_node(a)
    if initial is None:
        if where is not True:
            raise ValueError(
                f"reduction operation '{prim.name}' does not have an identity, so to use a where "
                "mask one has to specify 'initial'"
            )
        return reduce(prim, node, axis, keepdims)
    start = as_dtype(initial, node.dtype)
    axes = reduced_axes(prim.name, axis, node.ndim)
    if math.prod(node.shape[k] for k in axes) == 0:
        zeros = sum(node, axes, keepdims=keepdims)  # of no elements
        return as_dtype(zeros, node.dtype) + start
    return pair(reduce(prim, masked(node, where, start), axes, keepdims), start)


_MASK = np.array([True, False, True])


@function(
    "numpy",
    np.max,
    aliases=("amax",),
    also=(np.amax,),
    cases=lambda d: [
        call(d.distinct(2, 3), axis=1),
        call(d.distinct(2, 3), initial=0.2, where=_MASK, axis=0, keepdims=True),
    ],
)
def max(
    a: Any,
    axis: Axis = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Node:
    """Largest element over *axis*; ties share the gradient evenly."""
    refuse("max", OUT, out=out)
    return _extremum(reductions.max_, selection.maximum, a, axis, keepdims, initial, where)


@function(
    "numpy",
    np.min,
    aliases=("amin",),
    also=(np.amin,),
    cases=lambda d: [
        call(d.distinct(2, 3), axis=1),
        call(d.distinct(2, 3), initial=0.2, where=_MASK, axis=0, keepdims=True),
    ],
)
def min(
    a: Any,
    axis: Axis = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Node:
    """Smallest element over *axis*; ties share the gradient evenly."""
    refuse("min", OUT, out=out)
    return _extremum(reductions.min_, selection.minimum, a, axis, keepdims, initial, where)


@function(
    "numpy",
    np.any,
    cases=lambda d: [call(d.booleans(2, 3), axis=0, where=_MASK)],
    differentiable=False,
)
def any(
    a: Any, axis: Axis = None, out: Any = None, keepdims: bool = False, *, where: Any = True
) -> Node:
    """Whether any element over *axis* is true."""
    refuse("any", OUT, out=out)
    return reduce(reductions.any_, masked(as_dtype(a, bool), where, False), axis, keepdims)


@function(
    "numpy",
    np.all,
    cases=lambda d: [call(d.booleans(2, 3), axis=0, where=_MASK)],
    differentiable=False,
)
def all(
    a: Any, axis: Axis = None, out: Any = None, keepdims: bool = False, *, where: Any = True
) -> Node:
    """Whether all elements over *axis* are true."""
    refuse("all", OUT, out=out)
    return reduce(reductions.all_, masked(as_dtype(a, bool), where, True), axis, keepdims)


def _arg(prim: Primitive, x: Any, axis: int | None, keepdims: bool) -> Node:
    node = as_node(x)
    if isinstance(axis, (tuple, list)):
        raise TypeError(f"{prim.name}: an integer is required for the axis, not {axis}")
    if axis is None and node.ndim > 1 and not keepdims:
        node, axis = reshape(node, (-1,)), 0
    return reduce(prim, node, axis, keepdims)


@function(
    "numpy",
    np.argmax,
    cases=lambda d: [call(d(2, 3)), call(d(2, 3), axis=1, keepdims=True)],
    differentiable=False,
)
def argmax(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Node:
    """Index of the first largest element (of the flattened array by default)."""
    refuse("argmax", OUT, out=out)
    return _arg(reductions.argmax, a, axis, keepdims)


@function(
    "numpy",
    np.argmin,
    cases=lambda d: [call(d(2, 3)), call(d(2, 3), axis=1, keepdims=True)],
    differentiable=False,
)
def argmin(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Node:
    """Index of the first smallest element (of the flattened array by default)."""
    refuse("argmin", OUT, out=out)
    return _arg(reductions.argmin, a, axis, keepdims)


def safe_sqrt(x: Node) -> Node:
    """Square root of what is not negative, whose derivative is 0 at 0."""
    return length(x)


def _freedom(name: str, ddof: Any, correction: Any) -> Any:
    """``correction`` is the Array API's name of ``ddof``."""
    if correction is not None and ddof != 0:
        raise ValueError(f"{name}: ddof and correction can't be provided simultaneously")
    return ddof if correction is None else correction


@function(
    "numpy",
    np.var,
    cases=lambda d: [
        call(d(2, 3), axis=0, ddof=1),
        call(d(2, 3), correction=1, where=_MASK, axis=1),
        call(d(2, 3), mean=d(2, 1), axis=1, keepdims=True),
    ],
    complex=True,
)
def var(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: Any = None,
) -> Node:
    """Variance over *axis*: mean squared deviation from *mean*, with divisor ``n - ddof``."""
    refuse("var", OUT, out=out)
    ddof = _freedom("var", ddof, correction)
    node, result = _wide(as_node(a), dtype)
    center = _mean_kept(node, axis, where) if mean is None else as_operand(mean)
    deviation = arithmetic.subtract(node, center)
    if deviation.dtype.kind == "c":
        result = np.empty(0, result or deviation.dtype).real.dtype
        squares = as_dtype(deviation * arithmetic.conjugate(deviation), result)
    else:
        squares = square(deviation)
    if where is True and not ddof:
        return as_dtype(reduce(reductions.mean, squares, axis, keepdims), result)
    n = counted(node, axis, where)
    total = reduce(basis.sum_, masked(squares, where, 0), axis, True)
    if n.__class__ is Node:
        total = total / as_dtype(selection.maximum(n - ddof, 0), total.dtype)
    else:
        with np.errstate(all="ignore"):
            total = total * float(np.float64(1.0) / np.maximum(np.float64(n - ddof), 0.0))
    return as_dtype(_shaped(total, node, axis, keepdims), result)


def _mean_kept(node: Node, axis: Axis, where: Any) -> Node:
    return mean(node, axis, keepdims=True, where=where)


@function(
    "numpy",
    np.std,
    cases=lambda d: [call(d(2, 3), axis=0, ddof=1), call(d(2, 3), where=_MASK)],
    complex=True,
)
def std(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: Any = None,
) -> Node:
    """Standard deviation over *axis*; derivative 0 where it is 0."""
    refuse("std", OUT, out=out)
    ddof = _freedom("std", ddof, correction)
    return safe_sqrt(var(a, axis, dtype, None, ddof, keepdims, where=where, mean=mean))
