"""Running sums, products, extremes and log-sums, and differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.aval import single_axis
from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive
from nbgrad.errors import refuse
from nbgrad.ops import basis
from nbgrad.ops.arrays import scans, sorting
from nbgrad.ops.elements.arithmetic import subtract
from nbgrad.ops.elements.comparison import not_equal
from nbgrad.vocabulary.declare import call, function, newer
from nbgrad.vocabulary.reductions.plain import OUT, as_dtype
from nbgrad.vocabulary.shapes import as_node, broadcast_to, concatenate, reshape
from nbgrad.vocabulary.support import repeats


def _flat(name: str, a: Any, axis: Any) -> tuple[Node, int]:
    """*a* and its axis; flattened if there is none."""
    node = as_node(a)
    if axis is None or not node.ndim:
        if axis not in (None, 0, -1):
            raise np.exceptions.AxisError(axis, node.ndim, name)
        return reshape(node, (-1,)), 0
    return node, single_axis(name, axis, node.ndim)


def _running_dtype(reduce: np.ufunc, node: Node, dtype: Any) -> Node:
    """*node* in the dtype that NumPy accumulates it in: small integers widen."""
    return as_dtype(node, dtype or reduce.reduce(np.empty(0, node.dtype)).dtype)


@function(
    "numpy",
    np.cumsum,
    also=(np.add.accumulate,),
    cases=lambda d: [call(d(2, 3), axis=0), call(d(2, 2)), call(d.integers(5, 3), dtype="f4")],
    complex=True,
    method=True,
)
def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Node:
    """Running sum along *axis* (of the flattened array by default)."""
    refuse("cumsum", OUT, out=out)
    node, k = _flat("cumsum", a, axis)
    return scans.cumsum(_running_dtype(np.add, node, dtype), axis=k, reverse=False)


@function(
    "numpy",
    np.cumprod,
    also=(np.multiply.accumulate,),
    cases=lambda d: [call(d(2, 3), axis=0), call(np.array([2.0, 0, 3, 0, 4]).astype(d.dtype))],
    complex=True,
    method=True,
)
def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Node:
    """Running product along *axis*; the gradient is exact when elements are zero."""
    refuse("cumprod", OUT, out=out)
    node, k = _flat("cumprod", a, axis)
    return scans.cumprod(_running_dtype(np.multiply, node, dtype), axis=k)


def _cumulative(scan: Callable[..., Node], first: float, x: Any, axis: Any, kw: Any) -> Node:
    """The Array API's form: one dimension needs no axis, and the result may start at *first*."""
    node, initial = as_node(x), kw.pop("include_initial")
    if axis is None:
        if node.ndim > 1:
            raise ValueError(
                f"{scan.__name__}: for arrays which have more than one dimension ``axis`` "
                "argument is required"
            )
        axis = 0
    result = scan(node, axis, **kw)
    if not initial:
        return result
    shape = list(result.shape)
    k = single_axis(scan.__name__, axis, result.ndim)
    shape[k] = 1
    start = basis.full(first, shape=tuple(shape), dtype=result.dtype)
    return concatenate([start, result], k)


@function(
    "numpy",
    newer("cumulative_sum"),
    cases=lambda d: [call(d(2, 3), axis=1, include_initial=True), call(d(3))],
    complex=True,
)
def cumulative_sum(
    x: Any,
    /,
    *,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    include_initial: bool = False,
) -> Node:
    """Running sum along *axis*, with a leading 0 if *include_initial*."""
    refuse("cumulative_sum", OUT, out=out)
    return _cumulative(cumsum, 0.0, x, axis, {"dtype": dtype, "include_initial": include_initial})


@function(
    "numpy",
    newer("cumulative_prod"),
    cases=lambda d: [call(d(2, 3), axis=1, include_initial=True), call(d(3))],
    complex=True,
)
def cumulative_prod(
    x: Any,
    /,
    *,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    include_initial: bool = False,
) -> Node:
    """Running product along *axis*, with a leading 1 if *include_initial*."""
    refuse("cumulative_prod", OUT, out=out)
    return _cumulative(cumprod, 1.0, x, axis, {"dtype": dtype, "include_initial": include_initial})


def _running(prim: Primitive, a: Any, axis: int | None) -> Node:
    node, k = _flat(prim.name, a, axis)
    return sorting.along(node, prim(node, axis=k), k)


@function(
    "numpy",
    np.maximum.accumulate,
    cases=lambda d: [call(d.distinct(2, 3), axis=1)],
    method=True,
)
def cummax(a: Any, axis: int | None = None) -> Node:
    """Largest element so far along *axis*: ``np.maximum.accumulate``.

    The gradient goes to the first element that attains it.
    """
    return _running(sorting.running_argmax, a, axis)


@function(
    "numpy",
    np.minimum.accumulate,
    cases=lambda d: [call(d.distinct(2, 3), axis=1)],
    method=True,
)
def cummin(a: Any, axis: int | None = None) -> Node:
    """Smallest element so far along *axis*: ``np.minimum.accumulate``.

    The gradient goes to the first element that attains it.
    """
    return _running(sorting.running_argmin, a, axis)


@function(
    "numpy",
    np.logaddexp.accumulate,
    cases=lambda d: [
        call(d(2, 3), axis=1),
        call(np.array([800.0, 801.0, -800.0])),
    ],
    method=True,
)
def logcumsumexp(a: Any, axis: int | None = None) -> Node:
    """``log(cumsum(exp(a)))`` along *axis*, without overflow."""
    node, k = _flat("logcumsumexp", a, axis)
    return scans.logcumsumexp(node if node.aval.inexact else as_dtype(node, float), axis=k)


def window(node: Node, axis: int, start: int, stop: int, step: int = 1) -> Node:
    """``node[start:stop:step]`` along *axis*; *stop* is at most the extent."""
    starts, sizes, steps = [0] * node.ndim, list(node.shape), [1] * node.ndim
    starts[axis], steps[axis] = start, step
    sizes[axis] = len(range(start, stop, step))
    return basis.slice_(node, starts=tuple(starts), sizes=tuple(sizes), steps=tuple(steps))


def _difference(node: Node, axis: int) -> Node:
    n = node.shape[axis]
    later, earlier = window(node, axis, min(1, n), n), window(node, axis, 0, max(n - 1, 0))
    return (not_equal if node.dtype.kind == "b" else subtract)(later, earlier)


@function(
    "numpy",
    np.diff,
    cases=lambda d: [
        call(d(2, 4), n=2),
        call(d(2, 3), axis=0, prepend=d(1, 3), append=0.5),
    ],
    complex=True,
    method=True,
)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Node:
    """*n*-th difference of neighbours along *axis*."""
    node = as_node(a)
    if n < 0:
        raise ValueError(f"diff: order must be non-negative but got {n!r}")
    if not node.ndim:
        raise ValueError("diff requires input that is at least one dimensional")
    k = single_axis("diff", axis, node.ndim)
    if n == 0:
        return node
    edge = tuple(1 if j == k else size for j, size in enumerate(node.shape))
    ends = [e if e is None else as_node(e) for e in (prepend, append)]
    before, after = (e if e is None or e.ndim else broadcast_to(e, edge) for e in ends)
    joined = [x for x in (before, node, after) if x is not None]
    node = concatenate(joined, k) if len(joined) > 1 else node
    # Beyond the extent all that is left is empty, and stays so.
    for _ in range(repeats("diff", "n", min(n, node.shape[k] + 1))):
        node = _difference(node, k)
    return node


@function(
    "numpy",
    np.ediff1d,
    cases=lambda d: [call(d(2, 2), to_begin=d(2), to_end=0.5), call(d(3))],
    complex=True,
)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Node:
    """Differences of neighbours in the flattened array, between *to_begin* and *to_end*."""
    flat = reshape(as_node(ary), (-1,))
    for name, end in (("to_begin", to_begin), ("to_end", to_end)):
        if end is not None and not np.can_cast(as_node(end).dtype, flat.dtype, "same_kind"):
            raise TypeError(f"ediff1d: dtype of `{name}` must be compatible with input `ary`")
    parts = [as_dtype(end, flat.dtype) for end in (to_begin, to_end) if end is not None]
    parts = [reshape(end, (-1,)) for end in parts]
    parts.insert(to_begin is not None, _difference(flat, 0))
    return concatenate(parts) if len(parts) > 1 else parts[0]
