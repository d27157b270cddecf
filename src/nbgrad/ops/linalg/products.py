"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.node import Node
from nbgrad.ops.basis import reshape, transpose
from nbgrad.ops.elements.arithmetic import multiply
from nbgrad.ops.kinds.algebra import MATRIX_PRODUCT
from nbgrad.ops.kinds.batching import UNITS, all_stacked
from nbgrad.ops.kinds.bilinear import bilinear
from nbgrad.ops.kinds.cotangents import conjugate
from nbgrad.ops.kinds.forms import Library
from nbgrad.ops.kinds.reaching import PRODUCT

FEW = 16  # columns of a stack of matrices that are worth arranging as rows


def _transposed(x: Node) -> Node:
    """Transpose the last two dimensions."""
    return transpose(x, perm=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _adjoint(x: Node) -> Node:
    """Conjugate and transpose the last two dimensions."""
    return _transposed(conjugate(x))


def _matmul_aval(a: Aval, b: Aval) -> Aval:
    if a.shape[-1] != b.shape[-2] or a.shape[:-2] != b.shape[:-2]:
        raise ValueError(
            f"matmul: shapes {a.shape} and {b.shape} do not match: the last dimension of the "
            "first operand must equal the second-to-last of the second"
        )
    return make_aval((*a.shape[:-1], b.shape[-1]), a.dtype)


def _matmul_splits(params: dict[str, Any], *avals: Aval) -> list[tuple[int, ...]]:
    """First and other dimensions of the batch, rows and columns."""
    rank = avals[0].ndim
    return [(0, min(1, rank - 2), rank - 2, rank - 1, rank)] * 2


def blas_reads(extents: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether BLAS takes the matrices as they are: rows, or columns, contiguous and apart."""
    (rows, cols), (down, right) = extents[2:], strides[2:]
    row_major = (right == 1 or cols == 1) and (down >= cols or rows == 1)
    column_major = (down == 1 or rows == 1) and (right >= rows or cols == 1)
    return row_major or column_major


def _batch(prim: Any, xs: Any, mapped: Any, params: dict[str, Any], size: int) -> Any:
    """A stack times one matrix is one product of matrices; an outer product is elementwise."""
    a, b = xs
    if mapped[0] and not mapped[1] and b.ndim == 2:
        return _folded(a, b, mapped[0] is UNITS)
    if mapped[1] and not mapped[0] and a.ndim == 2 and b.shape[-1] < FEW:
        alike = mapped[1] is UNITS and 1 in b.shape[-2:]  # turned, they are the same in order
        return _turned(_folded(_turned(b), _turned(a), alike))
    a, b = all_stacked(xs, mapped, size)
    return multiply(a, b) if a.shape[-1] == 1 else prim(a, b)


def _turned(x: Node) -> Node:
    """*x* transposed; a row or a column is given its other shape."""
    rows, columns = x.shape[-2:]
    if 1 in (rows, columns):
        return reshape(x, shape=(*x.shape[:-2], columns, rows))  # type: ignore[no-any-return]
    return _transposed(x)


def _folded(a: Node, b: Node, units: bool) -> Node:
    """Each matrix of the stack *a* times *b*, their rows being those of one matrix: the identity of *units*."""
    rows = reshape(a, shape=(math.prod(a.shape[:-1]), a.shape[-1]))
    found = b if units and rows.shape[0] == rows.shape[1] else matmul(rows, b)
    return reshape(found, shape=(*a.shape[:-1], b.shape[-1]))  # type: ignore[no-any-return]


matmul = bilinear(
    "matmul",
    batch=_batch,
    aval=_matmul_aval,
    adjoints=(
        lambda ct, b, a: matmul(ct, _adjoint(b)),
        lambda ct, a, b: matmul(_adjoint(a), ct),
    ),
    evaluate=lambda a, b: np.matmul(a, b),
    reach=PRODUCT,
    algebra=MATRIX_PRODUCT,
    lower=Library(
        "matmul",
        ("f", "f"),
        _matmul_splits,
        blas_reads,
        flops=lambda params, a, b: 2 * a.size * b.shape[-1],
        turned=lambda a, b: matmul(_transposed(b), _transposed(a)),
    ),
    cases=(((2, 3), (3, 4)), ((2, 2, 3), (2, 3, 1)), ((3, 0), (0, 2))),
    grad_name="Mm",
    doc="Matrix product of the last two dimensions; the leading ones are equal.",
)
