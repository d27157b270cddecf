"""Solvers of other packages, each with the real package where that is installed."""

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


def bowl(x: Any, a: Any = A) -> Any:
    return ((x - a) ** 2).sum() + 0.7 * (x[0] * x[1]) ** 2 + 0.1 * (x**4).sum()


BEST = so.minimize(bowl, START, jac=ng.grad(bowl), tol=1e-10).x
METHODS = ["iminuit", "nlopt", "optimagic", "casadi"]


def method(name: str) -> Any:
    pytest.importorskip(name)
    return getattr(adapters, name)


@pytest.mark.parametrize("name", METHODS)
def test_minima_bounds_and_derivatives_of_results(name: str) -> None:
    solver = method(name)
    found = minimize(bowl, START, method=solver)
    assert found.success and found.nfev < 60
    assert_allclose(found.x, BEST, atol=1e-4)
    held = minimize(bowl, [0.1, 0.2], method=solver, bounds=[(0.0, 0.2), (None, 3.0)])
    assert_allclose(held.x[0], 0.2, atol=1e-4)
    nested = minimize(
        lambda v: bowl(np.stack([v["p"], v["q"]])), {"p": 0.3, "q": 0.2}, method=solver
    )
    assert_allclose([nested.x["p"], nested.x["q"]], BEST, atol=1e-4)
    slope = ng.grad(lambda a: minimize(bowl, START, (a,), solver).x.sum())(A)
    assert_allclose(slope, ng.grad(lambda a: minimize(bowl, START, (a,)).x.sum())(A), atol=1e-3)
    theirs = so.minimize(bowl, START, jac=ng.grad(bowl), method=solver)
    assert_allclose(theirs.x, BEST, atol=1e-4)


CONSTRAINTS = [
    {"type": "ineq", "fun": lambda x: 1.2 - x[0] - x[1]},
    so.NonlinearConstraint(
        lambda x: np.stack([x[0] - x[1] ** 2, x[0] * x[1]]), [0.0, -1.0], [0.0, 9.0]
    ),
]


@pytest.mark.parametrize("name", ["nlopt", "casadi"])
def test_constraints(name: str) -> None:
    found = minimize(bowl, START, method=method(name), constraints=CONSTRAINTS)
    theirs = minimize(bowl, START, constraints=CONSTRAINTS, tol=1e-10)
    assert_allclose(found.x, theirs.x, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_errors_of_the_objective_pass(name: str) -> None:
    solver = method(name)

    def f(x: Any) -> Any:
        if x[0] > 0.5:
            raise OverflowError("mine")
        return ((x - 1) ** 2).sum()

    with pytest.raises(OverflowError, match="mine"):
        minimize(f, START, method=solver)
    if name in ("iminuit", "optimagic"):
        with pytest.raises(ValueError, match="no constraints"):
            minimize(bowl, START, method=solver, constraints=CONSTRAINTS)
    with pytest.raises(ValueError, match="needs a gradient"):
        solver(bowl, START)


def test_errors_of_parameters_by_minuit() -> None:
    found = minimize(lambda x: ((x - 2) ** 2 / 9).sum(), [0.0, 1.0], method=method("iminuit"))
    assert_allclose(found.stderr, 3.0, rtol=1e-3)
    assert found.minuit.ngrad > 0


def test_what_nlopt_refuses_is_no_success() -> None:
    """Whatever NLopt raised was taken for a limit of rounding, and the start for a minimum."""
    with pytest.raises(ValueError, match="GN_MLSL refused the problem"):
        minimize(bowl, START, method=method("nlopt"), options={"algorithm": "GN_MLSL"})


def test_algorithms_of_nlopt() -> None:
    solver = method("nlopt")
    for name in ("LD_MMA", "LN_NELDERMEAD", "LD_TNEWTON"):
        found = minimize(bowl, START, method=solver, options={"algorithm": name})
        assert_allclose(found.x, BEST, atol=1e-3)
    with pytest.raises(ValueError, match="no algorithm"):
        minimize(bowl, START, method=solver, options={"algorithm": "LD_NONE"})
    assert minimize(bowl, START, method=solver, max_evaluations=3).status == 99


def test_parameters_of_lmfit() -> None:
    lmfit = pytest.importorskip("lmfit")
    t = np.linspace(0.0, 1.0, 15)
    y = 2.0 * np.exp(-3.0 * t) + 0.1 * np.sin(20 * t)
    misfit = lambda v: v["size"] * np.exp(-v["rate"][0] * t) - y
    p = ng.problem(
        misfit,
        {"size": 1.0, "rate": np.ones(1)},
        bounds=({"size": 0.0, "rate": -np.inf}, (5.0, 9.0)),
    )
    found = adapters.lmfit(p)
    theirs = ng.optimize.curve_fit(lambda t, a, b: a * np.exp(-b * t), t, y)
    assert list(found.params) == ["size", "rate_0"]
    assert_allclose([found.x["size"], found.x["rate"][0]], theirs.popt, rtol=1e-4)
    assert_allclose([found.params[n].stderr for n in found.params], theirs.stderr, rtol=1e-2)
    given = lmfit.Parameters()
    given.add("size", value=2.0, vary=False)
    given.add("rate", value=1.0)
    held = adapters.lmfit(p, given)
    assert held.params["size"].value == 2.0
    assert_allclose(
        held.params["rate"].value,
        so.curve_fit(lambda t, b: 2 * np.exp(-b * t), t, y)[0],
        rtol=1e-4,
    )
    given.pop("size")
    with pytest.raises(ValueError, match="1 parameters"):
        adapters.lmfit(p, given)


@pytest.mark.parametrize("name", [*METHODS, "lmfit"])
def test_what_is_not_installed_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"pip install {name}"):
        getattr(adapters, name)(
            *([ng.problem(bowl, START)] if name == "lmfit" else [bowl, START, (), ng.grad(bowl)])
        )
