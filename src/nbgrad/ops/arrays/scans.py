"""Scans: running sums, products and log-sums, and the linear recurrence their derivatives are.

All of them stay within this file when differentiated, so every order is exact and takes a time
linear in the length.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.lazy import load
from nbgrad.core.node import Node, constant
from nbgrad.ops.basis import cast, concatenate, full, slice_
from nbgrad.ops.elements.arithmetic import exp
from nbgrad.ops.elements.comparison import equal
from nbgrad.ops.elements.exponential import shifted
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.batching import SHIFTED
from nbgrad.ops.kinds.cotangents import add_up, conjugate, materialize, times
from nbgrad.ops.kinds.forms import Library
from nbgrad.ops.kinds.linear import linear
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.kinds.reaching import PREFIX


def _splits(params: dict[str, Any], *avals: Aval) -> list[tuple[int, ...]]:
    """The dimensions before, along and after the axis."""
    axis = params["axis"]
    return [(0, axis, axis + 1, x.ndim) for x in avals]


def _cumsum(x: Any, axis: int, reverse: bool) -> Any:
    if reverse:
        return np.flip(np.cumsum(np.flip(x, axis), axis, dtype=x.dtype), axis)
    return np.cumsum(x, axis, dtype=x.dtype)


cumsum = linear(
    "cumsum",
    aval=lambda x, axis, reverse: x,
    adjoint=lambda ct, x, axis, reverse: cumsum(ct, axis=axis, reverse=not reverse),
    evaluate=_cumsum,
    reach=PREFIX,
    lower=Library("cumsum", ("fiuc",), _splits, on_card=True),
    cases=(((2, 3), {"axis": 1, "reverse": False}), ((3, 2), {"axis": 0, "reverse": True})),
    doc="Running sum along an axis, from its end if reversed.",
)


def previous(x: Node, axis: int, reverse: bool = False, first: float = 0.0) -> Node:
    """For each element of *x* the one before it along *axis*; *first* where there is none.

    If *reverse*, the one after it.
    """
    n = x.shape[axis]
    if not n:
        return x
    zeros, steps = [0] * x.ndim, (1,) * x.ndim
    starts, sizes = list(zeros), list(x.shape)
    starts[axis], sizes[axis] = int(reverse), n - 1
    rest = slice_(x, starts=tuple(starts), sizes=tuple(sizes), steps=steps)
    sizes[axis] = 1
    edge = full(first, shape=tuple(sizes), dtype=x.dtype)
    return concatenate(*((rest, edge) if reverse else (edge, rest)), axis=axis)


# ------------------------------------------------------------------------------ linear recurrence


def _recurrence_prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    a, b = (x if x.__class__ is Node else constant(x) for x in xs)
    dtype = np.result_type(a.dtype, b.dtype)
    a, b = (x if x.dtype == dtype else cast(x, dtype=dtype) for x in (a, b))
    return (a, b), b.aval, ()


def _recurrence(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    """Substitution: over rows at once if they are many, else by LAPACK's banded solve."""
    ends = slice(None, None, -1) if reverse else slice(None)
    factors, h = (np.moveaxis(x, axis, -1)[..., ends].copy() for x in (a, b))
    n = h.shape[-1]
    if h.size > 1 and n > h.size // n and h.dtype.kind in "fc" and h.itemsize > 2:
        h = _banded(factors.reshape(-1, n), h.reshape(-1, n)).reshape(h.shape)
    else:
        for k in range(1, n):
            h[..., k] += factors[..., k] * h[..., k - 1]
    return np.moveaxis(h[..., ends], -1, axis)


def _banded(factors: Any, rows: Any) -> Any:
    lapack = load("scipy.linalg.lapack")
    (solve,) = lapack.get_lapack_funcs(("tbtrs",), (rows,))
    band = np.ones((2, rows.shape[-1]), rows.dtype)
    out = np.empty_like(rows)
    for k, row in enumerate(rows):
        band[1, :-1] = -factors[k, 1:]
        out[k] = solve(band, row[:, None], uplo="L", diag="U")[0][:, 0]
    return out


def _recurrence_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, Any]:
    axis, reverse = params["axis"], params["reverse"]
    follow = previous(conjugate(xs[0]), axis, not reverse)
    passed = recurrence(follow, materialize(ct, y.aval), axis=axis, reverse=not reverse)
    factor = times(passed, conjugate(previous(y, axis, reverse))) if wants[0] else None
    return factor, passed


def _recurrence_jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Any:
    ta, tb = tangents
    terms = [None if tb is None else materialize(tb, y.aval)]
    if ta is not None:
        terms.append(times(materialize(ta, y.aval), previous(y, **params)))
    return recurrence(xs[0], materialize(add_up(terms), y.aval), **params)


recurrence = opaque(
    "recurrence",
    batch=SHIFTED,
    prepare=_recurrence_prepare,
    evaluate=_recurrence,
    vjp=_recurrence_vjp,
    jvp=_recurrence_jvp,
    reach=PREFIX,
    lower=Library("recurrence", ("fc", "fc"), _splits, flops=lambda params, a, b: 2 * b.size),
    cases=(
        ((2, 3), (2, 3), {"axis": 0, "reverse": True}),
        ((1, 4), (1, 4), {"axis": 1, "reverse": False}),
    ),
    doc="Linear recurrence h[k] = a[k] h[k-1] + b[k] along an axis, from 0; a[0] is not used.",
)


# ------------------------------------------------------------------------------- running products


def _cumprod_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any]:
    # Element j gets prod(x[:j]) * (ct[j] + x[j+1] (ct[j+1] + x[j+2] (...))): nothing is divided.
    axis = params["axis"]
    after = previous(conjugate(xs[0]), axis, reverse=True)
    inner = recurrence(after, materialize(ct, y.aval), axis=axis, reverse=True)
    return (times(inner, conjugate(previous(y, axis, first=1.0))),)


def _cumprod_jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Any:
    axis = params["axis"]
    step = times(materialize(tangents[0], y.aval), previous(y, axis, first=1.0))
    return recurrence(xs[0], step, axis=axis, reverse=False)


cumprod = opaque(
    "cumprod",
    batch=SHIFTED,
    prepare=lambda xs, params: (xs, xs[0].aval, ()),
    evaluate=lambda x, axis: np.cumprod(x, axis, dtype=x.dtype),
    vjp=_cumprod_vjp,
    jvp=_cumprod_jvp,
    lower=Library("cumprod", ("fiuc",), _splits, on_card=True),
    cases=(((2, 3), {"axis": 1}),),
    doc="Running product along an axis; the gradient is exact when elements are zero.",
)


# ------------------------------------------------------------------------------- running log-sums


def _share(part: Node, whole: Node) -> Node:
    """``exp(part - whole)``, which is at most 1; 0 where both are -inf."""
    nothing = equal(whole, -np.inf)
    return where(nothing, 0.0, exp(where(nothing, 0.0, shifted(part, whole))))


def _shares(x: Node, y: Node, axis: int) -> tuple[Node, Node]:
    """Weights of each element, and of the running result before it, in the running result.

    Elements of +inf share the weight evenly, however many of them have come.
    """
    full_ = equal(x, np.inf)
    count = cumsum(cast(full_, dtype=x.dtype), axis=axis, reverse=False)
    none = equal(count, 0)
    own, before = _share(x, y), _share(previous(y, axis, first=-np.inf), y)
    each = 1.0 / where(none, 1.0, count)
    return (
        where(none, own, where(full_, each, 0.0)),
        where(none, before, where(full_, 1.0 - each, 1.0)),
    )


def _logcumsumexp_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any]:
    # Weights relative to the running result itself, so that nothing overflows.
    axis = params["axis"]
    own, before = _shares(xs[0], y, axis)
    later = previous(before, axis, reverse=True)
    passed = recurrence(later, materialize(ct, y.aval), axis=axis, reverse=True)
    return (times(passed, own),)


def _logcumsumexp_jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Any:
    axis = params["axis"]
    own, before = _shares(xs[0], y, axis)
    step = times(materialize(tangents[0], y.aval), own)
    return recurrence(before, step, axis=axis, reverse=False)


logcumsumexp = opaque(
    "logcumsumexp",
    batch=SHIFTED,
    prepare=lambda xs, params: (xs, xs[0].aval, ()),
    evaluate=lambda x, axis: np.logaddexp.accumulate(x, axis=axis),
    vjp=_logcumsumexp_vjp,
    jvp=_logcumsumexp_jvp,
    cases=(((2, 3), {"axis": 1}),),
    doc="log(cumsum(exp(x))) along an axis without overflow; elements of -inf have weight 0, "
    "those of +inf share it evenly.",
)
