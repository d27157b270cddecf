"""Determinants and the adjugate: derivatives exact and finite at singular matrices too.

In the frame of the singular vectors the adjugate of a diagonal matrix is made of products of all
singular values but one, and its derivative of all but two: no division, so none by zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, Several, make_aval, several
from nbgrad.core.node import Node
from nbgrad.ops.basis import cast, reshape, sum_
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.elements.comparison import equal
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.batching import LEADING
from nbgrad.ops.kinds.cotangents import add_up, conjugate, materialize, times
from nbgrad.ops.kinds.forms import Factored
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.linalg.factored import lu_factored, lu_sign
from nbgrad.ops.linalg.matrices import (
    adjoint,
    diagonal,
    imaginary_part,
    matmul,
    per_matrix,
    real_dtype,
    real_part,
    same_dtype,
    square_operand,
    tangents,
    trace,
)
from nbgrad.ops.linalg.solves import inv


def _square(name: str) -> Any:
    def prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
        nodes = same_dtype(*(square_operand(name, x) for x in xs))
        return tuple(nodes), nodes[0].aval, ()

    return prepare


# ---------------------------------------------------------------------------------------- adjugate


def _products(s: Any, leave: int) -> Any:
    """Products of the last dimension without element i (leave 1), or without i and j (leave 2)."""
    n = s.shape[-1]
    index = np.indices((n,) * leave)[..., None]
    kept = (index != np.arange(n)).all(axis=0)
    return np.where(kept, np.expand_dims(s, tuple(range(-leave - 1, -1))), 1).prod(axis=-1)


def _frame(a: Any) -> tuple[Any, Any, Any, Any]:
    """Singular vectors and values, and the determinant of the vectors, of absolute value 1.

    Of a matrix that is not finite, for which LAPACK finds none, the values are NaN.
    """
    whole = np.isfinite(a).all(axis=(-2, -1))
    u, s, vh = np.linalg.svd(np.where(whole[..., None, None], a, 0))
    s = np.where(whole[..., None], s, np.nan)
    phase = np.linalg.det(u) * np.linalg.det(vh)
    return u, s, np.conj(np.swapaxes(vh, -1, -2)), phase[..., None, None]


def _h(x: Any) -> Any:
    return np.conj(np.swapaxes(x, -1, -2))


def _adjugate(a: Any) -> Any:
    u, s, v, phase = _frame(a)
    return (phase * (v * _products(s, 1)[..., None, :]) @ _h(u)).astype(a.dtype)


def _adjugate_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Node]:
    # The derivative is symmetric: its transpose at a is the derivative at a^H.
    return (adjugate_change(adjoint(xs[0]), materialize(ct, y.aval)),)


adjugate = opaque(
    "adjugate",
    batch=LEADING,
    prepare=_square("adjugate"),
    evaluate=_adjugate,
    vjp=_adjugate_vjp,
    jvp=lambda ts, y, xs, params: adjugate_change(xs[0], tangents(ts, xs)[0]),
    cases=((("square", 3, 3),),),
    doc="Transposed cofactors: the inverse times the determinant.",
)


def _adjugate_change(a: Any, e: Any) -> Any:
    u, s, v, phase = _frame(a)
    inner = _h(u) @ e @ v
    pairs = _products(s, 2) * (1 - np.eye(s.shape[-1]))
    kept = np.einsum("...ij,...jj->...i", pairs, inner)
    moved = kept[..., None] * np.eye(s.shape[-1]) - pairs * inner
    return (phase * (v @ moved @ _h(u))).astype(a.dtype)


def _third(a: Node, e: Node, h: Node) -> Node:
    """Second derivative of the adjugate along e and h, at a regular matrix."""
    b = inv(a)
    be, bh = matmul(b, e), matmul(b, h)
    be_trace, bh_trace = trace(be), trace(bh)
    scale = per_matrix(det(a), a)
    return scale * add_up(
        [
            (be_trace * bh_trace - trace(matmul(bh, be))) * b,
            -(bh_trace * matmul(be, b)),
            -(be_trace * matmul(bh, b)),
            matmul(bh, be, b),
            matmul(be, bh, b),
        ]
    )


def _change_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, Node]:
    a, e = xs
    ct = materialize(ct, y.aval)
    of_a = adjoint(_third(a, e, adjoint(ct))) if wants[0] else None
    return of_a, adjugate_change(adjoint(a), ct)


def _change_jvp(ts: Any, y: Node, xs: Any, params: Any) -> Node:
    ta, te = tangents(ts, xs)
    along = adjugate_change(xs[0], te)
    return along if ts[0] is None else along + _third(*xs, ta)


adjugate_change = opaque(
    "adjugate_change",
    batch=LEADING,
    prepare=_square("adjugate"),
    evaluate=_adjugate_change,
    vjp=_change_vjp,
    jvp=_change_jvp,
    cases=((("square", 3, 3), (3, 3)),),
    doc="Derivative of the adjugate of the first operand along the second.",
)

# ------------------------------------------------------------------------------------ determinants


def _by_factors(factors: Any, transposed: bool) -> tuple[Node, Node]:
    """Sign and logarithm, in double precision, as NumPy has them: products may overflow on the way."""
    packed, pivots = factors
    sign = lu_sign(packed, pivots)
    sizes = arithmetic.absolute(cast(diagonal(packed), dtype=np.dtype(np.float64)))
    singular = equal(sign, 0.0)
    sizes = where(reshape(singular, shape=(*singular.shape, 1)), 1.0, sizes)
    log = sum_(arithmetic.log(sizes), axis=(sizes.ndim - 1,), keepdims=False)
    return sign, where(singular, -np.inf, log)


def _det_by_factors(factors: Any, transposed: bool) -> Node:
    sign, log = _by_factors(factors, transposed)
    return sign * cast(arithmetic.exp(log), dtype=sign.dtype)


def _slogdet_by_factors(factors: Any, transposed: bool) -> tuple[Node, Node]:
    sign, log = _by_factors(factors, transposed)
    return sign, cast(log, dtype=sign.dtype)


def _det_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    a = square_operand("det", xs[0])
    return (a,), make_aval(a.shape[:-2], a.dtype), ()


def _det_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Node]:
    (a,) = xs
    return (times(per_matrix(materialize(ct, y.aval), a), adjoint(adjugate(a))),)


def _det_jvp(ts: Any, y: Node, xs: Any, params: Any) -> Node:
    return reshape(trace(matmul(adjugate(xs[0]), tangents(ts, xs)[0])), shape=y.shape)


det = opaque(
    "det",
    batch=LEADING,
    prepare=_det_prepare,
    evaluate=np.linalg.det,
    vjp=_det_vjp,
    jvp=_det_jvp,
    lower=Factored(lu_factored, _det_by_factors),
    cases=((("square", 3, 3),),),
    grad_name="LinalgDet",
    doc="Determinant; its derivatives are exact where it is 0.",
)


def _slogdet_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Several, Any]:
    a = square_operand("slogdet", xs[0])
    batch = a.shape[:-2]
    return (a,), several(make_aval(batch, a.dtype), make_aval(batch, real_dtype(a.dtype))), ()


def _slogdet_vjp(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> tuple[Any]:
    (a,), (sign, _), (of_sign, of_log) = xs, ys, cts
    scale = None if of_log is None else cast(of_log, dtype=a.dtype)
    if of_sign is not None and a.dtype.kind == "c":
        turn = cast(imaginary_part(conjugate(sign) * of_sign), dtype=a.dtype)
        scale = add_up([scale, turn * 1j])
    return (None if scale is None else times(per_matrix(scale, a), adjoint(inv(a))),)


def _slogdet_jvp(ts: Any, ys: Any, xs: Any, params: Any) -> tuple[Any, Node]:
    (a,), (t,), (sign, _) = xs, tangents(ts, xs), ys
    inner = matmul(inv(a), t)
    rate = sum_(diagonal(inner), axis=(a.ndim - 2,), keepdims=False)
    turn = None
    if a.dtype.kind == "c":
        turn = sign * (cast(imaginary_part(rate), dtype=a.dtype) * 1j)
    return turn, real_part(rate)


slogdet = opaque(
    "slogdet",
    batch=LEADING,
    prepare=_slogdet_prepare,
    evaluate=np.linalg.slogdet,
    vjp=_slogdet_vjp,
    jvp=_slogdet_jvp,
    lower=Factored(lu_factored, _slogdet_by_factors),
    cases=((("square", 3, 3),),),
    grad_name="LinalgSlogdet",
    doc="Sign (or phase) and logarithm of the absolute value of the determinant.",
    several=True,
)
