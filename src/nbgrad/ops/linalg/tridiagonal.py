"""Tridiagonal systems, solved by LAPACK's banded elimination with partial pivoting."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.lazy import load
from nbgrad.core.node import Node
from nbgrad.ops.basis import cast, pad, reshape, slice_, sum_
from nbgrad.ops.kinds.batching import EACH
from nbgrad.ops.kinds.cotangents import add_up, conjugate, materialize, times
from nbgrad.ops.kinds.opaque import opaque


def _prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    dtype = np.result_type(*(x.dtype for x in xs), np.float32)
    xs = tuple(x if x.dtype == dtype else cast(x, dtype=dtype) for x in xs)
    return xs, xs[3].aval, ()


def _solve(below: Any, diagonal: Any, above: Any, b: Any) -> Any:
    if diagonal.shape[0] == 1 or not b.size:
        return b / diagonal[:, None]
    lapack = load("scipy.linalg.lapack")
    (gtsv,) = lapack.get_lapack_funcs(("gtsv",), (diagonal, b))
    *_, x, info = gtsv(below, diagonal, above, b)
    if info:
        raise np.linalg.LinAlgError("solve_tridiagonal: the matrix is singular")
    return np.ascontiguousarray(x)


def _rows(x: Node, start: int, stop: int) -> Node:
    """Rows *start* to *stop* of a matrix."""
    return slice_(x, starts=(start, 0), sizes=(stop - start, x.shape[1]), steps=(1, 1))


def _vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, ...]:
    below, diagonal, above, _ = xs
    n = y.shape[0]
    adjoint = (conjugate(above), conjugate(diagonal), conjugate(below))
    passed = solve_tridiagonal(*adjoint, materialize(ct, y.aval))

    def outer(left: Node, right: Node) -> Node:
        return -sum_(times(left, conjugate(right)), axis=(1,), keepdims=False)

    return (
        outer(_rows(passed, 1, n), _rows(y, 0, n - 1)) if wants[0] else None,
        outer(passed, y) if wants[1] else None,
        outer(_rows(passed, 0, n - 1), _rows(y, 1, n)) if wants[2] else None,
        passed,
    )


def _jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Node:
    n = y.shape[0]
    windows = ((1, 0, n - 1), (0, 0, n), (0, 1, n))  # where it lands, and the rows it multiplies
    terms = [None if tangents[3] is None else materialize(tangents[3], y.aval)]
    for t, x, (at, start, stop) in zip(tangents, xs, windows, strict=False):
        if t is not None:
            column = reshape(materialize(t, x.aval), shape=(*x.shape, 1))
            product = -times(column, _rows(y, start, stop))
            terms.append(pad(product, shape=y.shape, starts=(at, 0), steps=(1, 1)))
    return solve_tridiagonal(*xs[:3], materialize(add_up(terms), y.aval))


solve_tridiagonal = opaque(
    "solve_tridiagonal",
    batch=EACH,
    prepare=_prepare,
    evaluate=_solve,
    vjp=_vjp,
    jvp=_jvp,
    domain=((-0.5, 0.5), (2.0, 3.0), (-0.5, 0.5), (-2.0, 2.0)),
    cases=(((3,), (4,), (3,), (4, 2)),),
    doc="Solution x of A x = b, of the diagonals below, on and above, and b of shape (n, k).",
)
