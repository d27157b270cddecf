"""Products with sparse matrices of SciPy's, as gathers and sums: no operation of their own.

Nothing of SciPy is imported: a matrix says itself where its entries are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node, constant
from nbgrad.ops.basis import transpose
from nbgrad.ops.linalg.sparse import product


def entries(matrix: Any) -> tuple[Any, Any, Any]:
    """The values, rows and columns of the entries of a sparse matrix, in its order."""
    found = matrix.tocoo()
    if len(found.shape) != 2:
        raise ValueError(f"a sparse matrix has two dimensions, not {len(found.shape)}")
    rows, columns = (np.asarray(k, np.int64) for k in (found.row, found.col))
    return found.data, rows, columns


def product_of(
    shape: tuple[int, int], data: Any, rows: Any, columns: Any, x: Any, left: bool = True
) -> Node:
    """The product of a sparse matrix with *x*, or of *x* with it where the matrix is not on the *left*.

    Raises
    ------
    ValueError
        If the shapes do not match.
    """
    x = x if x.__class__ is Node else constant(np.asarray(x))
    if not left:
        turned = transpose(x, perm=(1, 0)) if x.ndim == 2 else x
        found = product_of(shape[::-1], data, columns, rows, turned)
        return transpose(found, perm=(1, 0)) if x.ndim == 2 else found
    if x.ndim not in (1, 2) or x.shape[0] != shape[1]:
        raise ValueError(
            f"matmul: a sparse matrix of shape {shape} and an array of shape {x.shape}"
        )
    values, down, across = (
        a if a.__class__ is Node else constant(a) for a in (data, rows, columns)
    )
    return product(values, down, across, x, shape[0])


def with_sparse(matrix: Any, x: Any, left: bool) -> Node:
    """The product of a matrix of SciPy's with *x*, or of *x* with it."""
    return product_of(tuple(matrix.shape), *entries(matrix), x, left)


__all__ = ["entries", "product_of", "with_sparse"]
