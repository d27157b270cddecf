"""Eigenvalues and singular values, with their vectors.

Giles, Collected matrix derivative results (2008); Townsend, Differentiating the singular value
decomposition (2016); Wan and Zhang, Automatic differentiation for complex valued SVD (2019).

Vectors are unique up to a phase (and, of repeated values, up to a rotation). Their tangents are the
ones that do not turn along themselves, so the derivative of what does not depend on the choice is
exact. Where values repeat, the part of the derivative that mixes their vectors does not exist: it
is left out, with a RuntimeWarning if something depends on it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, Several, make_aval, several
from nbgrad.core.node import Node
from nbgrad.ops.basis import cast, concatenate
from nbgrad.ops.elements import arithmetic, selection
from nbgrad.ops.kinds.batching import LEADING
from nbgrad.ops.kinds.cotangents import add_up, materialize
from nbgrad.ops.kinds.forms import Library
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.linalg.matrices import (
    adjoint,
    column_scale,
    cubic,
    diagonal,
    diagonal_matrix,
    each_matrix,
    filled_splits,
    hermitian_part,
    imaginary_part,
    matmul,
    matrix_operand,
    matrix_splits,
    of_singular,
    real_dtype,
    real_part,
    row_scale,
    square_operand,
    tangents,
    window,
)

# ------------------------------------------------------------------------------------ repeated values


def _repeated(values: Any) -> Any:
    """For each pair of values whether they are equal to rounding; a value equals itself."""
    top = np.abs(values).max(axis=-1, initial=0.0)[..., None, None]
    gaps = np.abs(values[..., None, :] - values[..., :, None])
    return gaps <= values.shape[-1] * np.finfo(values.dtype).eps * top


def _watched(x: Any, values: Any, hermitian: bool) -> Any:
    """*x* as it is; warns where it (its antihermitian part) mixes vectors of repeated values."""
    pairs = _repeated(values)
    pairs &= ~np.eye(values.shape[-1], dtype=bool)
    if pairs.any():
        mixed = np.abs(x - np.conj(np.swapaxes(x, -1, -2))) if hermitian else np.abs(x)
        rounding = 1e3 * np.finfo(x.dtype).eps * np.abs(x).max(initial=0.0)
        if (mixed[pairs] > rounding).any():
            warnings.warn(
                "derivative through the vectors of repeated eigenvalues or singular values: it "
                "does not exist, the part that mixes those vectors is taken as 0",
                RuntimeWarning,
                stacklevel=2,
            )
    return x


watched = opaque(
    "watch_repeated",
    batch=LEADING,
    prepare=lambda xs, params: (xs, xs[0].aval, ()),
    evaluate=_watched,
    vjp=lambda ct, y, xs, params, wants: (ct, None),
    jvp=lambda ts, y, xs, params: ts[0],
    cases=(((3, 3), (3,), {"hermitian": True}),),
    doc="The first operand; warns where it mixes vectors of repeated values of the second.",
)
repeated = opaque(
    "repeated_values",
    batch=LEADING,
    prepare=lambda xs, params: (
        xs, make_aval((*xs[0].shape, xs[0].shape[-1]), np.dtype(bool)), ()
    ),
    evaluate=_repeated,
    cases=(((3,),),),
    doc="For each pair of values, whether they are equal to rounding.",
)  # fmt: skip


def over_gaps(x: Node, values: Node, squares: bool = False) -> Node:
    """``x[i, j] / (v[j] - v[i])``, v the values or their squares; 0 where they are equal."""
    same = repeated(values)
    rows, columns = column_scale(values), row_scale(values)
    gaps = rows - columns
    if squares:
        gaps = gaps * (rows + columns)
    return selection.where(same, 0.0, x / selection.where(same, 1.0, gaps))


# ----------------------------------------------------------------------------------- Hermitian matrices


def _eigh_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Several, Any]:
    a = square_operand("eigh", xs[0])
    return (a,), several(make_aval(a.shape[:-1], real_dtype(a.dtype)), a.aval), ()


def _eigh(a: Any, lower: bool) -> Any:
    return each_matrix(lambda a: np.linalg.eigh(a, "L" if lower else "U"), a)


def _eigh_vjp(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> tuple[Any]:
    (values, vectors), (of_values, of_vectors) = ys, cts
    terms = []
    if of_values is not None:
        terms.append(diagonal_matrix(cast(of_values, dtype=vectors.dtype)))
    if of_vectors is not None:
        inner = watched(matmul(adjoint(vectors), of_vectors), values, hermitian=True)
        terms.append(over_gaps((inner - adjoint(inner)) * 0.5, values))
    total = add_up(terms)
    return (None if total is None else matmul(vectors, total, adjoint(vectors)),)


def _is_complex(x: Node) -> bool:
    return x.dtype.kind == "c"


def _eigh_jvp(ts: Any, ys: Any, xs: Any, params: Any) -> tuple[Node, Node]:
    values, vectors = ys
    inner = matmul(adjoint(vectors), hermitian_part(tangents(ts, xs)[0]), vectors)
    return real_part(diagonal(inner)), matmul(vectors, over_gaps(inner, values))


eigh = opaque(
    "eigh",
    batch=LEADING,
    prepare=_eigh_prepare,
    evaluate=_eigh,
    vjp=_eigh_vjp,
    jvp=_eigh_jvp,
    lower=Library("eigh", ("f",), matrix_splits, flops=cubic(9)),
    cases=((("spd", 3, 3), {"lower": True}), (("spd", 2, 2), {"lower": False})),
    grad_name="LinalgEigh",
    doc="Eigenvalues and vectors of Hermitian matrices; the gradient is Hermitian.",
    several=True,
)


def _eigvalsh_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    a = square_operand("eigvalsh", xs[0])
    return (a,), make_aval(a.shape[:-1], real_dtype(a.dtype)), ()


def _eigvalsh(a: Any, lower: bool) -> Any:
    return each_matrix(lambda a: np.linalg.eigvalsh(a, "L" if lower else "U"), a)


def _eigvalsh_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Node]:
    _, vectors = eigh(*xs, **params)
    scale = column_scale(materialize(ct, y.aval))
    return (matmul(vectors * scale, adjoint(vectors)),)


def _eigvalsh_jvp(ts: Any, y: Node, xs: Any, params: Any) -> Node:
    _, vectors = eigh(*xs, **params)
    inner = matmul(adjoint(vectors), hermitian_part(tangents(ts, xs)[0]), vectors)
    return real_part(diagonal(inner))


eigvalsh = opaque(
    "eigvalsh",
    batch=LEADING,
    prepare=_eigvalsh_prepare,
    evaluate=_eigvalsh,
    vjp=_eigvalsh_vjp,
    jvp=_eigvalsh_jvp,
    lower=Library("eigvalsh", ("f",), matrix_splits, flops=cubic(4 / 3)),
    cases=((("spd", 3, 3), {"lower": True}), (("spd", 2, 2), {"lower": False})),
    grad_name="LinalgEigvalsh",
    doc="Eigenvalues of Hermitian matrices, in ascending order.",
)

# -------------------------------------------------------------------------------------- singular values


def _svd_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Several, Any]:
    a = matrix_operand("svd", xs[0])
    *batch, m, n = a.shape
    k = min(m, n)
    left, right = ((m, m), (n, n)) if params["full"] else ((m, k), (k, n))
    vectors = [make_aval((*batch, *shape), a.dtype) for shape in (left, right)]
    return (a,), several(vectors[0], make_aval((*batch, k), real_dtype(a.dtype)), vectors[1]), ()


def _svd(a: Any, full: bool) -> Any:
    return each_matrix(lambda a: np.linalg.svd(a, full_matrices=full), a)


def _inverted(s: Node) -> Node:
    """Reciprocals, and 0 for 0: along a vector of singular value 0 there is no derivative."""
    zero = arithmetic.absolute(s) <= 0
    return selection.where(zero, 0.0, 1.0 / selection.where(zero, 1.0, s))


def _columns(x: Any, first: int, last: int) -> Any:
    return None if x is None else window(x, (0, x.shape[-2]), (first, last))


def _split(u: Node, k: int) -> tuple[Node, Node | None]:
    """Vectors with a singular value, and those that complete them to a basis."""
    n = u.shape[-1]
    return (u, None) if n == k else (_columns(u, 0, k), _columns(u, k, n))


def _folded(g: Any, u: Node, rest: Node | None) -> Any:
    """The cotangent of *u*, with that of *rest*, whose tangent is ``-u @ du^H @ rest``."""
    if g is None or rest is None:
        return g
    k, n = u.shape[-1], g.shape[-1]
    return _columns(g, 0, k) - matmul(rest, adjoint(_columns(g, k, n)), u)


def _with_rest(du: Node, u: Node, rest: Node | None) -> Node:
    if rest is None:
        return du
    return concatenate(du, -matmul(u, adjoint(du), rest), axis=du.ndim - 1)


def _turning(gu: Any, gv: Any, u: Node, v: Node, s: Node) -> list[Node]:
    """Inner terms of the cotangents of the vectors."""
    terms = []
    left = None if gu is None else watched(matmul(adjoint(u), gu), s, hermitian=True)
    right = None if gv is None else watched(matmul(adjoint(v), gv), s, hermitian=True)
    if left is not None:
        terms.append(over_gaps(left - adjoint(left), s, True) * column_scale(s))
    if right is not None:
        terms.append(row_scale(s) * over_gaps(right - adjoint(right), s, True))
    if _is_complex(u):
        phases = add_up([left, None if right is None else -right])
        spin = imaginary_part(diagonal(phases)) * _inverted(s) * 0.5
        terms.append(diagonal_matrix(cast(spin, dtype=u.dtype) * 1j))
    return terms


def _outside(g: Any, u: Node, s: Node) -> Node | None:
    """The part of a cotangent of vectors that leaves their span, divided by their values."""
    if g is None or u.shape[-2] == u.shape[-1]:
        return None
    return (g - matmul(u, matmul(adjoint(u), g))) * column_scale(_inverted(s))


def _svd_vjp(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> tuple[Any]:
    (u, s, vh), (gu, gs, gvh) = ys, cts
    (u, u_rest), (v, v_rest) = _split(u, s.shape[-1]), _split(adjoint(vh), s.shape[-1])
    gu = _folded(gu, u, u_rest)
    gv = _folded(None if gvh is None else adjoint(gvh), v, v_rest)
    terms = _turning(gu, gv, u, v, s) if gu is not None or gv is not None else []
    if gs is not None:
        terms.append(diagonal_matrix(cast(gs, dtype=u.dtype)))
    total = [matmul(u, add_up(terms), adjoint(v))] if terms else []
    left, right = _outside(gu, u, s), _outside(gv, v, s)
    total.append(None if left is None else matmul(left, adjoint(v)))
    total.append(None if right is None else matmul(u, adjoint(right)))
    return (add_up(total),)


def _svd_jvp(ts: Any, ys: Any, xs: Any, params: Any) -> tuple[Node, Node, Node]:
    u, s, vh = ys
    (u, u_rest), (v, v_rest) = _split(u, s.shape[-1]), _split(adjoint(vh), s.shape[-1])
    (t,) = tangents(ts, xs)
    inner = matmul(adjoint(u), t, v)
    wide, tall = inner * column_scale(s), row_scale(s) * inner
    left, right = (over_gaps(x + adjoint(x), s, True) for x in (wide, tall))
    if _is_complex(u):
        spin = imaginary_part(diagonal(inner)) * _inverted(s) * 0.5
        phases = diagonal_matrix(cast(spin, dtype=u.dtype) * 1j)
        left, right = left + phases, right - phases
    du = add_up([matmul(u, left), _outside(matmul(t, v), u, s)])
    dv = add_up([matmul(v, right), _outside(matmul(adjoint(t), u), v, s)])
    du, dv = _with_rest(du, u, u_rest), _with_rest(dv, v, v_rest)
    return du, real_part(diagonal(inner)), adjoint(dv)


svd = opaque(
    "svd",
    batch=LEADING,
    prepare=_svd_prepare,
    evaluate=_svd,
    vjp=_svd_vjp,
    jvp=_svd_jvp,
    lower=Library("svd", ("f",), filled_splits, flops=of_singular(26)),
    cases=(((3, 2), {"full": False}), ((2, 2), {"full": False})),
    grad_name="LinalgSvd",
    doc="Left vectors, singular values and adjoint of the right vectors.",
    several=True,
)


def _svdvals_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    a = matrix_operand("svd", xs[0])
    return (a,), make_aval((*a.shape[:-2], min(a.shape[-2:])), real_dtype(a.dtype)), ()


def _svdvals_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Node]:
    u, _, vh = svd(*xs, full=False)
    scale = materialize(ct, y.aval) * arithmetic.sign(y)
    return (matmul(u * column_scale(scale), vh),)


def _svdvals_jvp(ts: Any, y: Node, xs: Any, params: Any) -> Node:
    u, _, vh = svd(*xs, full=False)
    inner = matmul(adjoint(u), tangents(ts, xs)[0], adjoint(vh))
    return real_part(diagonal(inner)) * arithmetic.sign(y)


svdvals = opaque(
    "svdvals",
    batch=LEADING,
    prepare=_svdvals_prepare,
    evaluate=lambda a: each_matrix(lambda a: np.linalg.svd(a, compute_uv=False), a),
    vjp=_svdvals_vjp,
    jvp=_svdvals_jvp,
    lower=Library("svdvals", ("f",), filled_splits, flops=of_singular(8 / 3)),
    cases=(((3, 2),),),
    grad_name="LinalgSvdvals",
    doc="Singular values in descending order; the derivative of one that is 0 is 0.",
)
