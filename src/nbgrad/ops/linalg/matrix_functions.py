"""General eigenvalue problems and functions of matrices.

Higham, Functions of Matrices (2008), theorem 3.6: f([[A, E], [0, A]]) has the derivative of f at A
along E in its upper right corner. So the rules need f alone, and every order follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval, several
from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive
from nbgrad.ops.basis import cast, concatenate
from nbgrad.ops.kinds.batching import LEADING
from nbgrad.ops.kinds.cotangents import add_up, conjugate, materialize
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.linalg.matrices import (
    adjoint,
    column_scale,
    diagonal,
    diagonal_matrix,
    each_matrix,
    matmul,
    real_part,
    row_scale,
    square_operand,
    tangents,
    window,
)
from nbgrad.ops.linalg.solves import solve
from nbgrad.ops.linalg.spectra import over_gaps, watched

# ------------------------------------------------------------------------------- matrix functions


def _blocks(a: Node, e: Node) -> Node:
    """``[[a, e], [0, a]]``."""
    top = concatenate(a, e, axis=a.ndim - 1)
    bottom = concatenate(a * 0.0, a, axis=a.ndim - 1)
    return concatenate(top, bottom, axis=a.ndim - 2)


def matrix_function(name: str, evaluate: Callable[[Any], Any], grad_name: str, doc: str) -> Any:
    """Declare a function that is analytic on the spectrum and real for real numbers.

    ``f(a^H) = f(a)^H``, so the transpose of its derivative at a is the derivative at a^H.
    """

    def prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Aval, Any]:
        a = square_operand(name, xs[0])
        return (a,), a.aval, ()

    def run(a: Any) -> Any:
        out = np.empty_like(a)
        for place in np.ndindex(a.shape[:-2]):
            out[place] = evaluate(a[place]) if a.size else a[place]
        return out

    def change(a: Node, e: Node) -> Node:
        n = a.shape[-1]
        return window(prim(_blocks(a, e)), (0, n), (n, 2 * n))

    prim: Primitive = opaque(
        name,
        batch=LEADING,
        prepare=prepare,
        evaluate=lambda a: each_matrix(run, a),
        vjp=lambda ct, y, xs, params, wants: (change(adjoint(xs[0]), materialize(ct, y.aval)),),
        jvp=lambda ts, y, xs, params: change(xs[0], tangents(ts, xs)[0]),
        cases=((("spd", 2, 2),),),
        grad_name=grad_name,
        doc=doc,
    )
    return prim


def _expm(a: Any) -> Any:
    from scipy.linalg import expm

    return expm(a)


def logarithm(a: Any) -> Any:
    """SciPy's logarithm of one matrix, in double precision: in single it warns of rounding."""
    from scipy.linalg import logm

    return _stays_real("logm", logm(_double(a)), a).astype(a.dtype)


def _sqrtm(a: Any) -> Any:
    from scipy.linalg import sqrtm

    return _stays_real("sqrtm", sqrtm(_double(a)), a)


def _double(a: Any) -> Any:
    return a.astype(np.result_type(a.dtype, np.float64))


def _stays_real(name: str, found: Any, a: Any) -> Any:
    """*found* in the dtype of *a*; an error where a real matrix has no real result."""
    if not np.isfinite(found).all():
        raise np.linalg.LinAlgError(f"{name}: the matrix is singular, or its function not finite")
    if found.dtype.kind != "c" or a.dtype.kind == "c":
        return found
    rounding = 1e3 * np.finfo(a.dtype).eps * np.abs(found).max(initial=0.0)
    if np.abs(found.imag).max(initial=0.0) > rounding:
        raise np.linalg.LinAlgError(
            f"{name}: a real matrix with negative eigenvalues has a complex result; convert it "
            "with astype(complex) first"
        )
    return found.real


expm = matrix_function(
    "expm", _expm, "LinalgMatrixExp", "Matrix exponential, by scaling and squaring."
)
logm = matrix_function("logm", logarithm, "LinalgLogm", "Principal matrix logarithm.")
sqrtm = matrix_function("sqrtm", _sqrtm, "LinalgSqrtm", "Principal matrix square root.")

# ----------------------------------------------------------------------------- general eigenproblem


def _complex_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.result_type(dtype, np.complex64)


def _complex_prepare(name: str, vectors: bool) -> Any:
    def prepare(xs: Any, params: dict[str, Any]) -> tuple[Any, Any, Any]:
        a = square_operand(name, xs[0])
        dtype = _complex_dtype(a.dtype)
        values = make_aval(a.shape[:-1], dtype)
        return (a,), several(values, make_aval(a.shape, dtype)) if vectors else values, ()

    return prepare


def _eig(a: Any) -> Any:
    found = each_matrix(np.linalg.eig, a)
    return tuple([x.astype(_complex_dtype(a.dtype)) for x in found])


def _eig_vjp(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> tuple[Any]:
    (values, vectors), (of_values, of_vectors) = ys, cts
    terms = [None if of_values is None else diagonal_matrix(of_values)]
    if of_vectors is not None:
        inner = matmul(adjoint(vectors), of_vectors)
        length = cast(real_part(diagonal(inner)), dtype=vectors.dtype)
        inner = inner - matmul(adjoint(vectors), vectors * column_scale(length))
        inner = watched(inner, values, hermitian=False)
        terms.append(over_gaps(inner, conjugate(values)))
    total = add_up(terms)
    if total is None:
        return (None,)
    return (_as_operand(solve(adjoint(vectors), matmul(total, adjoint(vectors))), xs[0]),)


def _as_operand(x: Node, a: Node) -> Node:
    """*x* in the dtype of *a*: its real part, where that is real."""
    return x if a.dtype == x.dtype else real_part(x)


def _eig_jvp(ts: Any, ys: Any, xs: Any, params: Any) -> tuple[Node, Node]:
    values, vectors = ys
    dtype = vectors.dtype
    inner = solve(vectors, matmul(cast(tangents(ts, xs)[0], dtype=dtype), vectors))
    turned = matmul(vectors, over_gaps(inner, values))
    # Vectors have length 1 and stay so.
    growth = real_part(diagonal(matmul(adjoint(vectors), turned)))
    return diagonal(inner), turned - vectors * column_scale(cast(growth, dtype=dtype))


eig = opaque(
    "eig",
    batch=LEADING,
    prepare=_complex_prepare("eig", True),
    evaluate=_eig,
    vjp=_eig_vjp,
    jvp=_eig_jvp,
    cases=((("spd", 3, 3),),),
    grad_name="LinalgEig",
    doc="Eigenvalues and right eigenvectors, complex.",
    several=True,
)


def _eigvals(a: Any) -> Any:
    return each_matrix(np.linalg.eigvals, a).astype(_complex_dtype(a.dtype))


def _eigvals_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Node]:
    _, vectors = eig(*xs)
    left = adjoint(vectors)
    inner = row_scale(materialize(ct, y.aval)) * left
    return (_as_operand(solve(left, inner), xs[0]),)


def _eigvals_jvp(ts: Any, y: Node, xs: Any, params: Any) -> Node:
    _, vectors = eig(*xs)
    return diagonal(solve(vectors, matmul(cast(tangents(ts, xs)[0], dtype=y.dtype), vectors)))


eigvals = opaque(
    "eigvals",
    batch=LEADING,
    prepare=_complex_prepare("eigvals", False),
    evaluate=_eigvals,
    vjp=_eigvals_vjp,
    jvp=_eigvals_jvp,
    cases=((("spd", 3, 3),),),
    grad_name="LinalgEigvals",
    doc="Eigenvalues, complex.",
)
