"""Those of ``nbgrad.sparse``: see error_rows.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

import nbgrad as ng

X = np.array([1.0, 2.0])
sparse: Any = ng.sparse
square: Any = lambda x: x * x
total: Any = lambda x: (x * x).sum()
dense: Any = lambda x: x * np.sin(x).sum()
EYE: Any = sp.csr_array(np.eye(2))
PLAN = sparse.jacobian(square, X)

ROWS: dict[tuple[str, str], Any] = {
    ("sparse.jacobian", "TypeError"): (lambda: sparse.jacobian(square, X * 1j), "x0 is complex"),
    ("sparse.jacobian", "ValueError"): (
        lambda: sparse.jacobian(square, X, order="a"),
        "order='a'",
    ),
    ("sparse.jacobian", "MemoryError"): (
        lambda: sparse.jacobian(dense, np.ones(20_000)),
        "something is not sparse",
    ),
    ("sparse.jacobian", "GradcheckError"): (
        lambda: sparse.jacobian(square, X, pattern=np.zeros((2, 2)), check=True),
        "lacks an entry",
    ),
    ("sparse.hessian", "ValueError"): (lambda: sparse.hessian(total, X, format="a"), "format='a'"),
    ("sparse.jacobian_pattern", "TypeError"): (
        lambda: sparse.jacobian_pattern(square, X * 1j),
        "x0 is complex",
    ),
    ("sparse.hessian_pattern", "TypeError"): (
        lambda: sparse.hessian_pattern(total, X * 1j),
        "x0 is complex",
    ),
    ("sparse.color", "ValueError"): (lambda: sparse.color(np.eye(2), "a"), "kind='a'"),
    ("sparse.matrix", "TypeError"): (lambda: sparse.matrix(np.eye(2)), "not a sparse matrix"),
    ("sparse.matrix", "ValueError"): (lambda: sparse.matrix(EYE, X[:1]), "values for 2 entries"),
    ("sparse.spsolve", "TypeError"): (lambda: sparse.spsolve(np.eye(2), X), "not a sparse matrix"),
    ("sparse.spsolve", "ValueError"): (lambda: sparse.spsolve(EYE, X[:1]), "right-hand side"),
    ("sparse.splu", "TypeError"): (lambda: sparse.splu(np.eye(2)), "not a sparse matrix"),
    ("sparse.splu", "ValueError"): (lambda: sparse.splu(EYE[:1]), "not square"),
    ("sparse.cholesky", "TypeError"): (lambda: sparse.cholesky(np.eye(2)), "not a sparse matrix"),
    ("sparse.cholesky", "ValueError"): (
        lambda: sparse.cholesky(EYE[:1]),
        "cholesky: a matrix of shape",
    ),
    ("sparse.Factors.solve", "ValueError"): (lambda: sparse.splu(EYE).solve(X, "a"), "trans='a'"),
    ("sparse.Plan", "TypeError"): (lambda: PLAN([X, X]), "nested otherwise"),
    ("sparse.Plan", "ValueError"): (lambda: PLAN(np.ones(3)), "has shape"),
    ("sparse.Plan.values", "ValueError"): (lambda: PLAN.values(X, out=X[:1]), "contiguous array"),
    ("sparse.Plan.into", "ValueError"): (lambda: PLAN.into(np.eye(2), X), "a call of this plan"),
}
