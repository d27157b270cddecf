"""Sparse matrices of SciPy's in expressions, and systems of them, against dense ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import nbgrad as ng

RNG = np.random.default_rng(4)
DENSE = np.where(RNG.random((5, 4)) < 0.5, RNG.normal(size=(5, 4)), 0.0)
SQUARE = np.eye(4) * 4 + np.where(RNG.random((4, 4)) < 0.4, RNG.normal(size=(4, 4)), 0.0)
V, W = RNG.normal(size=4), RNG.normal(size=5)
MATRICES = RNG.normal(size=(4, 3))

# What is written of a matrix and a vector, and holds of dense ones, too.
PRODUCTS: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {
    "A @ x": (lambda A, x: A @ x, V),
    "A @ (x * x)": (lambda A, x: A @ (x * x), V),
    "A.T @ x": (lambda A, x: A.T @ x, W),
    "x @ A": (lambda A, x: x @ A, W),
    "x @ A @ y": (lambda A, x: (x * x) @ A @ V, W),
    "A @ X": (lambda A, x: A @ x, MATRICES),
    "X.T @ A.T": (lambda A, x: x.T @ A.T, MATRICES),
    "normal": (lambda A, x: A.T @ (A @ x) * x, V),
}
KINDS = ["csr_array", "csc_array", "coo_array", "csr_matrix", "dia_array"]


@pytest.fixture(autouse=True)
def _uncompiled() -> Any:
    with ng.configure(tier="reference"):
        yield


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PRODUCTS)
def test_product_is_that_of_the_dense_matrix(name: str, kind: str) -> None:
    f, x = PRODUCTS[name]
    sparse = getattr(sp, kind)(DENSE)
    dense, ours = (lambda x, A=A: f(A, x) for A in (DENSE, sparse))
    assert np.allclose(ng.jacobian(ours)(x), ng.jacobian(dense)(x))
    second: list[Any] = [ng.hessian(lambda x, g=g: (g(x) ** 3).sum())(x) for g in (ours, dense)]
    assert np.allclose(*second)
    assert np.allclose(ng.jit(ours)(x), f(DENSE, x))
    assert np.allclose(ours(ng.tensor(x)).numpy(), f(DENSE, x))
    assert np.allclose(
        ng.vmap(ours)(np.stack([x, 2 * x])), np.stack([f(DENSE, x), f(DENSE, 2 * x)])
    )


def test_pattern_of_a_product_is_that_of_the_matrix() -> None:
    A = sp.random_array((30, 20), density=0.1, rng=1, format="csr")
    plan = ng.sparse.jacobian(lambda x: (A @ x) ** 2, np.ones(20))
    assert plan.nnz == A.nnz
    x = RNG.normal(size=20)
    assert np.allclose(plan(x).toarray(), 2 * (A @ x)[:, None] * A.toarray())


def test_values_of_a_matrix_are_differentiated() -> None:
    A = sp.csr_array(DENSE)
    rows, columns = A.tocoo().coords

    def of_dense(data: Any) -> Any:
        full = ng.numpy.zeros(A.shape).at[(rows, columns)].set(data)
        return ((full @ V) ** 3).sum() + (full.T @ W).sum()

    def ours(data: Any) -> Any:
        B = ng.sparse.matrix(A, data)
        return ((B @ V) ** 3).sum() + (W @ B).sum()

    assert np.allclose(ng.grad(ours)(A.data), ng.grad(of_dense)(A.data))
    assert np.allclose(ng.hessian(ours)(A.data), ng.hessian(of_dense)(A.data))


@pytest.mark.parametrize("trans", ["N", "T", "H"])
@pytest.mark.parametrize("shape", [(4,), (4, 2)])
@pytest.mark.parametrize("kind", [float, complex])
def test_solve_is_that_of_the_dense_matrix(shape: Any, trans: str, kind: Any) -> None:
    A = sp.csc_array(SQUARE.astype(kind) * (1 + 0.25j if kind is complex else 1))
    rows, columns = A.tocoo().coords
    b = RNG.normal(size=shape).astype(kind)
    values = A.tocoo().data

    def dense(data: Any, b: Any) -> Any:
        full = ng.numpy.zeros((4, 4), kind).at[(rows, columns)].set(data)
        full = {"N": full, "T": full.T, "H": full.conj().T}[trans]
        return (abs(ng.numpy.linalg.solve(full, b)) ** 2).sum()

    def ours(data: Any, b: Any) -> Any:
        return (abs(ng.sparse.splu(ng.sparse.matrix(A, data)).solve(b, trans)) ** 2).sum()

    assert np.allclose(ours(values, b), dense(values, b))
    for k in (0, 1):
        assert np.allclose(ng.grad(ours, k)(values, b), ng.grad(dense, k)(values, b))
    if kind is float:
        both = ng.hessian(ours, (0, 1))(values, b), ng.hessian(dense, (0, 1))(values, b)
        for one, other in zip(ng.tree.leaves(both[0]), ng.tree.leaves(both[1]), strict=True):
            assert np.allclose(one, other, atol=1e-8)
        assert np.allclose(ng.jit(ours)(values, b), dense(values, b))


def test_settings_of_superlu() -> None:
    """Rows and columns in another order: the same solution, and the same gradient of the way back."""
    A = sp.csc_array(SQUARE + SQUARE.T + 9 * np.eye(4))
    values, given = A.tocoo().data, {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.1}
    given |= {"options": {"SymmetricMode": True}}

    def solved(data: Any, **settings: Any) -> Any:
        return (ng.sparse.splu(ng.sparse.matrix(A, data), **settings).solve(V[:4]) ** 2).sum()

    assert np.allclose(solved(values, **given), solved(values))
    assert np.allclose(ng.grad(lambda d: solved(d, **given))(values), ng.grad(solved)(values))
    assert np.allclose(ng.sparse.spsolve(A, V[:4], "NATURAL"), ng.sparse.spsolve(A, V[:4]))
    for wrong in ({"permc_spec": "AMD"}, {"options": {"Symmetric": True}}):
        with pytest.raises((TypeError, ValueError), match="splu: SciPy refuses"):
            ng.sparse.splu(A, **wrong)


def test_refuses_what_is_no_system() -> None:
    with pytest.raises(ValueError, match="is not square"):
        ng.sparse.spsolve(sp.csr_array(DENSE), V)
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        ng.sparse.spsolve(sp.csr_array((2, 2)), np.ones(2))
    with pytest.raises(ValueError, match="right-hand side of shape"):
        ng.sparse.spsolve(sp.eye_array(3), np.ones(4))
    with pytest.raises(ValueError, match="sparse matrix of shape"):
        ng.grad(lambda x: (sp.csr_array(DENSE) @ x).sum())(W)
    with pytest.raises(ValueError, match="values for 4 entries"):
        ng.sparse.matrix(sp.eye_array(4), np.ones(3))


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_function_sees_what_changes_in_a_matrix(kind: str) -> None:
    A = getattr(sp, kind)(np.diag([1.0, 2.0, 3.0, 4.0]))
    f = ng.jit(lambda x: A @ x)
    assert np.allclose(f(V), A @ V)
    A.data[...] *= 2.0
    assert np.allclose(f(V), A @ V)
    A = getattr(sp, kind)(np.eye(4))
    assert np.allclose(f(V), V)
