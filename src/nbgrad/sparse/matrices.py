"""Sparse matrices whose values are differentiated, and systems of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.boxes import is_box
from nbgrad.core.foreign import is_sparse
from nbgrad.core.lazy import LazyModule
from nbgrad.core.node import Node, constant
from nbgrad.core.operands import as_operand
from nbgrad.ops.basis import reshape
from nbgrad.ops.linalg import cholmod
from nbgrad.ops.linalg.sparse import check_settings, sparse_solve
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.linalg.sparse import entries, product_of

scipy_sparse = LazyModule("scipy.sparse")


class Matrix:
    """A sparse matrix of given structure, whose values may be a tensor: made by :func:`matrix`.

    It takes part in products, ``A @ x`` and ``x @ A``, and in :func:`spsolve`.

    Attributes
    ----------
    shape : tuple of int
    data : Tensor or ndarray
        The values of the entries.
    T : Matrix
        The transpose.
    """

    # Products with arrays of NumPy's are this class's to answer.
    __array_ufunc__ = None

    def __init__(self, shape: tuple[int, int], data: Any, rows: Any, columns: Any) -> None:
        self.shape = shape
        self.data = data
        self._rows, self._columns = rows, columns

    def __repr__(self) -> str:
        return f"<sparse matrix of shape {self.shape}, {len(self._rows)} entries>"

    @property
    def T(self) -> Matrix:
        return Matrix(self.shape[::-1], self.data, self._columns, self._rows)

    def __matmul__(self, x: Any) -> Any:
        return self._product(x, True)

    def __rmatmul__(self, x: Any) -> Any:
        return self._product(x, False)

    def _product(self, x: Any, left: bool) -> Any:
        held = _node(self.data), self._rows, self._columns
        found = Tensor(product_of(self.shape, *held, _node(x), left))
        return found if is_box(x.__class__) or is_box(self.data.__class__) else found.numpy()

    def toarray(self) -> Any:
        """Return the dense matrix.

        Examples
        --------
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> import nbgrad as ng
        >>> ng.sparse.matrix(sp.eye_array(2), np.array([3.0, 4.0])).toarray()
        array([[3., 0.],
               [0., 4.]])
        """
        return self @ np.eye(self.shape[1])


def matrix(A: Any, data: Any = None) -> Matrix:
    """Return a sparse matrix with the structure of *A*, whose values are *data*.

    Parameters
    ----------
    A : sparse matrix of SciPy's
    data : array_like, optional
        The values of its entries, in its own order; those of A if they are not given. A tensor, or
        what a function that is differentiated computes: then gradients pass through it.

    Returns
    -------
    Matrix

    Raises
    ------
    TypeError
        If A is no sparse matrix.
    ValueError
        If there are not as many values as entries.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> import nbgrad as ng
    >>> A = sp.csr_array(np.array([[1.0, 0.0], [2.0, 3.0]]))
    >>> f = lambda data: (ng.sparse.matrix(A, data) @ np.array([10.0, 1.0])).sum()
    >>> ng.grad(f)(A.data)
    array([10., 10.,  1.])
    """
    if isinstance(A, Matrix):
        return A if data is None else Matrix(A.shape, data, A._rows, A._columns)
    if not is_sparse(A.__class__):
        raise TypeError(f"matrix: A is a {type(A).__name__}, not a sparse matrix of SciPy's")
    values, rows, columns = entries(A)
    if data is None:
        data = values
    elif np.shape(data) != values.shape:
        raise ValueError(f"matrix: {np.shape(data)} values for {len(values)} entries of A")
    return Matrix(tuple(A.shape), data, rows, columns)


def _node(x: Any) -> Any:
    found = as_operand(x)
    return found if found.__class__ is Node else constant(np.asarray(found))


def spsolve(A: Any, b: Any, permc_spec: str | None = None) -> Any:
    """Return x with ``A @ x == b``, differentiable by *b* and by the values of A.

    Parameters
    ----------
    A : sparse matrix of SciPy's, or Matrix
        Square.
    b : array_like
        One right-hand side, or several as columns.
    permc_spec : str, optional
        How columns are ordered: see :func:`splu`.

    Returns
    -------
    Tensor or ndarray
        As b is, or the values of A.

    Raises
    ------
    TypeError
        If A is no sparse matrix.
    ValueError
        If it is not square, or b has not as many rows; and, where the values are computed, NumPy's
        LinAlgError, which is such, if A is singular.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> import nbgrad as ng
    >>> A = sp.csr_array(np.array([[4.0, 1.0], [0.0, 2.0]]))
    >>> ng.sparse.spsolve(A, np.array([5.0, 2.0]))
    array([1., 1.])
    >>> ng.grad(lambda b: ng.sparse.spsolve(A, b).sum())(np.ones(2))
    array([0.25 , 0.375])
    """
    return splu(A, permc_spec).solve(b)


def splu(
    A: Any,
    permc_spec: str | None = None,
    diag_pivot_thresh: float | None = None,
    options: dict[str, Any] | None = None,
) -> Factors:
    """Return what solves systems with the sparse matrix *A*, again and again.

    Parameters
    ----------
    A : sparse matrix of SciPy's, or Matrix
    permc_spec : {"COLAMD", "MMD_AT_PLUS_A", "MMD_ATA", "NATURAL"}, optional
        How columns are ordered, COLAMD by default. Of a matrix whose pattern is symmetric, as that of J^T J,
        "MMD_AT_PLUS_A" with ``options={"SymmetricMode": True}`` fills in far less, and takes a fraction of the time.
    diag_pivot_thresh : float, optional
        From 0 to 1: how small an element of the diagonal may be and still be a pivot.
    options : dict, optional
        Others of SuperLU, as in :func:`scipy.sparse.linalg.splu`, which all of these are handed to.

    Returns
    -------
    Factors

    Raises
    ------
    TypeError
        If A is no sparse matrix, or SciPy knows no such option.
    ValueError
        If it is not square, or SciPy refuses a setting.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> import nbgrad as ng
    >>> factors = ng.sparse.splu(sp.csc_array(np.diag([2.0, 4.0])))
    >>> factors.solve(np.ones(2)), factors.solve(np.ones(2), "H")
    (array([0.5 , 0.25]), array([0.5 , 0.25]))
    """
    given = {"permc_spec": permc_spec, "diag_pivot_thresh": diag_pivot_thresh}
    settings: list[tuple[str, Any]] = [(name, x) for name, x in given.items() if x is not None]
    settings += [("options", tuple(sorted(options.items())))] if options else []
    if settings:
        check_settings(tuple(settings))
    return Factors(matrix(A), settings=tuple(settings))


def cholesky(A: Any) -> Factors:
    """Return what solves systems with the positive definite sparse matrix *A*, by Cholesky's factor.

    By CHOLMOD of scikit-sparse or of CVXOPT, whichever is installed: in the place of LU's, a factor of half the
    work and memory, whose order is chosen for symmetric matrices.

    Parameters
    ----------
    A : sparse matrix of SciPy's, or Matrix
        Symmetric, or Hermitian, with both triangles.

    Returns
    -------
    Factors
        Differentiable, as those of :func:`splu`, by right-hand sides and by the values of A. These are to stay
        symmetric: a gradient is that of a change which is.

    Raises
    ------
    ImportError
        If neither library is installed.
    TypeError
        If A is no sparse matrix.
    ValueError
        If it is not square; and, where the values are computed, NumPy's LinAlgError, which is such, if A is
        not symmetric or not positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> import nbgrad as ng
    >>> A = sp.csc_array(np.array([[4.0, 1.0], [1.0, 2.0]]))
    >>> try:
    ...     x = ng.sparse.cholesky(A).solve(np.array([6.0, 5.0]))
    ... except ImportError:  # pip install cvxopt
    ...     x = ng.sparse.spsolve(A, np.array([6.0, 5.0]))
    >>> x
    array([1., 2.])
    """
    found = Factors(matrix(A), positive=True)
    cholmod.library()
    return found


class Factors:
    """A square sparse matrix to solve with: made by :func:`splu` and :func:`cholesky`.

    Attributes
    ----------
    shape : tuple of int
    """

    def __init__(self, A: Matrix, positive: bool = False, settings: tuple[Any, ...] = ()) -> None:
        if A.shape[0] != A.shape[1]:
            name = "cholesky" if positive else "splu"
            raise ValueError(f"{name}: a matrix of shape {A.shape} is not square")
        self._matrix, self.shape = A, A.shape
        self._how: dict[str, Any] = {"positive": True} if positive else {}
        self._how |= {"settings": settings} if settings else {}

    def solve(self, b: Any, trans: str = "N") -> Any:
        """Return the solution for one right-hand side, or for several as columns.

        Parameters
        ----------
        b : array_like
        trans : {"N", "T", "H"}
            Of the system, of its transpose, or of its adjoint.

        Raises
        ------
        ValueError
            If b has another number of rows, or *trans* is none of these.

        Examples
        --------
        >>> import numpy as np
        >>> import scipy.sparse as sp
        >>> import nbgrad as ng
        >>> ng.sparse.splu(sp.csc_array(np.array([[2.0, 1.0], [0.0, 1.0]]))).solve(np.ones(2), "T")
        array([0.5, 0.5])
        """
        if trans not in ("N", "T", "H"):
            raise ValueError(f"solve: trans={trans!r}: give 'N', 'T' or 'H'")
        A = self._matrix.T if trans == "T" else self._matrix
        right = _node(b)
        if right.ndim not in (1, 2) or right.shape[0] != A.shape[0]:
            raise ValueError(
                f"solve: a right-hand side of shape {right.shape} for a matrix of shape {A.shape}"
            )
        columns = right if right.ndim == 2 else reshape(right, shape=(*right.shape, 1))
        held = _node(A.data), constant(A._rows), constant(A._columns)
        found = sparse_solve(*held, columns, adjoint=trans == "H", **self._how)
        found = Tensor(reshape(found, shape=right.shape))
        return found if is_box(b.__class__) or is_box(A.data.__class__) else found.numpy()
