"""Systems of one matrix with one factorization: what a program puts in the place of solves and determinants.

These have no derivatives: they are written when nothing is differentiated any more, see
program/factored.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, Several, make_aval, several
from nbgrad.ops.kinds.batching import LEADING
from nbgrad.ops.kinds.forms import Library
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.linalg.matrices import cubic, matrix_splits

PIVOT = np.dtype(np.int32)  # an integer of LAPACK's, as SciPy has it


def _factored_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Several, Any]:
    (a,) = xs
    return (a,), several(a.aval, make_aval(a.shape[:-1], PIVOT)), ()


def _factored(a: Any) -> tuple[Any, Any]:
    from scipy.linalg.lapack import get_lapack_funcs

    packed, pivots = np.empty_like(a), np.empty(a.shape[:-1], PIVOT)
    (getrf,) = get_lapack_funcs(("getrf",), (a,))
    for place in np.ndindex(a.shape[:-2]):
        if a.shape[-1]:
            found, rows, _ = getrf(a[place])
            packed[place], pivots[place] = found.T, rows + 1
    return packed, pivots


lu_factored = opaque(
    "lu_factored",
    batch=LEADING,
    prepare=_factored_prepare,
    evaluate=_factored,
    lower=Library("lu", ("f",), matrix_splits, flops=cubic(2 / 3)),
    cases=((("square", 3, 3),),),
    doc="LAPACK's L and U in one matrix, by columns, so transposed; and the rows it exchanged, from 1 on.",
    several=True,
)


def _solved_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    return tuple(xs), xs[2].aval, ()


def _solved(packed: Any, pivots: Any, b: Any, transposed: bool) -> Any:
    from scipy.linalg.lapack import get_lapack_funcs

    out = np.empty_like(b)
    (getrs,) = get_lapack_funcs(("getrs",), (packed,))
    for place in np.ndindex(b.shape[:-2]):
        if not np.diagonal(packed[place]).all():
            raise np.linalg.LinAlgError("Singular matrix")
        if out[place].size:
            out[place] = getrs(packed[place].T, pivots[place] - 1, b[place], trans=transposed)[0]
    return out


def _packed_splits(params: Any, packed: Aval, pivots: Aval, *b: Aval) -> list[tuple[int, ...]]:
    (of_packed, *of_b), rank = matrix_splits(params, packed, *b), pivots.ndim
    return [of_packed, (0, rank - 1, rank), *of_b]


lu_solved = opaque(
    "lu_solved",
    batch=LEADING,
    prepare=_solved_prepare,
    evaluate=_solved,
    lower=Library("lu_solve", ("f", "i", "f"), _packed_splits, flops=cubic(0)),
    cases=tuple(
        (("square", 3, 3), ("exchanged", 3), (3, 2), {"transposed": t}) for t in (False, True)
    ),
    doc="Solution x of a @ x = b, or of a.T @ x = b, for what ``lu_factored`` gives of a.",
)


def _inverted(packed: Any, pivots: Any, transposed: bool) -> Any:
    eye = np.broadcast_to(np.eye(packed.shape[-1], dtype=packed.dtype), packed.shape)
    return _solved(packed, pivots, eye, transposed)


lu_inverse = opaque(
    "lu_inverse",
    batch=LEADING,
    prepare=lambda xs, params: (tuple(xs), xs[0].aval, ()),
    evaluate=_inverted,
    lower=Library("lu_inverse", ("f", "i"), _packed_splits, flops=cubic(2)),
    cases=tuple((("square", 3, 3), ("exchanged", 3), {"transposed": t}) for t in (False, True)),
    doc="Inverse of a, or of a.T, for what ``lu_factored`` gives of a.",
)


def _sign_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    return tuple(xs), make_aval(xs[0].shape[:-2], xs[0].dtype), ()


def _sign(packed: Any, pivots: Any) -> Any:
    diagonal = np.diagonal(packed, axis1=-2, axis2=-1)
    exchanges = (pivots != np.arange(1, pivots.shape[-1] + 1)).sum(axis=-1)
    factors = np.where(diagonal == 0, 0, np.where(diagonal < 0, -1, 1))
    return (factors.prod(axis=-1) * (1 - 2 * (exchanges % 2))).astype(packed.dtype)


lu_sign = opaque(
    "lu_sign",
    batch=LEADING,
    prepare=_sign_prepare,
    evaluate=_sign,
    lower=Library("lu_sign", ("f", "i"), _packed_splits, flops=cubic(0)),
    cases=((("square", 3, 3), ("exchanged", 3)),),
    doc="Sign of the determinant, 0 if it is 0, of what ``lu_factored`` gives of a matrix.",
)
