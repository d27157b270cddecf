"""Banded systems, solved by LAPACK's elimination with partial pivoting, of the diagonals as SciPy stacks them.

Row ``i`` of the table holds the diagonal ``above - i``, element ``[row, column]`` of the matrix at place
``column``; what lies outside of the matrix is never read, and its derivative is 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.lazy import load
from nbgrad.core.node import Node
from nbgrad.ops.basis import cast, concatenate, pad, reshape, slice_, sum_
from nbgrad.ops.kinds.batching import EACH
from nbgrad.ops.kinds.cotangents import add_up, conjugate, materialize, times
from nbgrad.ops.kinds.opaque import opaque


def _prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    dtype = np.result_type(*(x.dtype for x in xs), np.float32)
    xs = tuple(x if x.dtype == dtype else cast(x, dtype=dtype) for x in xs)
    return xs, xs[1].aval, ()


def _solve(table: Any, b: Any, below: int, above: int) -> Any:
    if not b.size:
        return b.copy()
    if table.shape[1] == 1 or below == above == 0:  # SciPy divides by zeros there
        if not table[above].all():
            raise np.linalg.LinAlgError("solve_banded: the matrix is singular")
        return b / table[above][:, None]
    found = load("scipy.linalg").solve_banded((below, above), table, b, check_finite=False)
    return np.ascontiguousarray(found, dtype=b.dtype)


def _diagonals(n: int, below: int, above: int) -> Iterator[tuple[int, int, int, int]]:
    """For each row of the table its diagonal k, and columns *start* to *stop* inside of the matrix."""
    for row in range(below + above + 1):
        k = above - row
        yield row, k, max(k, 0), max(min(n, n + k), max(k, 0))


def _part(x: Node, row: int, start: int, stop: int) -> Node:
    return slice_(x, starts=(row, start), sizes=(1, stop - start), steps=(1, 1))


def _rows(x: Node, start: int, stop: int) -> Node:
    return slice_(x, starts=(start, 0), sizes=(stop - start, x.shape[1]), steps=(1, 1))


def _transposed(table: Node, below: int, above: int) -> Node:
    """The table of the transpose, which has the diagonals in the other order, each shifted by k."""
    n, rows = table.shape[1], []
    for row, k, start, stop in _diagonals(n, below, above):
        inside = _part(table, row, start, stop)
        rows.append(pad(inside, shape=(1, n), starts=(0, start - k), steps=(1, 1)))
    return concatenate(*rows[::-1], axis=0)


def _vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, ...]:
    table, below, above = xs[0], params["below"], params["above"]
    turned = conjugate(_transposed(table, below, above))
    passed = solve_banded(turned, materialize(ct, y.aval), below=above, above=below)
    rows = []
    for _, k, start, stop in _diagonals(y.shape[0], below, above) if wants[0] else ():
        products = times(_rows(passed, start - k, stop - k), conjugate(_rows(y, start, stop)))
        found = reshape(-sum_(products, axis=(1,), keepdims=False), shape=(1, stop - start))
        rows.append(pad(found, shape=(1, table.shape[1]), starts=(0, start), steps=(1, 1)))
    return (concatenate(*rows, axis=0) if rows else None, passed)


def _jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Node:
    terms = [None if tangents[1] is None else materialize(tangents[1], y.aval)]
    if tangents[0] is not None:
        moved = materialize(tangents[0], xs[0].aval)
        for row, k, start, stop in _diagonals(y.shape[0], **params):
            column = reshape(_part(moved, row, start, stop), shape=(stop - start, 1))
            product = -times(column, _rows(y, start, stop))
            terms.append(pad(product, shape=y.shape, starts=(start - k, 0), steps=(1, 1)))
    return solve_banded(xs[0], materialize(add_up(terms), y.aval), **params)


solve_banded = opaque(
    "solve_banded",
    batch=EACH,
    prepare=_prepare,
    evaluate=_solve,
    vjp=_vjp,
    jvp=_jvp,
    domain=((2.0, 3.0), (-2.0, 2.0)),
    cases=(((2, 4), (4, 2), {"below": 1, "above": 0}),),
    doc="Solution x of A x = b, of the diagonals of A stacked as SciPy does, and b of shape (n, k).",
)
