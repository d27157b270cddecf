"""Reductions and scans that leave NaN out; an element that is NaN gets gradient 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.values import value_of
from nbgrad.errors import ConcretizationError, refuse
from nbgrad.ops.elements.comparison import isnan, logical_and, logical_not
from nbgrad.ops.elements.selection import where as select
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions import plain as reducing
from nbgrad.vocabulary.reductions.plain import OUT, Axis, as_dtype
from nbgrad.vocabulary.reductions.scans import cumprod, cumsum
from nbgrad.vocabulary.shapes import as_node


def _holes(d: Any, axis: int | None = None, **kwargs: Any) -> Any:
    """A call on an array of which one element is NaN."""
    x = d(2, 3)
    x[0, 1] = np.nan
    return call(x, axis=axis, **kwargs)


def _replaced(node: Node, value: float) -> Node:
    return select(isnan(node), value, node) if node.aval.inexact else node


def _valid(node: Node, where: Any) -> Any:
    """Where the elements count: they are numbers and the user's mask holds."""
    if not node.aval.inexact:
        return where
    numbers = logical_not(isnan(node))
    return numbers if where is True else logical_and(numbers, as_node(where))


@function("numpy", np.nansum, cases=lambda d: [_holes(d, 1)], complex=True, method=True)
def nansum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Node:
    """Sum over *axis* of what is not NaN."""
    refuse("nansum", OUT, out=out)
    node = _replaced(as_node(a), 0.0)
    return reducing.sum(node, axis, dtype, keepdims=keepdims, initial=initial, where=where)


@function("numpy", np.nanprod, cases=lambda d: [_holes(d, 1)], complex=True)
def nanprod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Node:
    """Product over *axis* of what is not NaN."""
    refuse("nanprod", OUT, out=out)
    node = _replaced(as_node(a), 1.0)
    return reducing.prod(node, axis, dtype, keepdims=keepdims, initial=initial, where=where)


@function("numpy", np.nancumsum, cases=lambda d: [_holes(d, 1)], complex=True)
def nancumsum(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Node:
    """Running sum along *axis*, NaN taken as 0."""
    return cumsum(_replaced(as_node(a), 0.0), axis, dtype, out)


@function("numpy", np.nancumprod, cases=lambda d: [_holes(d, 1)], complex=True)
def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: Any = None) -> Node:
    """Running product along *axis*, NaN taken as 1."""
    return cumprod(_replaced(as_node(a), 1.0), axis, dtype, out)


def _nan_extremum(
    name: str, a: Any, axis: Axis, out: Any, keepdims: bool, initial: Any, where: Any
) -> Node:
    refuse(f"nan{name}", OUT, out=out)
    node = as_node(a)
    plain = getattr(reducing, name)
    if not node.aval.inexact:
        return as_node(plain(node, axis, keepdims=keepdims, initial=initial, where=where))
    worst = -np.inf if name == "max" else np.inf
    options = {"keepdims": keepdims, "initial": initial, "where": where}
    found: Node = plain(_replaced(node, worst), axis, **options)
    if initial is not None:
        return found
    empty = reducing.all(isnan(node), axis, keepdims=keepdims)
    return select(empty, np.nan, found)


@function("numpy", np.nanmax, cases=lambda d: [call(d.distinct(2, 3), axis=1)])
def nanmax(
    a: Any,
    axis: Axis = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Node:
    """Largest over *axis* of what is not NaN; NaN if nothing is. Ties share the gradient."""
    return _nan_extremum("max", a, axis, out, keepdims, initial, where)


@function("numpy", np.nanmin, cases=lambda d: [call(d.distinct(2, 3), axis=1)])
def nanmin(
    a: Any,
    axis: Axis = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Node:
    """Smallest over *axis* of what is not NaN; NaN if nothing is. Ties share the gradient."""
    return _nan_extremum("min", a, axis, out, keepdims, initial, where)


def _nan_arg(name: str, a: Any, axis: int | None, out: Any, keepdims: bool) -> Node:
    node = as_node(a)
    if node.aval.inexact:
        empty = reducing.any(reducing.all(isnan(node), axis))
        try:
            if value_of(empty):
                raise ValueError(f"nan{name}: all-NaN slice encountered")
        except ConcretizationError:
            pass  # a traced array: its values are not known
        node = _replaced(node, -np.inf if name == "argmax" else np.inf)
    result: Node = getattr(reducing, name)(node, axis, out, keepdims=keepdims)
    return result


@function("numpy", np.nanargmax, cases=lambda d: [call(d(2, 3), axis=1)], differentiable=False)
def nanargmax(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Node:
    """Index of the first largest element that is not NaN."""
    return _nan_arg("argmax", a, axis, out, keepdims)


@function("numpy", np.nanargmin, cases=lambda d: [call(d(2, 3), axis=1)], differentiable=False)
def nanargmin(a: Any, axis: int | None = None, out: Any = None, *, keepdims: bool = False) -> Node:
    """Index of the first smallest element that is not NaN."""
    return _nan_arg("argmin", a, axis, out, keepdims)


@function("numpy", np.nanmean, cases=lambda d: [_holes(d, 1)], complex=True, method=True)
def nanmean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    *,
    where: Any = True,
) -> Node:
    """Mean over *axis* of what is not NaN; NaN if nothing is."""
    node = as_node(a)
    valid = _valid(node, where)
    return reducing.mean(node, axis, dtype, out, keepdims, where=valid)


@function(
    "numpy",
    np.nanvar,
    cases=lambda d: [_holes(d, 1), _holes(d, ddof=1, keepdims=True)],
    complex=True,
)
def nanvar(
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
    """Variance over *axis* of what is not NaN; NaN where ``count - ddof`` is not positive."""
    node = as_node(a)
    valid = _valid(node, where)
    rest = {"where": valid, "mean": mean, "correction": correction}
    found = reducing.var(_masked(node, valid), axis, dtype, out, ddof, keepdims, **rest)
    if valid is True:
        return found
    freedom = ddof if correction is None else correction
    count = reducing.sum(as_dtype(valid, np.intp), axis, keepdims=keepdims)
    return select(count > freedom, found, np.nan)


def _masked(node: Node, valid: Any) -> Node:
    """*node* with 0 in place of NaN: differences with it would be NaN before they are masked."""
    return node if valid is True else select(valid, node, 0.0)


@function(
    "numpy",
    np.nanstd,
    cases=lambda d: [_holes(d, 1)],
    complex=True,
)
def nanstd(
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
    """Standard deviation over *axis* of what is not NaN; derivative 0 where it is 0."""
    rest = {"where": where, "mean": mean, "correction": correction}
    return reducing.safe_sqrt(nanvar(a, axis, dtype, out, ddof, keepdims, **rest))
