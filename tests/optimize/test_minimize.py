"""``nbgrad.optimize.minimize``: each of SciPy's methods, constraints, and what ends a solve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize as so
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.optimize import minimize

GRADIENTS = ("CG", "BFGS", "Newton-CG", "L-BFGS-B", "TNC", "SLSQP")
HESSIANS = ("dogleg", "trust-ncg", "trust-krylov", "trust-exact", "trust-constr")
VALUES = ("Nelder-Mead", "Powell", "COBYLA", "COBYQA")


def banana(v: Any, steep: Any = 10.0) -> Any:
    return (1 - v["x"]) ** 2 + steep * ((v["y"] - v["x"] ** 2) ** 2).sum()


START = {"x": -1.0, "y": np.array([1.0])}


@pytest.mark.parametrize("method", GRADIENTS + HESSIANS + VALUES)
def test_every_method_finds_nested_parameters(method: str) -> None:
    options = {"maxiter": 5000, "rhobeg": 1.0} if method == "COBYLA" else None
    found = minimize(banana, START, (5.0,), method, options=options)
    assert_allclose(found.x["x"], 1.0, atol=2e-2)
    assert_allclose(found.x["y"], [1.0], atol=3e-2)
    assert found.x["y"].shape == (1,)


def by_hand(x: Any) -> Any:
    return np.array([-2 * (1 - x[0]) - 40 * x[0] * (x[1] - x[0] ** 2), 20 * (x[1] - x[0] ** 2)])


@pytest.mark.parametrize("method", GRADIENTS)
def test_counts_are_those_of_derivatives_by_hand(method: str) -> None:
    f = lambda x: (1 - x[0]) ** 2 + 10 * (x[1] - x[0] ** 2) ** 2
    theirs = so.minimize(f, [-1.0, 1.0], jac=by_hand, method=method)
    ours = minimize(f, [-1.0, 1.0], method=method)
    assert ours.nfev <= theirs.nfev
    assert_allclose(ours.x, theirs.x, atol=1e-3)


CONSTRAINTS: dict[str, Any] = {
    "dictionaries": [
        {"type": "ineq", "fun": lambda v: v["x"] - 1.5},
        {"type": "eq", "fun": lambda v, a: v["x"] * v["y"] - a, "args": (2.0,)},
    ],
    "nonlinear": so.NonlinearConstraint(
        lambda v: np.concatenate([v["x"] * v["y"], v["x"].reshape(1)]), [2.0, 1.5], [2.0, np.inf]
    ),
    "two sides": so.NonlinearConstraint(
        lambda v: [v["x"], v["x"] * v["y"]], [1.5, 2.0], [2.5, 2.0]
    ),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("method", [None, "trust-constr"])
def test_constraints_are_met(name: str, method: str | None) -> None:
    f, start = lambda v: v["x"] + (v["y"] ** 2).sum() / 9, {"x": 1.0, "y": np.array([1.0])}
    found = minimize(f, start, (), method, constraints=CONSTRAINTS[name])
    assert_allclose(found.x["x"], 1.5, atol=1e-3)
    assert_allclose(found.x["x"] * found.x["y"], [2.0], atol=1e-3)


def test_many_unknowns_have_sparse_hessians() -> None:
    n = 600
    wanted = np.sin(np.linspace(0.0, 6.0, n))
    bend = lambda x: ((x - wanted) ** 2).sum() + (np.diff(x) ** 4).sum()
    p = ng.problem(bend, np.zeros(n))
    found = minimize(p, method="trust-constr", options={"gtol": 1e-6})
    assert_allclose(found.x, wanted, atol=1e-2)
    assert p._plans["hessian"].nnz == 3 * n - 2 and found.nit < 20


def test_derivatives_of_the_users_are_taken() -> None:
    calls: list[int] = []

    def gradient(x: Any) -> Any:
        calls.append(1)
        return 2 * x

    f = lambda x: (x**2).sum()
    assert minimize(f, [3.0], jac=gradient).success and calls
    assert minimize(lambda x: ((x**2).sum(), 2 * x), [3.0], jac=True).success
    assert minimize(f, [3.0], jac="2-point").success
    found = minimize(f, [3.0], method="trust-exact", hess=lambda x: 2 * np.eye(1))
    assert_allclose(found.x, 0.0, atol=1e-6)


def test_a_problem_is_solved_again() -> None:
    p = ng.problem(lambda x, a: ((x - a) ** 2).sum(), [0.0, 0.0], args=(2.0,), bounds=[(0, 1)] * 2)
    assert_allclose(minimize(p).x, 1.0)
    assert_allclose(minimize(p, [0.3, 0.4]).x, 1.0)


# ---------------------------------------------------------------------------------- ends from outside


def test_callbacks_get_nested_parameters() -> None:
    seen: list[Any] = []
    told: list[Any] = []

    def result(*, intermediate_result: Any) -> None:
        told.append(
            (intermediate_result.x["x"], intermediate_result.fun, intermediate_result.nfev)
        )

    for method in ("BFGS", "SLSQP", "TNC", "trust-constr", "Nelder-Mead"):
        seen.clear(), told.clear()
        minimize(banana, START, method=method, callback=lambda v: seen.append(v["y"]))
        minimize(banana, START, method=method, callback=result)
        assert len(seen) == len(told) > 2
        assert told[-1][2] > 2 and told[-1][1] < told[0][1]


@pytest.mark.parametrize("method", ["BFGS", "SLSQP", "L-BFGS-B", "trust-constr"])
def test_solves_end_with_the_best_point(method: str) -> None:
    found = minimize(banana, START, method=method, max_evaluations=5)
    assert found.nfev == 5 and found.status == 99 and not found.success
    assert found.fun < banana({"x": -1.0, "y": np.ones(1)})
    assert_allclose(banana(found.x), found.fun)
    found = minimize(banana, START, method=method, time_limit=1e-9) if method == "BFGS" else found

    def stop(v: Any) -> Any:
        raise StopIteration

    assert minimize(banana, START, method=method, callback=stop).status == 99


def test_an_interrupt_returns_the_best_point() -> None:
    def f(x: Any) -> Any:
        if x[0] < 0.5:
            raise KeyboardInterrupt
        return (x**4).sum()

    found = minimize(f, [2.0, 2.0])
    assert found.fun < 32.0 and "Interrupted" in found.message


def test_an_error_of_the_objective_passes_and_leaves_the_problem_usable() -> None:
    def f(x: Any) -> Any:
        if x[0] < 0.5:
            raise OverflowError("mine")
        return (x**4).sum()

    p = ng.problem(f, [2.0])
    with pytest.raises(OverflowError, match="mine"):
        minimize(p)
    assert_allclose(p.grad([1.0]), 4.0)


def test_a_solve_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = minimize(banana, START)
    for method in ("BFGS", "trust-exact", "trust-ncg", "Nelder-Mead"):
        whole = minimize(banana, START, method=method)
        file = tmp_path / method
        part = minimize(banana, START, method=method, max_evaluations=9, checkpoint=file)
        assert part.status == 99
        with np.load(file) as held:
            kept = len(held["at_fun"])
        assert kept == 9
        rest = minimize(banana, START, method=method, checkpoint=file)
        assert rest.x["x"] == whole.x["x"] and (rest.x["y"] == whole.x["y"]).all()
        assert rest.nfev == whole.nfev
    with pytest.raises(ValueError, match="another solve"):
        minimize(banana, {"x": 5.0, "y": np.ones(1)}, checkpoint=file)
    file.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="no checkpoint"):
        minimize(banana, START, method="Nelder-Mead", checkpoint=file)


# ------------------------------------------------------------------------------- what goes wrong


def test_not_a_number_at_the_start_is_as_in_scipy() -> None:
    f = lambda x: (np.log(x) ** 2).sum()
    with np.errstate(all="ignore"):
        ours = minimize(f, [-1.0, 2.0], method="L-BFGS-B")
        theirs = so.minimize(f, [-1.0, 2.0], jac=ng.grad(f), method="L-BFGS-B")
    assert ours.success == theirs.success and np.isnan(ours.fun)


def test_wrong_settings() -> None:
    with pytest.raises(ValueError, match="max_evaluations must be more than 0"):
        minimize(banana, START, max_evaluations=0)
    with pytest.raises(ValueError, match="Unknown solver"):
        minimize(banana, START, method="simplex")
    with pytest.raises(ValueError, match="a gradient or a Hessian"):
        minimize(lambda x: x * 2, [1.0, 2.0])
