"""Linear systems, inverses, determinants and powers, with numpy.linalg's signatures."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.values import value_of
from nbgrad.errors import ConcretizationError
from nbgrad.ops.basis import cast, detach, slice_
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.elements.comparison import greater
from nbgrad.ops.linalg import determinants, solves, spectra
from nbgrad.ops.linalg.matrices import (
    adjoint,
    identity,
    lapack_dtype,
    matmul,
    matrix_operand,
    same_dtype,
    square_operand,
    squared_magnitude,
    transposed,
)
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.reductions.plain import max, sum
from nbgrad.vocabulary.shapes import as_node, expand_dims, reshape, transpose
from nbgrad.vocabulary.support import concrete


class SlogdetResult(NamedTuple):
    """Sign (or phase) and logarithm of the absolute value of a determinant."""

    sign: Node
    logabsdet: Node


@function("linalg", np.linalg.inv, cases=lambda d: [call(d.square(2, 3, 3))], complex=True)
def inv(a: Any) -> Node:
    """Inverse of square matrices."""
    return solves.inv(as_node(a))


def _with_columns(prim: Any, a: Any, b: Any, **params: Any) -> Node:
    """Solve for a vector or for the columns of matrices."""
    a, b = as_node(a), as_node(b)
    if b.ndim != 1:
        return prim(a, b, **params)
    x = prim(a, expand_dims(b, 1), **params)
    return reshape(x, x.shape[:-1])


@function(
    "linalg",
    np.linalg.solve,
    cases=lambda d: [
        call(d.square(3, 3), d(3)),
        call(d.square(2, 2, 2), d(2, 3)),
        call(d.square(2, 2), d(2, 2, 1)),
    ],
    complex=True,
)
def solve(a: Any, b: Any) -> Node:
    """Solution x of ``a @ x = b``, for a vector b or for the columns of matrices."""
    return _with_columns(solves.solve, a, b)


@function(
    "linalg",
    "scipy.linalg.solve_triangular",
    cases=lambda d: [
        call(d.spd(3, 3), d(3)),
        call(d.spd(2, 2, 2), d(2, 2, 1), trans=2, lower=True),
        call(d.spd(2, 2), d(2, 3), "T", unit_diagonal=True),
    ],
    complex=True,
)
def solve_triangular(
    a: Any,
    b: Any,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Node:
    """Solution x of ``a @ x = b`` where only the upper (or lower) triangle of a is read.

    ``trans`` 1 or "T" solves with the transpose of a, 2 or "C" with its adjoint.
    """
    a = square_operand("solve_triangular", as_node(a))
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ValueError(f"solve_triangular: trans is 0, 1, 2, 'N', 'T' or 'C', not {trans!r}")
    if trans in (1, "T"):
        a, lower = transposed(a), not lower
    elif trans in (2, "C"):
        a, lower = adjoint(a), not lower
    options = {"lower": bool(lower), "left": True, "unit": bool(unit_diagonal)}
    return _with_columns(solves.solve_triangular, a, b, **options)


@function("linalg", np.linalg.det, cases=lambda d: [call(d.square(2, 3, 3))], complex=True)
def det(a: Any) -> Node:
    """Determinant of square matrices; its derivatives are exact at singular matrices too."""
    return determinants.det(as_node(a))


@function(
    "linalg",
    np.linalg.slogdet,
    cases=lambda d: [call(d.square(3, 3)), call(d.square(2, 2, 2))],
    complex=True,
)
def slogdet(a: Any) -> SlogdetResult:
    """Sign and logarithm of the absolute value of the determinant, which may overflow itself."""
    return SlogdetResult(*determinants.slogdet(square_operand("slogdet", as_node(a))))


@function(
    "linalg",
    np.linalg.pinv,
    cases=lambda d: [
        call(d(3, 2)),
        call(d(2, 2, 3), rtol=1e-10),
        call(d.spd(2, 2), hermitian=True),
    ],
    complex=True,
    restrict=lambda a, hermitian=False, **kwargs: (
        ((a + np.conj(np.swapaxes(a, -1, -2))) / 2 if hermitian else a,),
        {"hermitian": hermitian, **kwargs},
    ),
)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Node:
    """Moore-Penrose inverse; the derivative is the one along matrices of the same rank."""
    node = matrix_operand("pinv", as_node(a))
    cutoff = rcond if rcond is not None else rtol
    if cutoff is None:
        cutoff = 1e-15 if rtol is None else _rounding(node)
    cutoff = concrete(cutoff)
    if cutoff.ndim:
        raise NotImplementedError(
            "pinv: rcond of shape "
            f"{cutoff.shape} is not available; pass one number for the whole batch"
        )
    return solves.pinv(node, rcond=float(cutoff), hermitian=bool(hermitian))


def _rounding(a: Node) -> float:
    """What singular values relative to the largest are counted as zero."""
    return float(np.maximum(*a.shape[-2:]) * np.finfo(a.dtype).eps)


@function(
    "linalg",
    np.linalg.lstsq,
    cases=lambda d: [call(d(4, 2), d(4, 3)), call(d(4, 2), d(4)), call(d(2, 3), d(2))],
    complex=True,
)
def lstsq(a: Any, b: Any, rcond: float | None = None) -> tuple[Node, Node, Node, Node]:
    """Least-squares solution, squared residuals, rank and singular values.

    While a function is traced, the residuals are those of a matrix of full rank.
    """
    left, right = matrix_operand("lstsq", as_node(a)), as_node(b)
    if left.ndim != 2 or right.ndim not in (1, 2):
        raise np.linalg.LinAlgError(
            f"lstsq: takes one matrix and a vector or matrix, not {left.shape} and {right.shape}; "
            "use pinv(a) @ b for a batch"
        )
    if left.shape[0] != right.shape[0]:
        raise np.linalg.LinAlgError(f"lstsq: Incompatible dimensions {left.shape}, {right.shape}")
    cutoff = _rounding(left) if rcond is None else float(rcond)
    cutoff = float(np.finfo(left.dtype).eps) if cutoff < 0 else cutoff
    left, right = same_dtype(left, lapack_dtype("lstsq", right))
    columns = right if right.ndim == 2 else expand_dims(right, 1)
    x = matmul(solves.pinv(left, rcond=cutoff, hermitian=False), columns)
    values = spectra.svdvals(left)
    rank = sum(cast(greater(values, max(values) * cutoff), dtype=np.dtype(np.int32)))
    rank = cast(rank, dtype=np.dtype(np.int32))
    residuals = sum(squared_magnitude(columns - matmul(left, x)), 0)
    if left.shape[0] <= left.shape[1] or not _full_rank(rank, left.shape[1]):
        residuals = slice_(residuals, starts=(0,), sizes=(0,), steps=(1,))
    return reshape(x, (*x.shape[:1], *right.shape[1:])), residuals, rank, values


def _full_rank(rank: Node, n: int) -> bool:
    try:
        return int(value_of(detach(rank))) == n
    except ConcretizationError:
        return True


@function(
    "linalg",
    np.linalg.matrix_rank,
    cases=lambda d: [call(d(2, 3, 2)), call(d(3)), call(d.spd(3, 3), hermitian=True)],
    differentiable=False,
)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Node:
    """Number of singular values above ``tol``, or above ``rtol`` times the largest."""
    if tol is not None and rtol is not None:
        raise ValueError("matrix_rank: `tol` and `rtol` can't be both set.")
    node = as_node(A)
    if node.ndim < 2:
        return cast(max(arithmetic.absolute(node)) > 0, dtype=np.dtype(np.int64))
    node = matrix_operand("matrix_rank", node)
    values = arithmetic.absolute(spectra.eigvalsh(node, lower=True)) if hermitian else None
    values = spectra.svdvals(node) if values is None else values
    if tol is None:
        relative = _rounding(node) if rtol is None else as_node(rtol)
        tol = max(values, -1, keepdims=True) * relative
    elif np.ndim(tol):
        tol = expand_dims(as_node(tol), -1)
    return sum(cast(greater(values, tol), dtype=np.dtype(np.int64)), -1)


@function(
    "linalg",
    np.linalg.matrix_power,
    cases=lambda d: [
        call(d.square(2, 2, 2), 3),
        call(d.square(3, 3), -2),
        call(d.square(2, 2), 0),
    ],
    complex=True,
)
def matrix_power(a: Any, n: int) -> Node:
    """Integer power of square matrices, by repeated squaring; negative ones of the inverse."""
    node = as_node(a)
    node = square_operand("matrix_power", node) if n < 0 or node.ndim < 2 else node
    try:
        n = operator.index(n)
    except TypeError:
        raise TypeError(f"matrix_power: exponent must be an integer, not {n!r}") from None
    if node.shape[-1] != node.shape[-2]:
        raise np.linalg.LinAlgError(f"matrix_power: matrices {node.shape} are not square")
    if n < 0:
        node, n = solves.inv(node), -n
    result: Node | None = None if n else node * 0 + identity(node.shape[-1], node)
    while n:
        if n & 1:
            result = node if result is None else matmul(result, node)
        n >>= 1
        node = matmul(node, node) if n else node
    assert result is not None
    return result


@function(
    "linalg",
    np.linalg.tensorinv,
    cases=lambda d: [call(d.square(4, 4).reshape(2, 2, 4), ind=2)],
    complex=True,
)
def tensorinv(a: Any, ind: int = 2) -> Node:
    """Inverse for tensordot over the first ``ind`` dimensions."""
    node = as_node(a)
    if ind <= 0:
        raise ValueError(f"tensorinv: ind must be positive, not {ind}")
    rows = int(np.prod(node.shape[:ind]))
    return reshape(inv(reshape(node, (rows, -1))), (*node.shape[ind:], *node.shape[:ind]))


@function(
    "linalg",
    np.linalg.tensorsolve,
    cases=lambda d: [
        call(d.square(4, 4).reshape(2, 2, 4), d(2, 2)),
        call(d.square(4, 4).reshape(2, 4, 2), d(2, 2), axes=(1,)),
    ],
    complex=True,
)
def tensorsolve(a: Any, b: Any, axes: Sequence[int] | None = None) -> Node:
    """Solution x of ``tensordot(a, x, x.ndim) = b``; ``axes`` of a are moved to the end first."""
    left, right = as_node(a), as_node(b)
    if axes is not None:
        moved = [k % left.ndim for k in axes]
        left = transpose(left, [k for k in range(left.ndim) if k not in moved] + moved)
    shape = left.shape[right.ndim :]
    if int(np.prod(shape)) != right.size or left.size != right.size**2:
        raise np.linalg.LinAlgError(
            f"tensorsolve: shapes {left.shape} and {right.shape} make no square system: the "
            "product of a's first dimensions must be that of its others and the size of b"
        )
    flat = reshape(left, (right.size, right.size))
    return reshape(solve(flat, reshape(right, (-1,))), shape)
