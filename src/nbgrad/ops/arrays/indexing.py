"""Gather and scatter along the first dimension: what integer and boolean indexing become."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.node import Node, constant
from nbgrad.ops.basis import broadcast_to, cast, full, reshape
from nbgrad.ops.elements.comparison import equal, greater_equal, indicator, less, logical_and
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.batching import all_stacked, moved, stacked
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Library
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.kinds.reaching import INDEXED, MOVES


def _row_splits(params: dict[str, Any], x: Aval, index: Aval, *values: Aval) -> Any:
    """Rows and the elements of each, of the array and of what is written to it."""
    if not np.can_cast(index.dtype, np.int64):
        return None
    return [(0, 1, x.ndim), (0, index.ndim), *((0, index.ndim, v.ndim) for v in values)]


def _scatter_splits(params: dict[str, Any], v: Aval, index: Aval) -> Any:
    found = _row_splits(params, v, index, v)
    return found and [found[2], found[1]]


def _rows_of_each(prim: Any, xs: Any, mapped: Any, params: dict[str, Any], size: int) -> Any:
    """Batches of rows: dimensions behind the rows, or, of an index for each, more rows."""
    index, of_index = xs[1], mapped[1]
    if of_index and not any(m for k, m in enumerate(mapped) if k != 1) and prim is take:
        return prim(*xs)
    xs = all_stacked(xs, mapped, size) if of_index else list(xs)
    if of_index:
        return _more_rows(prim, xs, params, size)
    for k, m in enumerate(mapped):
        if k != 1:
            x = xs[k] if m else stacked(xs[k], size)
            # Of what is written, and of what scatter_add adds, the rows have the index's dimensions.
            written = k == 2 or prim is scatter_add
            xs[k] = moved(x, 0, index.ndim if written else 1)
    return moved(prim(*xs, **params), index.ndim if prim is take else 1, 0)


def _more_rows(prim: Any, xs: Any, params: dict[str, Any], size: int) -> Any:
    """One operation on all rows of all arrays; an index that is out of bounds stays so."""
    index = xs[1]
    n = params["size"] if prim is scatter_add else xs[0].shape[1]
    index = where(less(index, 0), index + n, index)
    offset = np.arange(size, dtype=np.int64).reshape(-1, *(1,) * (index.ndim - 1)) * n
    inside = logical_and(greater_equal(index, 0), less(index, n))
    places = where(inside, index + constant(offset), size * n)
    if prim is scatter_add:
        found = prim(xs[0], places, size=size * n)
    else:
        x = reshape(xs[0], shape=(size * n, *xs[0].shape[2:]))
        found = prim(x, places, *xs[2:])
        if prim is take:
            return found
    return reshape(found, shape=(size, n, *found.shape[1:]))


def _take_prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    x, index = xs
    return xs, make_aval((*index.shape, *x.shape[1:]), x.dtype), ()


def _take_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, None]:
    x, index = xs
    return scatter_add(materialize(ct, y.aval), index, size=x.shape[0]), None


def _take(x: Any, index: Any) -> Any:
    return np.take(x, index, axis=0)


take = opaque(
    "take",
    batch=_rows_of_each,
    prepare=_take_prepare,
    evaluate=_take,
    vjp=_take_vjp,
    jvp=lambda tangents, y, xs, params: take(tangents[0], xs[1]) if tangents[0] is not None else 0,
    reach=MOVES,
    lower=Library("take", ("fiubc", "iu"), _row_splits),
    cases=(((5,), [0, 3, 3]), ((4, 2), [[1, 0], [2, 2]])),
    grad_name="Index",
    doc="Rows of the first operand picked by an integer array.",
)


def _scatter_prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    v, index = xs
    return xs, make_aval((params["size"], *v.shape[index.ndim :]), v.dtype), ()


def _scatter_add(v: Any, index: Any, size: int) -> Any:
    """Sum rows with equal index, in the order they stand: the same bits in every run."""
    row = v.shape[index.ndim :]
    out = np.zeros((size, *row), v.dtype)
    if v.size:
        # In two dimensions: NumPy's add.at reads out of bounds beyond 32 of them.
        rows = index.reshape(-1)
        np.add.at(out.reshape(size, -1), rows, v.reshape(rows.size, -1))
    return out


scatter_add = opaque(
    "scatter_add",
    batch=_rows_of_each,
    prepare=_scatter_prepare,
    evaluate=_scatter_add,
    vjp=lambda ct, y, xs, params, wants: (take(materialize(ct, y.aval), xs[1]), None),
    reach=INDEXED,
    jvp=lambda tangents, y, xs, params: (
        scatter_add(tangents[0], xs[1], **params) if tangents[0] is not None else 0
    ),
    lower=Library("scatter_add", ("fiuc", "iu"), _scatter_splits),
    cases=(((3,), [0, 3, 3], {"size": 5}), ((2, 2, 2), [[1, 0], [2, 2]], {"size": 4})),
    grad_name="IndexAdd",
    doc="Zeros, with the rows of the first operand added at an integer array: adjoint of take.",
)


def _put_prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    x, index, v = xs
    v = v if v.dtype == x.dtype else cast(v, dtype=x.dtype)
    shape = (*index.shape, *x.shape[1:])
    v = v if v.shape == shape else broadcast_to(v, shape=shape)
    return (x, index, v), x.aval, ()


def _put(x: Any, index: Any, v: Any) -> Any:
    out = np.array(x)
    out[index] = v
    return out


def _winners(x: Node, index: Node) -> Node:
    """Whether each write of *index* stays: the last of those with equal index does."""
    order = constant(np.arange(index.size, dtype=np.int64).reshape(index.shape))
    board = full(-1, shape=(x.shape[0],), dtype=np.dtype(np.int64))
    return equal(take(put(board, index, order), index), order)


def _put_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, None, Any]:
    x, index, v = xs
    ct = materialize(ct, y.aval)
    erased = put(ct, index, full(0.0, shape=v.shape, dtype=x.dtype)) if wants[0] else None
    kept = indicator(_winners(x, index), x)
    kept = reshape(kept, shape=(*index.shape, *(1,) * (x.ndim - 1)))
    return erased, None, take(ct, index) * kept


def _put_jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Node:
    x, index, v = xs
    tx = materialize(0.0 if tangents[0] is None else tangents[0], x.aval)
    tv = materialize(0.0 if tangents[2] is None else tangents[2], v.aval)
    return put(tx, index, tv)


put = opaque(
    "put",
    batch=_rows_of_each,
    prepare=_put_prepare,
    evaluate=_put,
    vjp=_put_vjp,
    jvp=_put_jvp,
    reach=MOVES,
    lower=Library("put", ("fiubc", "iu", "fiubc"), _row_splits),
    cases=(((5,), [0, 3, 3], (3,), {}), ((4, 2), [1, 2], (2, 2), {})),
    grad_name="IndexPut",
    doc="The first operand with rows replaced at an integer array; of equal indices the last wins.",
)
