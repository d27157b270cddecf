"""Where one dimension of an array goes in an operation: kept, summed over, or made by a broadcast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from nbgrad.core.aval import Aval
from nbgrad.core.node import Node
from nbgrad.core.primitive import bind
from nbgrad.core.signature import Signature
from nbgrad.ops.arrays.reductions import mean
from nbgrad.ops.basis import broadcast_to, concatenate, full, pad, reshape, slice_, sum_, transpose
from nbgrad.ops.linalg.products import matmul

Axis = int | None  # None: the dimension is not there
Avals = Sequence[Aval | None]  # of operands; None of a number
WINDOWS: Final = (slice_, pad, concatenate)


class Lost(Exception):
    """An operation does with the dimension what cannot be done part by part."""


def summed(sig: Signature, out: Aval) -> list[Axis]:
    """The dimensions of its operands that an operation of two sums over."""
    return [out.ndim - 1, out.ndim - 2] if sig.prim is matmul else []


def is_sum(sig: Signature, avals: Avals, out: Aval, axes: Sequence[Axis]) -> bool:
    """Whether the result is a sum over a dimension that operands have at *axes*."""
    return axes == (summed(sig, out) or axes) and result(sig, avals, out, axes) is None


def result(sig: Signature, avals: Avals, out: Aval, axes: Sequence[Axis]) -> Axis:
    """Where a dimension that operands have at *axes* is in the result *out*; None if that is a sum over it.

    Raises
    ------
    Lost
        If it is neither.
    """
    prim, params = sig.prim, sig.params
    first = next(k for k, axis in enumerate(axes) if axis is not None)
    at, x = axes[first], avals[first]
    assert at is not None and x is not None
    if prim.kind == "elementwise":
        if any(k not in (None, at) for k in axes):
            raise Lost
        return at
    if prim in WINDOWS and _through(sig, x, out, at):
        return at
    if prim is transpose:
        return list(params["perm"]).index(at)
    if prim is reshape:
        return _same_product(x.shape, at, params["shape"])
    if prim is broadcast_to:
        return at + len(params["shape"]) - x.ndim
    if prim is matmul:
        return _of_matmul(x.ndim, *axes)
    if _plain(sig):
        if at not in params["axis"]:
            return at if params["keepdims"] else at - sum(k < at for k in params["axis"])
        if prim in (sum_, mean) and out.inexact:
            return None
    raise Lost


def operands(sig: Signature, avals: Avals, out: Aval, at: int) -> list[Axis] | None:
    """Where operands have the dimension that the result has at *at*; None if nobody knows."""
    prim, params = sig.prim, sig.params
    if prim.kind == "elementwise":
        return [at if x is not None and x.ndim else None for x in avals]
    if prim is full:
        return [None]
    if not avals or avals[0] is None:
        return None
    x = avals[0]
    if prim in WINDOWS and _through(sig, x, out, at):
        return [at] * len(avals)
    if prim is transpose:
        return [params["perm"][at]]
    if prim is reshape:
        return [_same_product(params["shape"], at, x.shape)]
    if prim is broadcast_to:
        axis = at - (len(params["shape"]) - x.ndim)
        return [axis if axis >= 0 and x.shape[axis] == params["shape"][at] else None]
    if prim is matmul:
        n = x.ndim
        return [at, at] if at < n - 2 else [at, None] if at == n - 2 else [None, at]
    if _plain(sig):
        kept = [k for k in range(x.ndim) if k not in params["axis"]]
        return [at if params["keepdims"] else kept[at]]
    return None


def resized(sig: Signature, aval: Aval | None, xs: Sequence[Any], at: Axis, size: int) -> Node:
    """The operation on parts of its operands, of which *aval* is the first.

    Its result is of *size* at *at*, or a sum, or its part of a mean, over so many.
    """
    params: dict[str, Any] = sig.params
    if at is not None:
        word = "sizes" if sig.prim is slice_ else "shape"
        if word in params:
            shape = params[word]
            params = {**params, word: (*shape[:at], size, *shape[at + 1 :])}
    elif sig.prim is mean:
        assert aval is not None
        return sum_(xs[0], **params) / math.prod([aval.shape[k] for k in params["axis"]])  # type: ignore[no-any-return]
    return bind(sig.prim, *xs, **params)  # type: ignore[no-any-return]


def _same_product(shape: Sequence[int], at: int, other: Sequence[int]) -> int:
    """The dimension of *other* that is number *at* of *shape*, in another shape of the same elements."""
    before = math.prod(shape[:at])
    for k, n in enumerate(other):
        if n == shape[at] and math.prod(other[:k]) == before:
            return k
    raise Lost


def _of_matmul(n: int, a: Axis, b: Axis) -> Axis:
    """Where it is in the result of a product of two operands of *n* dimensions."""
    batch = [k for k in (a, b) if k is not None and k < n - 2]
    if batch:
        return batch[0]
    if a == n - 1 or b == n - 2:  # summed over
        return None
    if a is not None and b is not None:
        raise Lost
    return a if a is not None else b


def _plain(sig: Signature) -> bool:
    """Whether it is a reduction of which nothing but the dimensions is to be known."""
    return sig.prim.kind == "reduction" and sig.params.keys() == {"axis", "keepdims"}


def _through(sig: Signature, x: Aval, y: Aval, at: int) -> bool:
    """Whether windows leave dimension *at* as it is, as operands side by side along another one do."""
    params = sig.params
    if sig.prim is concatenate:
        return bool(params["axis"] != at)
    same = x.ndim > at and x.shape[at] == y.shape[at]
    return bool(same and params["starts"][at] == 0 and params["steps"][at] == 1)
