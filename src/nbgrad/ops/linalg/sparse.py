"""Solves with sparse matrices, of which only the values of the entries are operands.

Operands are the values, then the rows and columns of the entries, then the right-hand side. A *positive* definite
matrix is solved with by Cholesky's factor, any other by SuperLU's, which has *settings*. Products are no operations of their own: they are gathers and sums
(vocabulary/linalg/sparse.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.lazy import load
from nbgrad.core.node import Node, constant
from nbgrad.ops.arrays.indexing import scatter_add, take
from nbgrad.ops.basis import cast, reshape, sum_
from nbgrad.ops.elements.arithmetic import multiply
from nbgrad.ops.kinds.batching import EACH, moved
from nbgrad.ops.kinds.cotangents import add_up, conjugate, materialize
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.linalg import cholmod


def product(data: Node, rows: Node, columns: Node, x: Node, size: int) -> Node:
    """The sum, for each of *size* rows, of the values times the elements of *x* in their columns."""
    found = take(x, columns)
    weights = reshape(data, shape=(*data.shape, *(1,) * (x.ndim - 1)))
    return scatter_add(multiply(weights, found), rows, size=size)  # type: ignore[no-any-return]


def outer(rows: Node, columns: Node, u: Node, v: Node) -> Node:
    """The entries of the sum of the outer products of the columns of *u* and of *v*."""
    found: Node = multiply(take(u, rows), take(v, columns))
    return sum_(found, axis=(1,), keepdims=False)


def _prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    data, rows, columns, b = (x if x.__class__ is Node else constant(x) for x in xs)
    dtype = np.result_type(data.dtype, b.dtype, np.float32)
    data, b = (x if x.dtype == dtype else cast(x, dtype=dtype) for x in (data, b))
    return (data, rows, columns, b), make_aval(b.shape, dtype), ()


class _Last:
    """The last matrix that was factorized: the way back solves with it again."""

    held: tuple[Any, ...] = ()


def _factors(data: Any, rows: Any, columns: Any, n: int, how: tuple[Any, ...]) -> Any:
    """What solves with a matrix, (b, trans): that of the last one if it is the same."""
    held = _Last.held
    if (
        held
        and held[4] == how
        and held[0].dtype == data.dtype
        and all(map(np.array_equal, held[:3], (data, rows, columns)))
    ):
        return held[3]
    sparse, linalg = load("scipy.sparse"), load("scipy.sparse.linalg")
    matrix = sparse.csc_array((data, (rows, columns)), shape=(n, n))
    positive, settings = how
    if positive:
        by_cholesky = cholmod.factors(matrix)
        found = lambda b, trans: by_cholesky(b)
    else:
        try:
            found = linalg.splu(matrix, **_keywords(settings)).solve
        except RuntimeError as error:
            raise np.linalg.LinAlgError(f"Singular matrix: {error}") from None
    _Last.held = data.copy(), rows.copy(), columns.copy(), found, how
    return found


def _keywords(settings: tuple[Any, ...]) -> dict[str, Any]:
    """Arguments of SciPy's splu, of pairs that a signature can hold."""
    return {name: dict(x) if isinstance(x, tuple) else x for name, x in settings}


def check_settings(settings: tuple[Any, ...]) -> None:
    """Ask SciPy for its error, if it refuses them, before there is anything to solve."""
    sparse, linalg = load("scipy.sparse"), load("scipy.sparse.linalg")
    try:
        linalg.splu(sparse.csc_array(np.eye(1)), **_keywords(settings))
    except (TypeError, ValueError) as error:
        told = ", ".join(f"{name}={value!r}" for name, value in _keywords(settings).items())
        raise type(error)(f"splu: SciPy refuses {told}: {error}") from None


def _evaluate(
    data: Any,
    rows: Any,
    columns: Any,
    b: Any,
    adjoint: bool,
    positive: bool = False,
    settings: tuple[Any, ...] = (),
) -> Any:
    data, rows, columns = (np.ascontiguousarray(x) for x in (data, rows, columns))
    dtype = np.result_type(data.dtype, b.dtype, np.float32)
    if not b.size:
        return np.zeros(b.shape, dtype)
    solve = _factors(data.astype(dtype), rows, columns, b.shape[0], (positive, settings))
    return solve(np.ascontiguousarray(b, dtype), "H" if adjoint else "N").astype(dtype)


def _changed(xs: Any, y: Node, t: Any, adjoint: bool, **_: Any) -> Node:
    """What a change of the values changes of the product with *y*."""
    data, rows, columns, _ = xs
    t = materialize(t, data.aval)
    if adjoint:
        return product(conjugate(t), columns, rows, y, y.shape[0])
    return product(t, rows, columns, y, y.shape[0])


def _vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, ...]:
    data, rows, columns, _ = xs
    adjoint = params["adjoint"]
    turned = {**params, "adjoint": not adjoint}
    back = sparse_solve(data, rows, columns, materialize(ct, y.aval), **turned)
    values = None
    if wants[0]:
        pair = (y, conjugate(back)) if adjoint else (back, conjugate(y))
        values = -outer(rows, columns, *pair)
    return values, None, None, back


def _jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Any:
    terms = [] if tangents[3] is None else [materialize(tangents[3], y.aval)]
    if tangents[0] is not None:
        terms.append(-_changed(xs, y, tangents[0], params["adjoint"]))
    return sparse_solve(*xs[:3], materialize(add_up(terms), y.aval), **params)


def _batch(prim: Any, xs: Any, mapped: Any, params: dict[str, Any], size: int) -> Any:
    """Right-hand sides of one matrix are columns; matrices are solved with one after the other."""
    if any(mapped[:3]):
        return EACH(prim, xs, mapped, params, size)
    b = moved(xs[3], 0, 1)
    n, columns = b.shape[0], b.shape[2]
    found = prim(*xs[:3], reshape(b, shape=(n, size * columns)), **params)
    return moved(reshape(found, shape=b.shape), 1, 0)


sparse_solve = opaque(
    "sparse_solve",
    batch=_batch,
    prepare=_prepare,
    evaluate=_evaluate,
    vjp=_vjp,
    jvp=_jvp,
    cases=((([3.0, 2.0, 4.0, 1.0]), [0, 1, 1, 0], [0, 1, 0, 1], (2, 3), {"adjoint": False}),),
    doc="Solution of a square sparse system, given by values, rows and columns, or of its adjoint.",
)
