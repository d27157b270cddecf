"""What formulas of a Cholesky factor are made of: solves on both sides, half a product, and an inverse."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.node import Node
from nbgrad.ops.elements.comparison import equal, greater_equal
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.batching import LEADING
from nbgrad.ops.kinds.forms import Library
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.linalg.matrices import adjoint, cubic, hermitian_part, matrix_splits
from nbgrad.ops.linalg.solves import solve_triangular


def as_operand(k: int) -> Any:
    """The preparation of an operation whose result is as operand *k*."""

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


def _inverse_reference(factor: Any) -> Any:
    back = np.linalg.inv(np.tril(factor))
    return np.swapaxes(back, -1, -2) @ back


# It has no derivative: it is written when nothing is differentiated any more.
cholesky_inverse = opaque(
    "cholesky_inverse",
    batch=LEADING,
    prepare=as_operand(0),
    evaluate=_inverse_reference,
    lower=Library("cholesky_inverse", ("f",), matrix_splits, flops=cubic(2 / 3)),
    cases=((("factor", 3, 3),),),
    doc="The inverse of a matrix, of its lower Cholesky factor.",
)
