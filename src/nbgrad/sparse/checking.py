"""Sparse matrices that users give, and plans compared with products in random directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.core.lazy import LazyModule
from nbgrad.errors import GradcheckError
from nbgrad.machine.index_sets import Sets
from nbgrad.sparse.sweeps import sweep
from nbgrad.sparse.tapes import Recorded

if TYPE_CHECKING:
    from nbgrad.sparse.plans import Plan

scipy_sparse = LazyModule("scipy.sparse")
DIRECTIONS = 2
TOLERANCE = 1e-6


def sets_of(given: Any, shape: tuple[int, int] | None, name: str) -> Sets:
    """The pattern of a sparse or dense matrix."""
    matrix = scipy_sparse.csr_array(given)
    if matrix.ndim != 2 or (shape is not None and matrix.shape != shape):
        raise ValueError(
            f"{name}: a pattern of shape {matrix.shape} for a matrix of shape {shape}"
        )
    if matrix is given:
        matrix = matrix.copy()
    matrix.sum_duplicates()
    return Sets(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32))


def checked(plan: Plan, of: Recorded, point: Sequence[Any]) -> None:
    """Compare the matrix of *plan* at *point* with products.

    Raises
    ------
    GradcheckError
        If they differ.
    """
    rows, columns = plan.shape
    program = sweep(of, True, DIRECTIONS, DIRECTIONS * rows, plan.dtype)
    directions = np.random.default_rng(0).normal(size=(DIRECTIONS, columns))
    (found,) = program(*point, directions, np.arange(DIRECTIONS * rows))
    expected = found.reshape(DIRECTIONS, rows)
    given = (plan._at(point) @ directions.T).T
    scale = np.abs(expected).max(initial=0.0) + 1e-30
    worst = np.abs(given - expected) / scale
    tolerance = TOLERANCE if np.finfo(plan.dtype).eps < 1e-10 else 1e-2
    if worst.size and not worst.max() <= tolerance:
        row = int(np.argmax(worst) % rows)
        raise GradcheckError(
            f"{plan!r}: in a random direction row {row} is {given[:, row]}, and by a product "
            f"{expected[:, row]}. The pattern lacks an entry: a pattern of one's own, or one found "
            "at another point"
        )
