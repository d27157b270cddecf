"""Matrices of a kind, made of few elements, and systems of them, as ``scipy.linalg`` spells them."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.basis import concatenate, pad
from nbgrad.ops.kinds.cotangents import conjugate
from nbgrad.ops.linalg import banded
from nbgrad.vocabulary.analysis.fourier import fft, ifft
from nbgrad.vocabulary.arrays.picking import take
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.complex_parts import real
from nbgrad.vocabulary.elements.composite import astype
from nbgrad.vocabulary.linalg.matmul import matmul
from nbgrad.vocabulary.linalg.systems import solve
from nbgrad.vocabulary.shapes import as_node, promoted, reshape
from nbgrad.vocabulary.subscript import getitem


def _vector(name: str, x: Any) -> Node:
    node = as_node(x)
    if node.ndim > 1:
        raise ValueError(f"{name}: takes vectors, and this is of shape {node.shape}")
    return reshape(node, (-1,))


def _joined(*parts: Node) -> Node:
    dtype = promoted(*parts)
    return concatenate(*[astype(part, dtype) for part in parts], axis=0)


@function(
    "linalg",
    "scipy.linalg.toeplitz",
    cases=lambda d: [call(d(3)), call(d(2), d(3))],
    complex=True,
)
def toeplitz(c: Any, r: Any = None) -> Node:
    """Matrix that is constant along its diagonals: *c* is its first column, *r* its first row.

    Without *r* it is Hermitian; of *r* the first element is not read.
    """
    column = _vector("toeplitz", c)
    row = conjugate(column) if r is None else _vector("toeplitz", r)
    n, m = column.shape[0], row.shape[0]
    held = _joined(getitem(column, slice(None, None, -1)), getitem(row, slice(1, None)))
    return take(held, np.arange(n)[::-1, None] + np.arange(m)[None, :])


@function(
    "linalg",
    "scipy.linalg.hankel",
    cases=lambda d: [call(d(3)), call(d(2), d(3))],
    complex=True,
)
def hankel(c: Any, r: Any = None) -> Node:
    """Matrix that is constant across its diagonals: *c* is its first column, *r* its last row, or zeros."""
    column = _vector("hankel", c)
    row = column * 0 if r is None else _vector("hankel", r)
    n, m = column.shape[0], row.shape[0]
    held = _joined(column, getitem(row, slice(1, None)))
    return take(held, np.arange(n)[:, None] + np.arange(m)[None, :])


@function("linalg", "scipy.linalg.circulant", cases=lambda d: [call(d(3))], complex=True)
def circulant(c: Any) -> Node:
    """Square matrix of which each column is the one before, turned by one place; *c* is the first."""
    column = _vector("circulant", c)
    n = column.shape[0]
    return take(column, (np.arange(n)[:, None] - np.arange(n)[None, :]) % max(n, 1))


@function(
    "linalg",
    "scipy.linalg.block_diag",
    cases=lambda d: [call(d(2, 3), d(1, 1), d(2)), call(d(2, 2))],
    complex=True,
)
def block_diag(*arrs: Any) -> Node:
    """Matrix of the given ones along its diagonal, with zeros beside them; a vector is a row."""
    blocks = [as_node(a) for a in arrs or ([],)]
    blocks = [b if b.ndim == 2 else reshape(b, (1, -1)) if b.ndim < 2 else b for b in blocks]
    for block in blocks:
        if block.ndim != 2:
            raise ValueError(f"block_diag: takes matrices, and one is of shape {block.shape}")
    dtype = promoted(*blocks)
    columns, before, rows = sum(b.shape[1] for b in blocks), 0, []
    for block in blocks:
        shape = (block.shape[0], columns)
        rows.append(pad(astype(block, dtype), shape=shape, starts=(0, before), steps=(1, 1)))
        before += block.shape[1]
    return concatenate(*rows, axis=0)


def _system(name: str, given: Any, b: Any) -> tuple[Node, Node]:
    """The Toeplitz matrix of a column, or of a column and a row, and the right-hand sides."""
    pair = given if isinstance(given, tuple) else (given, None)
    if len(pair) != 2:
        raise ValueError(f"{name}: takes a first column, or a tuple of that and a first row")
    matrix, right = toeplitz(*pair), as_node(b)
    if not right.ndim or right.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name}: shapes {matrix.shape} and {right.shape} do not fit each other")
    return matrix, right


@function(
    "linalg",
    "scipy.linalg.solve_toeplitz",
    cases=lambda d: [
        call(d(3) * 0.2 + np.array([2.0, 0.0, 0.0]), d(3)),
        call((np.array([3.0, 0.4, 0.2]), d(3) * 0.3), d(3, 2)),
    ],
)
def solve_toeplitz(c_or_cr: Any, b: Any, check_finite: bool = True) -> Node:
    """Solution x of ``toeplitz(c, r) @ x = b``, with pivots: by elimination, not by Levinson's recursion."""
    return solve(*_system("solve_toeplitz", c_or_cr, b))


@function(
    "linalg",
    "scipy.linalg.matmul_toeplitz",
    cases=lambda d: [call((d(2), d(3)), np.ones(1) * d(3, 2))],
)
def matmul_toeplitz(c_or_cr: Any, x: Any, check_finite: bool = False, workers: Any = None) -> Node:
    """``toeplitz(c, r) @ x``."""
    return matmul(*_system("matmul_toeplitz", c_or_cr, x))


@function(
    "linalg",
    "scipy.linalg.solve_circulant",
    cases=lambda d: [
        call(np.concatenate([d.unit(1) + 2, d.unit(2)]), d(3, 2)),
    ],
)
def solve_circulant(c: Any, b: Any) -> Node:
    """Solution x of ``circulant(c) @ x = b``, by Fourier transforms."""
    column, right = _vector("solve_circulant", c), as_node(b)
    if not right.ndim or right.shape[0] != column.shape[0]:
        raise ValueError(
            f"solve_circulant: shapes {column.shape} and {right.shape} do not fit each other"
        )
    spectrum = reshape(fft(column), (-1, *(1,) * (right.ndim - 1)))
    found = ifft(fft(right, axis=0) / spectrum, axis=0)
    is_real = column.dtype.kind != "c" and right.dtype.kind != "c"
    return real(found) if is_real else found


@function(
    "linalg",
    "scipy.linalg.solve_banded",
    cases=lambda d: [
        call((1, 1), d(3, 4) + np.array([[0.0], [4.0], [0.0]]), d(4)),
        call((2, 0), d(3, 4) + np.array([[4.0], [0.0], [0.0]]), d(4, 2)),
    ],
    complex=True,
)
def solve_banded(
    l_and_u: tuple[int, int],
    ab: Any,
    b: Any,
    overwrite_ab: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Node:
    """Solution x of ``a @ x = b``, where *a* has *l* diagonals below the main one and *u* above.

    ``ab[u + i - j, j]`` is ``a[i, j]``; the corners of *ab* that are not in *a* are not read.
    """
    below, above = map(index, l_and_u)
    table, right = as_node(ab), as_node(b)
    if table.ndim != 2 or table.shape[0] != below + above + 1 or min(below, above) < 0:
        raise ValueError(
            f"solve_banded: ab needs l + u + 1 = {below + above + 1} rows, one for each diagonal, "
            f"and is of shape {table.shape}"
        )
    if right.ndim not in (1, 2) or right.shape[0] != table.shape[1]:
        raise ValueError(
            f"solve_banded: shapes {table.shape} of ab and {right.shape} of b do not fit each other"
        )
    columns = reshape(right, (right.shape[0], -1)) if right.size else right
    return reshape(banded.solve_banded(table, columns, below=below, above=above), right.shape)
