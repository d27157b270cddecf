"""The algebra of stacks of matrices that the rules of linear algebra are written in.

Every function works on the last two dimensions and batches the others. No rule is declared here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.node import Node, constant, leaf_node
from nbgrad.ops.basis import broadcast_to, cast, reshape, slice_, sum_, transpose
from nbgrad.ops.elements import arithmetic, selection
from nbgrad.ops.elements.comparison import equal, greater_equal
from nbgrad.ops.kinds.cotangents import conjugate, is_number, materialize
from nbgrad.ops.linalg import products


def transposed(x: Node) -> Node:
    """Exchange the last two dimensions."""
    return transpose(x, perm=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def adjoint(x: Node) -> Node:
    """Conjugate transpose."""
    return transposed(conjugate(x))


def matmul(*factors: Node) -> Node:
    """Product of matrices of one batch, from left to right; of a column and a row it is elementwise."""
    return functools.reduce(_product, factors)


def _product(a: Node, b: Node) -> Node:
    return arithmetic.multiply(a, b) if a.shape[-1] == 1 else products.matmul(a, b)


def hermitian_part(x: Node) -> Node:
    """Half the sum of *x* and its adjoint."""
    return (x + adjoint(x)) * 0.5


def real_part(x: Node) -> Node:
    """Real part, in the real dtype; a real node is returned as it is."""
    return x if x.dtype.kind != "c" else cast(x, dtype=real_dtype(x.dtype))


def imaginary_part(x: Node) -> Node:
    """Imaginary part of a complex node, in the real dtype."""
    return real_part(x * -1j)


def squared_magnitude(x: Node) -> Node:
    """``|x| ** 2``, real, with derivatives of every order also where x is 0."""
    if x.dtype.kind != "c":
        return arithmetic.square(x)
    return arithmetic.square(real_part(x)) + arithmetic.square(imaginary_part(x))


def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the parts of a complex dtype; a real dtype itself."""
    return np.zeros(0, dtype).real.dtype


def positions(n: int, along: int) -> Node:
    """Integers 0 to n as a column (along 0) or a row (1): comparing them makes masks."""
    return leaf_node(np.arange(n).reshape((n, 1) if along == 0 else (1, n)))


def lower(x: Node, k: int = 0) -> Node:
    """The triangle at and below the k-th diagonal; exact zeros above."""
    rows, columns = positions(x.shape[-2], 0), positions(x.shape[-1], 1)
    return selection.where(greater_equal(rows + k, columns), x, 0.0)


def upper(x: Node, k: int = 0) -> Node:
    """The triangle at and above the k-th diagonal; exact zeros below."""
    rows, columns = positions(x.shape[-2], 0), positions(x.shape[-1], 1)
    return selection.where(greater_equal(columns, rows + k), x, 0.0)


def diagonal(x: Node) -> Node:
    """The main diagonal, as the last dimension."""
    rows, columns = x.shape[-2:]
    size = min(rows, columns)
    flat = reshape(x, shape=(*x.shape[:-2], rows * columns))
    lead = x.ndim - 2
    steps = (1,) * lead + (columns + 1,)
    return slice_(flat, starts=(0,) * (lead + 1), sizes=(*x.shape[:-2], size), steps=steps)


def diagonal_matrix(x: Node) -> Node:
    """Square matrices with the last dimension of *x* on the diagonal."""
    n = x.shape[-1]
    on = equal(positions(n, 0), positions(n, 1))
    return selection.where(on, column_scale(x), 0.0)


def halved_diagonal(x: Node) -> Node:
    """*x* with half of its diagonal."""
    n = x.shape[-1]
    on = equal(positions(n, 0), positions(n, 1))
    return selection.where(on, x * 0.5, x)


def column_scale(d: Node) -> Node:
    """*d* as rows, so that ``x * column_scale(d)`` is ``x @ diag(d)``."""
    return reshape(d, shape=(*d.shape[:-1], 1, d.shape[-1]))


def row_scale(d: Node) -> Node:
    """*d* as columns, so that ``row_scale(d) * x`` is ``diag(d) @ x``."""
    return reshape(d, shape=(*d.shape, 1))


def trace(x: Node) -> Node:
    """Sum of the diagonal, as a stack of 1 x 1 matrices, which broadcasts against *x*."""
    total = sum_(diagonal(x), axis=(x.ndim - 2,), keepdims=True)
    return reshape(total, shape=(*total.shape, 1))


def identity(n: int, like: Node) -> Node:
    """Identity matrices in the batch and dtype of *like*."""
    eye = leaf_node(np.eye(n, dtype=like.dtype))
    return broadcast_to(eye, shape=(*like.shape[:-2], n, n)) if like.ndim > 2 else eye


def per_matrix(x: Any, like: Node) -> Any:
    """One number a matrix, shaped to broadcast against the matrices of *like*."""
    return x if is_number(x) else reshape(x, shape=(*like.shape[:-2], 1, 1))


def window(x: Node, rows: tuple[int, int], columns: tuple[int, int]) -> Node:
    """The block of rows and columns from a first to before a last."""
    lead = x.ndim - 2
    starts = (0,) * lead + (rows[0], columns[0])
    sizes = (*x.shape[:-2], rows[1] - rows[0], columns[1] - columns[0])
    return slice_(x, starts=starts, sizes=sizes, steps=(1,) * x.ndim)


def tangents(ts: Sequence[Any], xs: Sequence[Node]) -> list[Node]:
    """Tangents as nodes of their operands' avals; zeros for None."""
    pairs = zip(ts, xs, strict=True)
    return [materialize(0.0 if t is None else t, x.aval) for t, x in pairs]


# ------------------------------------------------------------------------------- library kernels


def matrix_splits(params: Any, *avals: Aval) -> list[tuple[int, ...]]:
    """Dimensions of the batch, the rows and the columns of operands of a library kernel."""
    return [(0, x.ndim - 2, x.ndim - 1, x.ndim) for x in avals]


def filled_splits(params: Any, a: Aval) -> list[tuple[int, ...]] | None:
    """The same of matrices with elements: of others LAPACK does not make the vectors."""
    return matrix_splits(params, a) if a.size else None


def of_singular(factor: float) -> Callable[..., float]:
    """Operations on matrices of m x n, about ``factor * m * n * min(m, n)`` each."""
    return lambda params, a: factor * a.size * min(a.shape[-2:])


def cubic(factor: float) -> Callable[..., float]:
    """Operations of a library kernel on matrices, and on the right-hand sides of a second operand.

    They are ``factor * n**3``, and twice ``n**2`` a right-hand side.
    """

    def flops(params: Any, a: Aval, *others: Aval) -> float:
        n = a.shape[-1]
        return n * (factor * a.size + sum(2 * b.size for b in others))

    return flops


def triangular_reads(extents: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether BLAS takes the matrices as they are."""
    return products.blas_reads((1, *extents), (0, *strides))


# -------------------------------------------------------------------------------- checks of operands


def matrix_operand(name: str, x: Any) -> Node:
    """*x* as a node of at least two dimensions in a dtype that LAPACK has; integers as float64."""
    node = x if x.__class__ is Node else constant(x)
    if node.ndim < 2:
        raise np.linalg.LinAlgError(
            f"{name}: {node.ndim}-dimensional array given. Array must be at least two-dimensional"
        )
    return lapack_dtype(name, node)


def lapack_dtype(name: str, node: Node) -> Node:
    """Integers and booleans as float64; half precision is an error, as in NumPy."""
    if node.dtype.kind in "biu":
        return cast(node, dtype=np.dtype(np.float64))
    if node.dtype.char not in "fdFD":
        raise TypeError(
            f"{name}: array type {node.dtype} is unsupported in linalg; convert it with "
            "astype(np.float32) or astype(np.float64) first"
        )
    return node


def square_operand(name: str, x: Any) -> Node:
    """*x* as a node of square matrices."""
    node = matrix_operand(name, x)
    if node.shape[-1] != node.shape[-2]:
        raise np.linalg.LinAlgError(
            f"{name}: Last 2 dimensions of the array must be square, not {node.shape[-2:]}"
        )
    return node


def same_dtype(*nodes: Node) -> list[Node]:
    """The nodes in their common dtype."""
    dtype = np.result_type(*(n.dtype for n in nodes))
    return [n if n.dtype == dtype else cast(n, dtype=dtype) for n in nodes]


def same_batch(aval: Aval, x: Node) -> Node:
    """*x* with its leading dimensions broadcast to those of *aval*, given as an aval or node."""
    shape = (*aval.shape[:-2], *x.shape[-2:])
    return x if x.shape == shape else broadcast_to(x, shape=shape)


# --------------------------------------------------------------------------- errors in one of a batch


def each_matrix(function: Any, a: Any, *others: Any) -> Any:
    """``function(a, *others)``; an error of LAPACK's says which matrix of the batch it is about."""
    try:
        return function(a, *others)
    except np.linalg.LinAlgError as error:
        where = _first_failure(function, a, others)
        if where is None or not where:
            raise
        raise np.linalg.LinAlgError(f"{error} (matrix {where} of the batch)") from None


def _first_failure(function: Any, a: Any, others: Any) -> tuple[int, ...] | None:
    for place in np.ndindex(a.shape[:-2]):
        try:
            function(a[place], *(b[place] for b in others))
        except np.linalg.LinAlgError:
            return place
    return None
