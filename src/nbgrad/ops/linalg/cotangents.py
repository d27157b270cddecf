"""What flows back through a Cholesky factorization, by Murray's formula."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.lazy import LazyModule
from nbgrad.core.node import Node
from nbgrad.ops.control.formulas import formula
from nbgrad.ops.linalg.matrices import adjoint, matmul
from nbgrad.ops.linalg.solves import solve_triangular
from nbgrad.ops.linalg.triangles import as_operand, halved, over_triangles

whitened = LazyModule("nbgrad.ops.identities.whitened")


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


cholesky_cotangent = formula(
    "cholesky_cotangent",
    _murray,
    prepare=as_operand(1),
    evaluate=_murray_reference,
    seen=lambda eqn, source: whitened.structured(eqn, source),
    cases=((("factor", 3, 3), (3, 3), [[0], [1], [2]], [[0, 1, 2]]),),
    doc="The cotangent of a symmetric matrix, of its lower factor and the cotangent of that.",
)
