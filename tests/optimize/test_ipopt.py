"""IPOPT by cyipopt: bounds, constraints, sparse derivatives, and what ends a solve."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import scipy.optimize as so
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.optimize import adapters, minimize

A = np.array([1.0, 2.0])
START = [0.3, 0.2]
CONSTRAINTS = [
    {"type": "ineq", "fun": lambda x: 1.2 - x[0] - x[1]},
    so.NonlinearConstraint(
        lambda x: np.stack([x[0] - x[1] ** 2, x[0] * x[1]]), [0.0, -1.0], [0.0, 9.0]
    ),
]


def bowl(x: Any, a: Any = A) -> Any:
    return ((x - a) ** 2).sum() + 0.7 * (x[0] * x[1]) ** 2 + 0.1 * (x**4).sum()


@pytest.fixture(autouse=True)
def _installed(request: Any) -> None:
    if "without" not in request.node.name:
        pytest.importorskip("cyipopt")


def test_minima_bounds_nests_and_derivatives_of_results() -> None:
    best = so.minimize(bowl, START, jac=ng.grad(bowl), tol=1e-10).x
    found = minimize(bowl, START, method=adapters.ipopt, tol=1e-10)
    assert found.success and found.nfev < 30
    assert_allclose(found.x, best, atol=1e-7)
    held = minimize(bowl, START, method=adapters.ipopt, bounds=[(0.0, 0.2), (None, 3.0)])
    assert_allclose(held.x[0], 0.2, atol=1e-7)
    nested = {"p": 0.3, "q": 0.2}
    found = minimize(lambda v: bowl(np.stack([v["p"], v["q"]])), nested, method=adapters.ipopt)
    assert_allclose([found.x["p"], found.x["q"]], best, atol=1e-6)
    tight = {"tol": 1e-12}
    slope = ng.grad(lambda a: minimize(bowl, START, (a,), adapters.ipopt, options=tight).x.sum())
    other = ng.grad(lambda a: minimize(bowl, START, (a,), tol=1e-10).x.sum())
    assert_allclose(slope(A), other(A), atol=1e-5)


def test_constraints_and_multipliers() -> None:
    found = minimize(bowl, START, method=adapters.ipopt, constraints=CONSTRAINTS, tol=1e-10)
    theirs = minimize(bowl, START, constraints=CONSTRAINTS, tol=1e-12)
    assert_allclose(found.x, theirs.x, atol=1e-6)
    p = ng.problem(bowl, START, constraints=CONSTRAINTS)
    alone = adapters.ipopt(p, tol=1e-10)
    assert_allclose(alone.x, found.x, atol=1e-8)
    jacobian = np.concatenate([c.jac(alone.x) for c in p.constraints])
    assert_allclose(p.grad(alone.x), alone.multipliers @ jacobian, atol=1e-5)
    # Derivatives of the user's own for a constraint: dense, and Hessians of limited memory.
    given = {"type": "eq", "fun": lambda x: x[0] - x[1], "jac": lambda x: np.array([1.0, -1.0])}
    found = minimize(bowl, START, method=adapters.ipopt, constraints=given)
    assert_allclose(found.x[0], found.x[1], atol=1e-7)
    assert_allclose(found.x, minimize(bowl, START, constraints=given).x, atol=1e-4)


def test_large_problems_have_sparse_derivatives() -> None:
    n = 3000
    fun = lambda x: ((x - 1.5) ** 2).sum() + (np.diff(x) ** 4).sum()
    chain = {"type": "ineq", "fun": lambda x: 4.0 - x[1:] ** 2 - x[:-1] * x[1:]}
    sizes = []

    class Seen(adapters.ipopt.of_plan.__globals__["Interior"]):  # type: ignore[misc]
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            sizes.append((len(self.jacobianstructure()[0]), len(self.hessianstructure()[0])))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(adapters.ipopt.of_plan.__globals__, "Interior", Seen)
        found = minimize(fun, np.ones(n), method=adapters.ipopt, constraints=chain)
    assert found.success and sizes == [(2 * (n - 1), 2 * n - 1)]
    assert_allclose(found.x[n // 2], np.sqrt(2.0), atol=1e-4)


def test_functions_that_look_at_values() -> None:
    f = lambda x: (x**2).sum() if x[0] > 0.5 else (x**2).sum() + (x[0] - 0.5) ** 2
    found = minimize(f, [2.0, 1.0], method=adapters.ipopt)
    assert_allclose(found.x, so.minimize(f, [2.0, 1.0]).x, atol=1e-5)


def test_what_ends_a_solve(tmp_path: Any) -> None:
    def fails(x: Any) -> Any:
        if x[0] > 0.5:
            raise OverflowError("mine")
        return ((x - 1) ** 2).sum()

    with pytest.raises(OverflowError, match="mine"):
        minimize(fails, START, method=adapters.ipopt)

    def interrupted(x: Any) -> Any:
        if x[0] > 0.5:
            raise KeyboardInterrupt
        return ((x - 1) ** 2).sum()

    found = minimize(interrupted, START, method=adapters.ipopt)
    assert found.status == 99 and found.fun <= interrupted(np.array(START))
    found = minimize(bowl, START, method=adapters.ipopt, max_evaluations=3)
    assert found.status == 99 and found.nfev == 3
    seen: list[Any] = []
    found = minimize(bowl, START, method=adapters.ipopt, callback=lambda x: seen.append(x))
    assert len(seen) > 2

    def stop(x: Any) -> None:
        raise StopIteration

    assert minimize(bowl, START, method=adapters.ipopt, callback=stop).status == 99
    file = tmp_path / "kept"
    whole = minimize(bowl, START, method=adapters.ipopt)
    minimize(bowl, START, method=adapters.ipopt, max_evaluations=3, checkpoint=file)
    rest = minimize(bowl, START, method=adapters.ipopt, checkpoint=file)
    assert (rest.x == whole.x).all()
    found = minimize(bowl, START, method=adapters.ipopt, options={"max_iter": 2})
    assert not found.success and "iteration" in found.message.lower()
    with pytest.raises(ValueError, match="IPOPT refuses no_such=3"):
        minimize(bowl, START, method=adapters.ipopt, options={"no_such": 3})


def test_without_the_package_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cyipopt", None)
    with pytest.raises(ImportError, match="pip install cyipopt"):
        minimize(bowl, START, method=adapters.ipopt)
    with pytest.raises(ImportError, match="pip install cyipopt"):
        adapters.ipopt(ng.problem(bowl, START))
