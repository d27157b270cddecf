"""Triangular and orthogonal factorizations: Cholesky, QR, LU.

Murray, Differentiation of the Cholesky decomposition (2016); Walter and Lehmann, Algorithmic
differentiation of linear algebra functions (2010).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, Several, make_aval, several
from nbgrad.core.node import Node
from nbgrad.ops.basis import cast
from nbgrad.ops.kinds.batching import LEADING
from nbgrad.ops.kinds.cotangents import add_up, materialize
from nbgrad.ops.kinds.forms import Library
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.linalg.cotangents import cholesky_cotangent
from nbgrad.ops.linalg.matrices import (
    adjoint,
    cubic,
    diagonal,
    diagonal_matrix,
    each_matrix,
    halved_diagonal,
    hermitian_part,
    lower,
    matmul,
    matrix_operand,
    matrix_splits,
    positions,
    real_part,
    square_operand,
    tangents,
    upper,
)
from nbgrad.ops.linalg.solves import solve_triangular
from nbgrad.ops.linalg.triangles import over_triangles

# ---------------------------------------------------------------------------------------- Cholesky


def _cholesky_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    a = square_operand("cholesky", xs[0])
    return (a,), a.aval, ()


def _real_diagonal(x: Node) -> Node:
    """The lower triangle with half of the real part of the diagonal."""
    half = lower(halved_diagonal(x))
    if x.dtype.kind != "c":
        return half
    return lower(half, -1) + diagonal_matrix(cast(real_part(diagonal(half)), dtype=x.dtype))


def _cholesky_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Node]:
    ct = materialize(ct, y.aval)
    if y.dtype.kind == "f":
        return (cholesky_cotangent(y, ct, positions(y.shape[-1], 0), positions(y.shape[-1], 1)),)
    # Only the lower triangle of the product is used, and it has no part of ct's upper one.
    inner = _real_diagonal(matmul(adjoint(y), ct))
    return (over_triangles(hermitian_part(inner), y),)


def _cholesky_jvp(ts: Any, y: Node, xs: Any, params: Any) -> Node:
    (ta,) = tangents(ts, xs)
    inner = solve_triangular(y, hermitian_part(ta), lower=True, left=True, unit=False)
    inner = solve_triangular(adjoint(y), inner, lower=False, left=False, unit=False)
    return matmul(y, _real_diagonal(inner))


cholesky = opaque(
    "cholesky",
    batch=LEADING,
    prepare=_cholesky_prepare,
    evaluate=lambda a: each_matrix(np.linalg.cholesky, a),
    vjp=_cholesky_vjp,
    jvp=_cholesky_jvp,
    lower=Library("cholesky", ("f",), matrix_splits, flops=cubic(1 / 3)),
    cases=((("spd", 3, 3),),),
    grad_name="LinalgCholeskyEx",
    doc="Lower Cholesky factor of Hermitian matrices, whose gradient is Hermitian too.",
)

# ---------------------------------------------------------------------------------------------- QR


def _qr_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Several, Any]:
    a = matrix_operand("qr", xs[0])
    if a.shape[-2] < a.shape[-1]:
        raise ValueError(f"qr: the primitive takes tall matrices, not {a.shape}; use linalg.qr")
    n = a.shape[-1]
    return (a,), several(a.aval, make_aval((*a.shape[:-2], n, n), a.dtype)), ()


def _on_the_right(x: Node, r: Node) -> Node:
    """``x @ r^-1`` for upper triangular r."""
    return solve_triangular(r, x, lower=False, left=False, unit=False)


def _qr_vjp(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> tuple[Any]:
    (q, r), (gq, gr) = ys, cts
    terms = [
        None if gr is None else matmul(gr, adjoint(r)),
        None if gq is None else -matmul(adjoint(q), gq),
    ]
    inner = add_up(terms)
    if inner is None:
        return (None,)
    inner = matmul(q, hermitian_part(_real_diagonal(adjoint(inner))) * 2.0)
    total = inner if gq is None else gq + inner
    return (solve_triangular(adjoint(r), total, lower=True, left=False, unit=False),)


def _qr_jvp(ts: Any, ys: Any, xs: Any, params: Any) -> tuple[Node, Node]:
    q, r = ys
    moved = _on_the_right(tangents(ts, xs)[0], r)
    inner = matmul(adjoint(q), moved)
    # What R takes of the inner change: the upper triangle that keeps the rest antihermitian.
    taken = adjoint(_real_diagonal(adjoint(inner)) + _real_diagonal(inner))
    return moved - matmul(q, taken), matmul(taken, r)


qr = opaque(
    "qr",
    batch=LEADING,
    prepare=_qr_prepare,
    evaluate=lambda a: each_matrix(np.linalg.qr, a),
    vjp=_qr_vjp,
    jvp=_qr_jvp,
    lower=Library("qr", ("f",), matrix_splits, flops=cubic(8 / 3)),
    cases=(((3, 2),),),
    grad_name="LinalgQr",
    doc="Q and R of matrices with at least as many rows as columns.",
    several=True,
)


def _completion_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    a = matrix_operand("qr", xs[0])
    *batch, m, n = a.shape
    return (a,), make_aval((*batch, m, m - n), a.dtype), ()


def _completion(a: Any) -> Any:
    return np.linalg.qr(a, "complete")[0][..., a.shape[-1] :]


completion = opaque(
    "qr_completion",
    batch=LEADING,
    prepare=_completion_prepare,
    evaluate=_completion,
    cases=(((3, 2),),),
    doc="The columns of Q in a complete QR factorization that R has only zeros for.",
)

# ---------------------------------------------------------------------------------------------- LU


def _pivots_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    a = matrix_operand("lu", xs[0])
    return (a,), make_aval(a.shape[:-1], np.dtype(np.int64)), ()


def _row_order(a: Any, inverse: bool) -> Any:
    from scipy.linalg.lapack import get_lapack_funcs

    out = np.empty(a.shape[:-1], np.int64)
    (getrf,) = get_lapack_funcs(("getrf",), (a,))
    for place in np.ndindex(a.shape[:-2]):
        order = list(range(a.shape[-2]))
        if a.shape[-1] and order:
            for row, other in enumerate(getrf(a[place])[1]):
                order[row], order[other] = order[other], order[row]
        out[place] = np.argsort(order) if inverse else order
    return out


row_order = opaque(
    "row_order",
    batch=LEADING,
    prepare=_pivots_prepare,
    evaluate=_row_order,
    cases=(((3, 3), {"inverse": False}), ((2, 3, 2), {"inverse": True})),
    doc="The order in which partial pivoting takes the rows of matrices, or its inverse.",
)


def _unpivoted_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    a = square_operand("lu", xs[0])
    return (a,), a.aval, ()


def _unpivoted(a: Any) -> Any:
    """Both factors in one matrix, by halves, so that almost all work is products."""
    n = a.shape[-1]
    out = np.array(a)
    if n <= 8:
        for k in range(n - 1):
            with np.errstate(all="ignore"):
                column = out[..., k + 1 :, k] / out[..., k, k, None]
            out[..., k + 1 :, k] = np.where(out[..., k, k, None] == 0, 0, column)
            out[..., k + 1 :, k + 1 :] -= out[..., k + 1 :, k, None] * out[..., k, None, k + 1 :]
        return out
    h = n // 2
    out[..., :h, :h] = first = _unpivoted(out[..., :h, :h])
    solve = solve_triangular.evaluate
    out[..., :h, h:] = solve(first, out[..., :h, h:], True, True, True)
    out[..., h:, :h] = solve(first, out[..., h:, :h], False, False, False)
    out[..., h:, h:] = _unpivoted(out[..., h:, h:] - out[..., h:, :h] @ out[..., :h, h:])
    return out


def _lu_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Node]:
    # With F = L^-1 dA U^-1: dL = L tril(F, -1) and dU = triu(F) U.
    ct = materialize(ct, y.aval)
    low, high = lower(y, -1), upper(y)
    of_l = lower(matmul(adjoint(low), lower(ct, -1)) + lower(ct, -1), -1)
    inner = of_l + upper(matmul(upper(ct), adjoint(high)))
    inner = solve_triangular(adjoint(y), inner, lower=False, left=True, unit=True)
    return (solve_triangular(adjoint(y), inner, lower=True, left=False, unit=False),)


def _lu_jvp(ts: Any, y: Node, xs: Any, params: Any) -> Node:
    (ta,) = tangents(ts, xs)
    inner = solve_triangular(y, ta, lower=True, left=True, unit=True)
    inner = solve_triangular(y, inner, lower=False, left=False, unit=False)
    below, above = lower(inner, -1), upper(inner)
    return matmul(lower(y, -1), below) + below + matmul(above, upper(y))


lu = opaque(
    "lu",
    batch=LEADING,
    prepare=_unpivoted_prepare,
    evaluate=_unpivoted,
    vjp=_lu_vjp,
    jvp=_lu_jvp,
    cases=((("spd", 3, 3),), (("spd", 9, 9),)),
    grad_name="LinalgLu",
    doc="LU factorization without pivoting: unit lower L below the diagonal, U above it.",
)
