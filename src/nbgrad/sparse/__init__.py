"""Sparse Jacobians and Hessians: patterns, colourings, plans; sparse matrices to differentiate by."""

from nbgrad.sparse.functions import hessian, jacobian
from nbgrad.sparse.matrices import Factors, Matrix, cholesky, matrix, splu, spsolve
from nbgrad.sparse.plans import Plan
from nbgrad.sparse.structure import color, hessian_pattern, jacobian_pattern

__all__ = [
    "Factors", "Matrix", "Plan", "cholesky", "color", "hessian", "hessian_pattern", "jacobian", "jacobian_pattern",
    "matrix", "splu", "spsolve",
]  # fmt: skip


def __dir__() -> list[str]:
    return sorted(__all__)
