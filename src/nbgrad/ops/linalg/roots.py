"""Roots of polynomials, differentiable where they are simple."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.node import Node
from nbgrad.ops.basis import cast, concatenate, full, reshape, slice_, sum_
from nbgrad.ops.kinds.batching import EACH
from nbgrad.ops.kinds.cotangents import conjugate, materialize, times
from nbgrad.ops.kinds.opaque import opaque


def _prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    (p,) = xs
    return xs, make_aval((p.shape[0] - 1,), np.dtype(params["dtype"])), ()


def _slopes(y: Node, p: Node) -> Node:
    """How each root (a row) moves with each coefficient: ``-y**(n - k) / p'(y)``."""
    n = p.shape[0] - 1
    root = reshape(y, shape=(n, 1))
    powers = [full(1.0, shape=(n, 1), dtype=y.dtype)]
    for _ in range(n):
        powers.insert(0, powers[0] * root)
    table = concatenate(*powers, axis=1)
    lower = slice_(table, starts=(0, 1), sizes=(n, n), steps=(1, 1))
    leading = slice_(p, starts=(0,), sizes=(n,), steps=(1,))
    terms = lower * (leading * np.arange(n, 0, -1, dtype=np.empty(0, p.dtype).real.dtype))
    return -(table / sum_(terms, axis=(1,), keepdims=True))


def _vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any]:
    n = y.shape[0]
    column = reshape(materialize(ct, y.aval), shape=(n, 1))
    found = sum_(times(column, conjugate(_slopes(y, xs[0]))), axis=(0,), keepdims=False)
    return (materialize(found, xs[0].aval),)


def _jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Node:
    t = cast(materialize(tangents[0], xs[0].aval), dtype=y.dtype)
    return sum_(
        times(reshape(t, shape=(1, t.shape[0])), _slopes(y, xs[0])), axis=(1,), keepdims=False
    )


roots = opaque(
    "roots",
    batch=EACH,
    prepare=_prepare,
    evaluate=lambda p, dtype: np.roots(p).astype(dtype),
    vjp=_vjp,
    jvp=_jvp,
    domain=((1.5, 2.0),),
    cases=(((2,), {"dtype": np.dtype(np.float64)}),),
    doc="Roots of a polynomial, highest power first; the derivative is infinite at a double root.",
)
