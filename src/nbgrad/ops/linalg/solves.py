"""Linear systems: the inverse, general and triangular solves, the pseudo-inverse.

Giles, Collected matrix derivative results for forward and reverse mode algorithmic
differentiation (2008).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, broadcast_shapes, make_aval
from nbgrad.core.node import Node
from nbgrad.ops.control.formulas import formula
from nbgrad.ops.elements.comparison import greater_equal
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.batching import LEADING
from nbgrad.ops.kinds.cotangents import add_up, materialize
from nbgrad.ops.kinds.forms import Factored, Library
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.linalg.factored import lu_factored, lu_inverse, lu_solved
from nbgrad.ops.linalg.matrices import (
    adjoint,
    cubic,
    each_matrix,
    lower,
    matmul,
    matrix_operand,
    matrix_splits,
    positions,
    same_batch,
    same_dtype,
    square_operand,
    tangents,
    transposed,
    triangular_reads,
    upper,
)

# ----------------------------------------------------------------------------------------- inverse


def _inv_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    a = square_operand("inv", xs[0])
    return (a,), a.aval, ()


def _inv(a: Any) -> Any:
    return each_matrix(np.linalg.inv, a)


def _inv_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Node]:
    left = adjoint(y)
    return (-matmul(left, materialize(ct, y.aval), left),)


inv = opaque(
    "inv",
    batch=LEADING,
    prepare=_inv_prepare,
    evaluate=_inv,
    vjp=_inv_vjp,
    jvp=lambda ts, y, xs, params: -matmul(y, *tangents(ts, xs), y),
    lower=Library(
        "inverse",
        ("f",),
        matrix_splits,
        flops=cubic(8 / 3),
        factored=Factored(lu_factored, lambda factors, t: lu_inverse(*factors, transposed=t)),
    ),
    cases=((("square", 3, 3),),),
    grad_name="LinalgInvEx",
    doc="Inverse of square matrices.",
)

# ------------------------------------------------------------------------------------------- solve


def _systems(name: str, a: Any, b: Any, left: bool = True) -> tuple[Node, Node]:
    """Matrices and right-hand sides, also matrices, of one dtype and batch."""
    a, b = same_dtype(square_operand(name, a), matrix_operand(name, b))
    if b.shape[-2 if left else -1] != a.shape[-1]:
        raise ValueError(
            f"{name}: shapes {a.shape} and {b.shape} do not match: "
            f"{b.shape[-2 if left else -1]} equations for {a.shape[-1]} unknowns"
        )
    batch = broadcast_shapes(name, a.shape[:-2], b.shape[:-2])
    whole = make_aval((*batch, 1, 1), a.dtype)
    return same_batch(whole, a), same_batch(whole, b)


def _solve_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    a, b = _systems("solve", *xs)
    return (a, b), b.aval, ()


def _solve(a: Any, b: Any) -> Any:
    return each_matrix(np.linalg.solve, a, b)


def _solve_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, Any]:
    ct_b = solve(adjoint(xs[0]), materialize(ct, y.aval))
    return (-matmul(ct_b, adjoint(y)) if wants[0] else None), ct_b


def _solve_jvp(ts: Any, y: Node, xs: Any, params: Any) -> Node:
    ta, tb = tangents(ts, xs)
    return solve(xs[0], tb if ts[0] is None else tb - matmul(ta, y))


solve = opaque(
    "solve",
    batch=LEADING,
    prepare=_solve_prepare,
    evaluate=_solve,
    vjp=_solve_vjp,
    jvp=_solve_jvp,
    lower=Library(
        "solve",
        ("f", "f"),
        matrix_splits,
        flops=cubic(2 / 3),
        factored=Factored(lu_factored, lambda factors, t, b: lu_solved(*factors, b, transposed=t)),
    ),
    cases=((("square", 3, 3), (3, 2)),),
    grad_name="LinalgSolveEx",
    doc="Solution x of a @ x = b.",
)

# ------------------------------------------------------------------------------- triangular systems


def _outer(u: Node, v: Node, rows: Node, columns: Node, lower: bool) -> Node:
    mask = greater_equal(rows, columns) if lower else greater_equal(columns, rows)
    return where(mask, -matmul(u, transposed(v)), 0.0)


def _outer_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    u = xs[0]
    return tuple(xs), matmul(u, transposed(u)).aval, ()


def _outer_reference(u: Any, v: Any, rows: Any, columns: Any, lower: bool) -> Any:
    return (np.tril if lower else np.triu)(-(u @ np.swapaxes(v, -1, -2)))


triangular_outer = formula(
    "triangular_outer",
    _outer,
    prepare=_outer_prepare,
    evaluate=_outer_reference,
    cases=tuple(
        ((3, 2), (3, 2), [[0], [1], [2]], [[0, 1, 2]], {"lower": low}) for low in (True, False)
    ),
    doc="A triangle of the product of a matrix and another transposed, with the other sign.",
)


def _triangular_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    a, b = _systems("solve_triangular", *xs, params["left"])
    return (a, b), b.aval, ()


def _triangular(a: Any, b: Any, lower: bool, left: bool, unit: bool) -> Any:
    """SciPy's solver; on the right, the transposed system."""
    from scipy.linalg import solve_triangular as scipy_solve

    if not b.size:
        return np.zeros(b.shape, b.dtype)
    if not left:
        a, b, lower = np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2), not lower

    def run(a: Any, b: Any) -> Any:
        out = np.empty(b.shape, b.dtype)
        for place in np.ndindex(b.shape[:-2]):
            out[place] = scipy_solve(
                a[place], b[place], lower=lower, unit_diagonal=unit, check_finite=False
            )
        return out

    x = each_matrix(run, a, b)
    return x if left else np.ascontiguousarray(np.swapaxes(x, -1, -2))


def _triangular_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, Any]:
    low, left, unit = params["lower"], params["left"], params["unit"]
    ct_b = solve_triangular(
        adjoint(xs[0]), materialize(ct, y.aval), lower=not low, left=left, unit=unit
    )
    if not wants[0]:
        return None, ct_b
    if left and not unit and ct_b.dtype.kind == "f":
        places = positions(y.shape[-2], 0), positions(y.shape[-2], 1)
        return triangular_outer(ct_b, y, *places, lower=low), ct_b
    ct_a = -matmul(ct_b, adjoint(y)) if left else -matmul(adjoint(y), ct_b)
    return _triangle(ct_a, low, unit), ct_b


def _triangle(x: Node, low: bool, unit: bool) -> Node:
    """The elements that a triangular solve reads."""
    return lower(x, -1 if unit else 0) if low else upper(x, 1 if unit else 0)


def _triangular_jvp(ts: Any, y: Node, xs: Any, params: Any) -> Node:
    ta, tb = tangents(ts, xs)
    if ts[0] is not None:
        ta = _triangle(ta, params["lower"], params["unit"])
        tb = tb - (matmul(ta, y) if params["left"] else matmul(y, ta))
    return solve_triangular(xs[0], tb, **params)


solve_triangular = opaque(
    "solve_triangular",
    batch=LEADING,
    prepare=_triangular_prepare,
    evaluate=_triangular,
    vjp=_triangular_vjp,
    jvp=_triangular_jvp,
    lower=Library("triangular", ("f", "f"), matrix_splits, triangular_reads, flops=cubic(0)),
    cases=(
        (("spd", 3, 3), (3, 2), {"lower": True, "left": True, "unit": False}),
        (("spd", 2, 2), (1, 2), {"lower": False, "left": False, "unit": True}),
        (("spd", 2, 2), (3, 2), {"lower": True, "left": False, "unit": False}),
    ),
    grad_name="LinalgSolveTriangular",
    doc="Solution x of a @ x = b, or of x @ a = b, where only a triangle of a is read.",
)

# ----------------------------------------------------------------------------------- pseudo-inverse


def _pinv_prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    a = matrix_operand("pinv", xs[0])
    return (a,), make_aval((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype), ()


def _pinv(a: Any, rcond: float, hermitian: bool) -> Any:
    return each_matrix(lambda a: np.linalg.pinv(a, rcond=rcond, hermitian=hermitian), a)


def _pinv_change(p: Node, a: Node, e: Node) -> Node:
    """Derivative of the pseudo-inverse p of a along e, where the rank stays.

    Golub and Pereyra, The differentiation of pseudo-inverses and nonlinear least squares problems
    whose variables separate (1973). Of the two projectors one is zero where a has full rank.
    """
    ph, eh = adjoint(p), adjoint(e)
    outer = matmul(p, ph)
    inner = matmul(ph, p)
    return add_up(
        [
            -matmul(p, e, p),
            matmul(outer, eh - matmul(eh, a, p)),
            matmul(eh - matmul(p, a, eh), inner),
        ]
    )


def _pinv_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Node]:
    # The derivative at a along e is that at a^H along e^H, adjoint; so is its transpose.
    (a,) = xs
    return (_pinv_change(adjoint(y), adjoint(a), materialize(ct, y.aval)),)


def _pinv_jvp(ts: Any, y: Node, xs: Any, params: Any) -> Node:
    return _pinv_change(y, xs[0], tangents(ts, xs)[0])


pinv = opaque(
    "pinv",
    batch=LEADING,
    prepare=_pinv_prepare,
    evaluate=_pinv,
    vjp=_pinv_vjp,
    jvp=_pinv_jvp,
    cases=(
        ((3, 2), {"rcond": 1e-15, "hermitian": False}),
        ((2, 3), {"rcond": 1e-15, "hermitian": False}),
    ),
    grad_name="LinalgPinv",
    doc="Moore-Penrose inverse; singular values below rcond times the largest count as zero.",
)
