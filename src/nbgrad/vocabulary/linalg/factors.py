"""Cholesky, QR and LU, with the results of numpy.linalg and scipy.linalg."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nbgrad.core.node import Node, leaf_node
from nbgrad.ops.arrays.indexing import take
from nbgrad.ops.basis import cast, detach
from nbgrad.ops.elements.comparison import equal
from nbgrad.ops.linalg import factorizations
from nbgrad.ops.linalg.matrices import (
    adjoint,
    identity,
    lower,
    matmul,
    matrix_operand,
    real_part,
    square_operand,
    upper,
    window,
)
from nbgrad.ops.linalg.solves import solve_triangular as triangular
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.linalg.systems import solve_triangular
from nbgrad.vocabulary.shapes import as_node, concatenate, expand_dims, reshape


class QRResult(NamedTuple):
    """Orthonormal columns and an upper triangle."""

    Q: Node
    R: Node


def symmetrized(a: Any, *args: Any, **kwargs: Any) -> Any:
    """Tests move these functions' matrices among the Hermitian ones only."""
    return ((a + np.conj(np.swapaxes(a, -1, -2))) / 2, *args), kwargs


# ------------------------------------------------------------------------------------------ Cholesky


@function(
    "linalg",
    np.linalg.cholesky,
    cases=lambda d: [call(d.spd(2, 3, 3)), call(d.spd(2, 2), upper=True)],
    complex=True,
    restrict=symmetrized,
)
def cholesky(a: Any, /, *, upper: bool = False) -> Node:
    """Cholesky factor of Hermitian positive definite matrices, whose gradient is Hermitian."""
    node = square_operand("cholesky", as_node(a))
    return (
        adjoint(factorizations.cholesky(adjoint(node))) if upper else factorizations.cholesky(node)
    )


@function(
    "linalg",
    "scipy.linalg.cho_factor",
    cases=lambda d: [call(d.spd(3, 3)), call(d.spd(3, 3), lower=True)],
    complex=True,
    restrict=symmetrized,
    observe=lambda found: (
        found[0] * (np.tri(3, dtype=bool) if found[1] else np.tri(3, dtype=bool).T)
    ),
)
def cho_factor(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Node, bool]:
    """Cholesky factor for :func:`cho_solve`; the other triangle is zero."""
    return cholesky(a, upper=not lower), bool(lower)


@function(
    "linalg",
    "scipy.linalg.cho_solve",
    cases=lambda d: [
        call((d.spd(3, 3), False), d(3)),
        call((d.spd(2, 2, 2), True), d(2, 2, 1)),
    ],
    complex=True,
)
def cho_solve(
    c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Node:
    """Solution x of ``a @ x = b`` from the factor of a that :func:`cho_factor` returns."""
    factor, low = c_and_lower
    half = solve_triangular(factor, b, trans=0 if low else 2, lower=low)
    return solve_triangular(factor, half, trans=2 if low else 0, lower=low)


# ------------------------------------------------------------------------------------------------ QR


def _qr_observed(found: Any) -> Any:
    """R, and Q; of the columns that complete Q to a basis only their span is unique."""
    if not isinstance(found, tuple):
        return found
    q, r = found
    k = r.shape[-1]
    rest = q[..., k:]
    return q[..., :k], r, rest @ np.conj(np.swapaxes(rest, -1, -2))


@function(
    "linalg",
    np.linalg.qr,
    cases=lambda d: [
        call(d(2, 3, 2)),
        call(d(2, 3)),
        call(d(3, 2), mode="complete"),
        call(d(3, 3), mode="r"),
    ],
    complex=True,
    observe=_qr_observed,
)
def qr(a: Any, mode: str = "reduced") -> Any:
    """Q and R, with ``a = Q @ R``; mode "r" gives R alone.

    Of mode "complete", the derivative of the columns that complete Q to a basis is exact for what
    depends on their span only.
    """
    node = matrix_operand("qr", as_node(a))
    if mode not in ("reduced", "complete", "r"):
        known = "is LAPACK's own form" if mode in ("raw", "economic") else "is unknown"
        raise ValueError(f"qr: mode {mode!r} {known}; use 'reduced', 'complete' or 'r'")
    m, n = node.shape[-2:]
    k = m if m < n else n
    q, r = factorizations.qr(window(node, (0, m), (0, k)))
    if n > k:
        r = concatenate([r, matmul(adjoint(q), window(node, (0, m), (k, n)))], -1)
    if mode == "r":
        return r
    if mode == "complete" and m > n:
        zeros = window(node, (n, m), (0, n)) * 0.0
        q, r = concatenate([q, _completion(q, node)], -1), concatenate([r, zeros], -2)
    return QRResult(q, r)


def _completion(q: Node, a: Node) -> Node:
    """Columns orthonormal to those of q that follow it: to third order exact."""
    rest = factorizations.completion(detach(a))
    inner = matmul(adjoint(q), rest)
    moved = rest - matmul(q, inner)
    return moved + matmul(moved, adjoint(inner), inner) * 0.5


# ------------------------------------------------------------------------------------------------ LU


@function(
    "linalg",
    "scipy.linalg.lu",
    cases=lambda d: [
        call(d.square(2, 3, 3)),
        call(d(4, 2), permute_l=True),
        call(d(2, 3)),
        call(d(3, 2), p_indices=True),
    ],
    complex=True,
)
def lu(
    a: Any,
    permute_l: bool = False,
    overwrite_a: bool = False,
    check_finite: bool = True,
    p_indices: bool = False,
) -> tuple[Node, ...]:
    """Permutation, unit lower and upper triangle, with ``a = P @ L @ U``.

    ``permute_l`` gives ``P @ L`` and U, ``p_indices`` the P with ``a = L[P] @ U``.
    """
    node = matrix_operand("lu", as_node(a))
    m, n = node.shape[-2:]
    k = m if m < n else n
    order = factorizations.row_order(detach(node), inverse=False)
    rows = _rows(node, order)
    packed = factorizations.lu(window(rows, (0, k), (0, k)))
    low, high = lower(packed, -1) + identity(k, packed), upper(packed)
    options = {"unit": False, "lower": False, "left": False}
    if m > k:
        below = triangular(packed, window(rows, (k, m), (0, k)), **options)
        low = concatenate([low, below], -2)
    if n > k:
        options = {"unit": True, "lower": True, "left": True}
        beside = triangular(packed, window(rows, (0, k), (k, n)), **options)
        high = concatenate([high, beside], -1)
    back = factorizations.row_order(detach(node), inverse=True)
    if permute_l:
        return _rows(low, back), high
    if p_indices:
        return cast(back, dtype=np.dtype(np.int32)), low, high
    places = leaf_node(np.arange(m).reshape(m, 1))
    dtype = real_part(node).dtype
    return cast(equal(places, expand_dims(order, -2)), dtype=dtype), low, high


def _rows(x: Node, order: Node) -> Node:
    """The rows of each matrix in an order of its own."""
    count, m = math.prod(x.shape[:-2]), x.shape[-2]
    starts = leaf_node((np.arange(count) * m).reshape(*x.shape[:-2], 1))
    flat = reshape(x, (count * m, x.shape[-1]))
    return reshape(take(flat, reshape(order + starts, (-1,))), x.shape)
