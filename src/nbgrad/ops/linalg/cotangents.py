"""What flows back through a Cholesky factorization, by Murray's formula, and the inverse of a matrix by its factor."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.node import Node
from nbgrad.ops.control.formulas import formula
from nbgrad.ops.elements.comparison import equal, greater_equal
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.batching import LEADING
from nbgrad.ops.kinds.forms import Library
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.linalg.matrices import adjoint, cubic, hermitian_part, matmul, matrix_splits
from nbgrad.ops.linalg.solves import solve_triangular


def _first(k: int) -> Any:
    def prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
        return tuple(xs), xs[k].aval, ()

    return prepare


def over_triangles(x: Node, factor: Node) -> Node:
    """``factor^-H @ x @ factor^-1`` for lower triangular factors, by two triangular solves."""
    x = solve_triangular(adjoint(factor), x, lower=False, left=True, unit=False)
    return solve_triangular(factor, x, lower=True, left=False, unit=False)


def halved(inner: Node, rows: Node, columns: Node) -> Node:
    """The symmetric matrix whose lower triangle is half that of *inner*."""
    inner = where(equal(rows, columns), inner * 0.5, inner)
    return hermitian_part(where(greater_equal(rows, columns), inner, 0.0))


def _murray(factor: Node, ct: Node, rows: Node, columns: Node) -> Node:
    # Only the lower triangle of the product is used, and it has no part of ct's upper one.
    return over_triangles(halved(matmul(adjoint(factor), ct), rows, columns), factor)


def _murray_reference(factor: Any, ct: Any, rows: Any, columns: Any) -> Any:
    half, solved = factor.dtype.type(0.5), solve_triangular.evaluate
    inner = np.tril(np.swapaxes(factor, -1, -2) @ ct)
    inner = np.where(rows == columns, inner * half, inner)
    inner = (inner + np.swapaxes(inner, -1, -2)) * half
    inner = solved(np.swapaxes(factor, -1, -2), inner, lower=False, left=True, unit=False)
    return solved(factor, inner, lower=True, left=False, unit=False)


def _inverse_reference(factor: Any) -> Any:
    back = np.linalg.inv(np.tril(factor))
    return np.swapaxes(back, -1, -2) @ back


# It has no derivative: it is written when nothing is differentiated any more.
cholesky_inverse = opaque(
    "cholesky_inverse",
    batch=LEADING,
    prepare=_first(0),
    evaluate=_inverse_reference,
    lower=Library("cholesky_inverse", ("f",), matrix_splits, flops=cubic(2 / 3)),
    cases=((("factor", 3, 3),),),
    doc="The inverse of a matrix, of its lower Cholesky factor.",
)


cholesky_cotangent = formula(
    "cholesky_cotangent",
    _murray,
    prepare=_first(1),
    evaluate=_murray_reference,
    seen=True,
    cases=((("factor", 3, 3), (3, 3), [[0], [1], [2]], [[0, 1, 2]]),),
    doc="The cotangent of a symmetric matrix, of its lower factor and the cotangent of that.",
)
