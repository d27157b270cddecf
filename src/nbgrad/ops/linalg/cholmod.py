"""Factors of sparse positive definite matrices, by the library that is installed.

scikit-sparse or CVXOPT: both bring CHOLMOD of SuiteSparse's. Neither is needed but for this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.lazy import load

NONE = (
    "cholesky: no library factorizes sparse positive definite matrices here: install scikit-sparse "
    "(pip install scikit-sparse, which needs SuiteSparse) or CVXOPT (pip install cvxopt); splu and "
    "spsolve need neither"
)
INDEFINITE = "cholesky: the matrix is not positive definite"
UNEQUAL = "cholesky: the matrix is not symmetric: element ({row}, {column}) is {one}, and ({column}, {row}) is {other}"
CLOSE = 1e-10  # of the largest entry: by which elements differ that are the same but for rounding

Solve = Callable[[Any], Any]


def _by_scikit_sparse(matrix: Any) -> Solve:
    package = load("sksparse.cholmod")
    try:
        if hasattr(package, "cho_factor"):  # from 0.5 on
            return package.cho_factor(matrix).solve  # type: ignore[no-any-return]
        factor = package.cholesky(load("scipy.sparse").csc_matrix(matrix))
    except package.CholmodNotPositiveDefiniteError as error:
        raise np.linalg.LinAlgError(INDEFINITE) from error
    if not (factor.D() > 0).all():  # it factorizes indefinite ones, too
        raise np.linalg.LinAlgError(INDEFINITE)
    return factor  # type: ignore[no-any-return]


def _by_cvxopt(matrix: Any) -> Solve:
    package = load("cvxopt")
    library, lower = load("cvxopt.cholmod"), load("scipy.sparse").tril(matrix, format="coo")
    code = "z" if matrix.dtype.kind == "c" else "d"
    held = package.spmatrix(lower.data, lower.row, lower.col, matrix.shape, code)
    factor = library.symbolic(held)
    try:
        library.numeric(held, factor)
    except ArithmeticError as error:
        raise np.linalg.LinAlgError(INDEFINITE) from error

    def solve(b: Any) -> Any:
        right = package.matrix(b, tc=code)
        library.solve(factor, right)
        return np.array(right)

    return solve


PACKAGES = {
    "sksparse.cholmod": lambda: load("sksparse.cholmod"),
    "cvxopt.cholmod": lambda: load("cvxopt.cholmod"),
}
LIBRARIES = {"sksparse.cholmod": _by_scikit_sparse, "cvxopt.cholmod": _by_cvxopt}


def library() -> Callable[[Any], Solve]:
    """What factorizes, of the first library that there is.

    Raises
    ------
    ImportError
        If there is none.
    """
    for name, factorize in LIBRARIES.items():
        try:
            PACKAGES[name]()
        except ImportError:
            continue
        return factorize
    raise ImportError(NONE)


def factors(matrix: Any) -> Solve:
    """What solves with a Hermitian positive definite matrix, in columns.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is not symmetric, or not positive definite.
    """
    apart = abs(matrix - matrix.conj().T).tocoo()
    if apart.nnz and apart.data.max() > CLOSE * np.abs(matrix.data).max():
        at = int(apart.data.argmax())
        i, j = int(apart.row[at]), int(apart.col[at])
        one, other = matrix[i, j], matrix[j, i]
        raise np.linalg.LinAlgError(UNEQUAL.format(row=i, column=j, one=one, other=other))
    if not np.isfinite(matrix.data).all():
        raise np.linalg.LinAlgError("cholesky: the matrix has values that are not finite")
    wide = matrix.astype(np.result_type(matrix.dtype, np.float64))
    solve = library()(wide)
    return lambda b: np.asarray(solve(np.asfortranarray(b, wide.dtype)))
