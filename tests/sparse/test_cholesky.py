"""Sparse positive definite systems by Cholesky's factor, by each library that is installed, against LU's."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import nbgrad as ng
from nbgrad.ops.linalg import cholmod

RNG = np.random.default_rng(8)
N = 12
LOWER = sp.csc_array(
    np.eye(N) * 3 + np.where(RNG.random((N, N)) < 0.2, RNG.normal(size=(N, N)), 0)
)
SYMMETRIC = sp.csc_array(LOWER @ LOWER.T)
B = RNG.normal(size=(N, 2))


@pytest.fixture(params=list(cholmod.LIBRARIES))
def _library(request: Any, monkeypatch: Any) -> Iterator[None]:
    """One library alone; what it factorized last is forgotten."""
    pytest.importorskip(request.param)
    one = {request.param: cholmod.LIBRARIES[request.param]}
    monkeypatch.setattr(cholmod, "LIBRARIES", one)
    ng.sparse.spsolve(sp.eye_array(2, format="csc"), np.ones(2))
    with ng.configure(tier="reference"):
        yield


@pytest.mark.usefixtures("_library")
def test_solutions_and_derivatives_are_those_of_lu() -> None:
    A = SYMMETRIC.tocoo()

    def cost(solver: Any, data: Any, b: Any) -> Any:
        # A symmetric matrix: an element and the one across change together.
        turned = sp.coo_array((np.arange(A.nnz), (A.col, A.row)), A.shape).tocsr()
        across = np.asarray([turned[i, j] for i, j in zip(A.row, A.col, strict=True)])
        both = 0.5 * (data + data[across])
        x = solver(ng.sparse.matrix(A, both)).solve(b)
        return (x**3).sum()

    ours, lu = (lambda d, b, s=s: cost(s, d, b) for s in (ng.sparse.cholesky, ng.sparse.splu))
    found, expected = (ng.grad(f, argnums=(0, 1))(A.data, B) for f in (ours, lu))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    second = [ng.hessian(lambda b, f=f: f(A.data, b))(B[:, 0]) for f in (ours, lu)]
    np.testing.assert_allclose(*second, rtol=1e-9, atol=1e-11)
    t = RNG.normal(size=A.nnz)
    products = [ng.hvp(lambda d, f=f: f(d, B), (A.data,), (t,)) for f in (ours, lu)]
    np.testing.assert_allclose(*products, rtol=1e-8, atol=1e-9)
    tangents = [ng.jvp(lambda d, f=f: f(d, B), (A.data,), (t,))[1] for f in (ours, lu)]
    np.testing.assert_allclose(*tangents, rtol=1e-10)


@pytest.mark.usefixtures("_library")
def test_forms_of_right_hand_sides_and_of_matrices() -> None:
    dense = SYMMETRIC.toarray()
    for kind in ("csr", "csc", "coo"):
        factors = ng.sparse.cholesky(SYMMETRIC.asformat(kind))
        for b in (B, B[:, 0], ng.tensor(B)):
            for trans in "NTH":
                x = np.asarray(factors.solve(b, trans))
                np.testing.assert_allclose(x, np.linalg.solve(dense, np.asarray(b)), rtol=1e-10)
    solve = lambda b: ng.sparse.cholesky(SYMMETRIC).solve(b)
    np.testing.assert_allclose(ng.jit(solve)(B), np.linalg.solve(dense, B), rtol=1e-10)
    np.testing.assert_allclose(ng.vmap(solve)(B.T), np.linalg.solve(dense, B).T, rtol=1e-10)
    skew = sp.csc_array(1j * (LOWER - LOWER.T) * 0.1)
    hermitian = sp.csc_array(SYMMETRIC + skew)
    x = ng.sparse.cholesky(hermitian).solve(B + 1j)
    np.testing.assert_allclose(x, np.linalg.solve(hermitian.toarray(), B + 1j), rtol=1e-9)
    single = ng.sparse.cholesky(SYMMETRIC.astype(np.float32)).solve(B.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, np.linalg.solve(dense, B), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("_library")
def test_a_matrix_is_factorized_once_for_a_solve_and_its_derivatives(monkeypatch: Any) -> None:
    calls = []
    ((name, factorize),) = cholmod.LIBRARIES.items()
    counted = {name: lambda matrix: calls.append(1) or factorize(matrix)}
    monkeypatch.setattr(cholmod, "LIBRARIES", counted)
    f = lambda d: (ng.sparse.cholesky(ng.sparse.matrix(SYMMETRIC, d)).solve(B) ** 2).sum()
    ng.grad(f)(SYMMETRIC.tocoo().data)
    assert len(calls) == 1
    # The factors of the one kind are not taken for those of the other.
    ng.sparse.spsolve(SYMMETRIC, B)
    ng.sparse.cholesky(SYMMETRIC).solve(B)
    assert len(calls) == 2


@pytest.mark.usefixtures("_library")
def test_what_is_no_positive_definite_matrix() -> None:
    for wrong in (-SYMMETRIC, SYMMETRIC - 40 * sp.eye_array(N), 0 * SYMMETRIC):
        with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
            ng.sparse.cholesky(sp.csc_array(wrong)).solve(B)
    with pytest.raises(np.linalg.LinAlgError, match="not symmetric: element"):
        ng.sparse.cholesky(LOWER).solve(B)
    with pytest.raises(np.linalg.LinAlgError, match="not finite"):
        ng.sparse.cholesky(SYMMETRIC * np.nan).solve(B)
    np.testing.assert_allclose(
        ng.sparse.cholesky(SYMMETRIC).solve(B), ng.sparse.spsolve(SYMMETRIC, B)
    )


def test_without_a_library_the_error_says_which(monkeypatch: Any) -> None:
    def missing(name: str) -> Any:
        if name.partition(".")[0] in ("sksparse", "cvxopt"):
            raise ImportError(name)
        return importlib.import_module(name)

    monkeypatch.setattr(cholmod, "load", missing)
    with pytest.raises(ImportError, match=r"scikit-sparse.*or CVXOPT"):
        ng.sparse.cholesky(SYMMETRIC)
