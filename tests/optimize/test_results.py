"""Derivatives of results against differences: minima, roots, searches; bounds, constraints, nests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize as so
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad import optimize

A = np.array([1.0, 2.0])


def bowl(x: Any, a: Any, b: Any = 0.7) -> Any:
    return ((x - a) ** 2).sum() + b * (x[0] * x[1]) ** 2 + 0.1 * (x**4).sum()


def system(x: Any, a: Any) -> Any:
    return np.stack([x[0] ** 2 + x[1] - a[0] * 4, x[0] * x[1] - a[1]])


def misfit(x: Any, a: Any) -> Any:
    return np.stack([x[0] ** 2 - a[0], x[0] * x[1] - a[1], np.sin(x[1]) * a[0] - 0.3])


def squeeze(x: Any, a: Any) -> Any:
    return np.cos(a[0] * x) / a[1] + 0.1 * x[::-1]


def limits(a: Any) -> list[dict[str, Any]]:
    return [
        {"type": "ineq", "fun": lambda x, a: a[0] - x[0] - x[1], "args": (a,)},
        {"type": "eq", "fun": lambda x: x[0] - x[1] ** 2},
    ]


START = [0.3, 0.2]
BOX = [(0.0, 0.2), (0.0, 3.0)]
SOLVED: dict[str, Callable[[Any], Any]] = {
    "bfgs": lambda a: optimize.minimize(bowl, START, (a,), tol=1e-10).x,
    "newton": lambda a: optimize.minimize(bowl, START, (a,), "trust-exact", tol=1e-10).x,
    "by value": lambda a: optimize.minimize(bowl, START, (a,), "Nelder-Mead", tol=1e-12).x,
    "closure": lambda a: optimize.minimize(lambda x: bowl(x, a), START, tol=1e-10).x,
    "bounds": lambda a: optimize.minimize(bowl, START, (a,), bounds=BOX, tol=1e-12).x,
    "constraints": lambda a: optimize.minimize(bowl, START, (a,), constraints=limits(a), tol=1e-12).x,
    "closed constraint": lambda a: (
        optimize.minimize(
            bowl, START, (A,), constraints={"type": "eq", "fun": lambda x: x.sum() - a[0]}, tol=1e-12
        ).x
    ),
    "box and line": lambda a: (
        optimize.minimize(bowl, START, (a,), bounds=BOX, constraints=limits(a)[:1], tol=1e-12).x
    ),
    "interior point": lambda a: (
        optimize.minimize(
            bowl, START, (a,), "trust-constr",
            constraints=so.NonlinearConstraint(lambda x: x[0] * x[1], 0.0, 0.3), tol=1e-12,
        ).x
    ),
    "nested": lambda a: (
        optimize.minimize(lambda v, a: bowl(np.stack([v["p"], v["q"][0]]), a), {"p": 0.3, "q": np.ones(1)}, (a,), tol=1e-10).x["q"]
    ),
    "value": lambda a: optimize.minimize(bowl, START, (a,), tol=1e-10).fun,
    "slope at a bound": lambda a: optimize.minimize(bowl, START, (a,), bounds=BOX, tol=1e-12).jac,
    "residuals": lambda a: optimize.least_squares(misfit, START, args=(a,), xtol=1e-12).fun,
    "columns": lambda a: (
        optimize.least_squares(misfit, START, args=(a,), xtol=1e-12, loss="soft_l1").jac
    ),
    "covariances": lambda a: (
        ng.solvers.least_squares(misfit, START, args=(a,), xtol=1e-12, loss="cauchy").cov
    ),
    "root": lambda a: optimize.root(system, [1.0, 1.0], (a,), tol=1e-13).x,
    "root, lm": lambda a: optimize.root(system, [1.0, 1.0], (a,), "lm", tol=1e-13).x,
    "root, krylov": lambda a: optimize.root(system, [1.5, 1.5], (a,), "krylov", tol=1e-12).x,
    "fixed point": lambda a: optimize.fixed_point(squeeze, [0.5, 0.4], (a,), xtol=1e-12),
    "scalar, newton": lambda a: optimize.root_scalar(lambda x, a: x**3 - a[0] * a[1], (a,), x0=1.0).root,
    "scalar, halley": lambda a: (
        optimize.root_scalar(lambda x, a: x**3 - a[0] * a[1], (a,), "halley", x0=1.0).root
    ),
    "scalar, brent": lambda a: (
        optimize.root_scalar(lambda x: x**3 - a[0] * a[1], bracket=(0, 9), xtol=1e-13).root
    ),
    "basins": lambda a: optimize.basinhopping(bowl, START, 2, rng=1, args=(a,)).x,
    "annealing": lambda a: optimize.dual_annealing(bowl, BOX, (a,), maxiter=5, rng=1).x,
    "evolution": lambda a: optimize.differential_evolution(bowl, BOX, (a,), maxiter=5, rng=1).x,
    "brute": lambda a: optimize.brute(bowl, ((0.0, 2.0), (0.0, 2.0)), (a,), Ns=5),
}  # fmt: skip


@pytest.mark.parametrize("name", SOLVED)
def test_derivatives_of_results_are_those_of_differences(name: str) -> None:
    solved = SOLVED[name]
    found = np.reshape(ng.jacobian(solved)(A), (-1, 2))
    h = 1e-3 if name in ("by value", "basins", "annealing", "evolution", "brute") else 1e-4
    steps = h * np.eye(2)
    differences = [(np.ravel(solved(A + s)) - np.ravel(solved(A - s))) / (2 * h) for s in steps]
    assert_allclose(found, np.stack(differences, -1), rtol=2e-3, atol=2e-4)
    assert np.abs(found).max() > 0.01


def slope(x: Any, a: Any, b: Any = 0.7) -> Any:
    return 2 * (x - a) + 2 * b * x[0] * x[1] * np.stack([x[1], x[0]]) + 0.4 * x**3


# Derivatives of the user's own are for the solver: those of the result come of the conditions all the same.
OWN: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "minimize": ("bfgs", lambda a: optimize.minimize(bowl, START, (a,), jac=slope, tol=1e-10).x),
    "pair": (
        "bfgs",
        lambda a: (
            optimize.minimize(
                lambda x, a: (bowl(x, a), slope(x, a)), START, (a,), jac=True, tol=1e-10
            ).x
        ),
    ),
    "differences": ("bfgs", lambda a: optimize.minimize(bowl, START, (a,), jac="3-point").x),
    "closure": (
        "bfgs",
        lambda a: optimize.minimize(lambda x: bowl(x, a), START, jac="3-point").x,
    ),
    "root": ("root", lambda a: optimize.root(system, [1.0, 1.0], (a,), jac=rows, tol=1e-13).x),
    "squares": (
        "root",
        lambda a: optimize.least_squares(system, [1.0, 1.0], rows, args=(a,), xtol=1e-13).x,
    ),
    "scalar": (
        "scalar, newton",
        lambda a: (
            optimize.root_scalar(
                lambda x, a: x**3 - a[0] * a[1], (a,), x0=1.0, fprime=lambda x, a: 3 * x**2
            ).root
        ),
    ),
    "scalar pair": (
        "scalar, newton",
        lambda a: (
            optimize.root_scalar(
                lambda x, a: (x**3 - a[0] * a[1], 3 * x**2), (a,), "newton", x0=1.0, fprime=True
            ).root
        ),
    ),
}


def rows(x: Any, a: Any) -> Any:
    return np.array([[2 * x[0], 1.0], [x[1], x[0]]])


@pytest.mark.parametrize("name", OWN)
def test_derivatives_of_results_where_the_user_gave_those_of_the_function(name: str) -> None:
    same, solved = OWN[name]
    expected = ng.jacobian(SOLVED[same])(A)
    assert_allclose(ng.jacobian(solved)(A), expected, rtol=1e-4, atol=1e-5)
    assert_allclose(ng.jit(solved)(A), SOLVED[same](A), rtol=1e-5)


def test_what_takes_arrays_alone_is_solved_with_the_users_derivatives() -> None:
    import math

    found = optimize.minimize(
        lambda x: math.cosh(x[0] - 1.0), [0.0], jac=lambda x: [math.sinh(x[0] - 1.0)]
    )
    assert_allclose(found.x, 1.0, atol=1e-5)


def test_results_of_numbers_are_arrays() -> None:
    found = optimize.minimize(bowl, START, (A,))
    assert type(found.x) is np.ndarray and isinstance(found.fun, float)


def test_second_derivatives_of_a_result() -> None:
    total = lambda a: optimize.minimize(bowl, START, (a,), "trust-exact", tol=1e-12).x.sum()
    steps = 1e-4 * np.eye(2)
    slopes = [(ng.grad(total)(A + s) - ng.grad(total)(A - s)) / 2e-4 for s in steps]
    assert_allclose(ng.hessian(total)(A), np.stack(slopes, -1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["bfgs", "closure", "constraints", "root", "scalar, brent"])
def test_solvers_inside_of_compiled_functions(name: str) -> None:
    solved = SOLVED[name]
    assert_allclose(ng.jit(solved)(A), solved(A), rtol=1e-6)
    assert_allclose(ng.jit(ng.jacobian(solved))(A), ng.jacobian(solved)(A), rtol=1e-4, atol=1e-6)
    if name != "constraints":
        many = ng.vmap(solved)(np.stack([A, 1.5 * A]))
        assert_allclose(many, np.stack([solved(A), solved(1.5 * A)]), rtol=1e-5)


def test_counts_of_roots_are_those_of_jacobians_by_hand() -> None:
    by_hand = lambda x: np.array([[2 * x[0], 1.0], [x[1], x[0]]])
    for method in ("hybr", "lm"):
        theirs = so.root(lambda x: system(x, A), [1.0, 1.0], jac=by_hand, method=method)
        ours = optimize.root(system, [1.0, 1.0], (A,), method)
        assert ours.nfev <= theirs.nfev and ours.njev <= theirs.njev
        assert_allclose(ours.x, theirs.x)


def test_searches_find_nested_parameters_and_go_on(tmp_path: Any) -> None:
    wavy = lambda v: (1 - np.cos(3 * v["p"])) + v["p"] ** 2 / 10 + ((v["q"] - 1) ** 2).sum()
    low, high = {"p": -5.0, "q": np.zeros(2)}, {"p": 6.0, "q": np.full(2, 3.0)}
    for name in ("dual_annealing", "differential_evolution"):
        search = getattr(optimize, name)
        whole = search(wavy, (low, high), maxiter=20, rng=3)
        assert_allclose(whole.x["q"], 1.0, atol=1e-3)
        file = tmp_path / name
        assert (
            search(
                wavy, (low, high), maxiter=20, rng=3, max_evaluations=50, checkpoint=file
            ).status
            == 99
        )
        rest = search(wavy, (low, high), maxiter=20, rng=3, checkpoint=file)
        assert rest.fun == whole.fun and (rest.x["q"] == whole.x["q"]).all()
    found = optimize.basinhopping(wavy, {"p": 4.0, "q": np.zeros(2)}, 10, stepsize=3.0, rng=1)
    assert_allclose(found.x["p"], 0.0, atol=1e-4)


def test_roots_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="different signs"):
        optimize.root_scalar(lambda x: x**2 + 1, bracket=(0.0, 1.0))
    with pytest.raises(ValueError, match="x0 to start from"):
        optimize.root_scalar(lambda x: x)
    found = optimize.root(lambda x: np.stack([x[0] - x[1], x[0] - x[1] - 1.0]), [1.0, 2.0])
    assert not found.success
    seen: list[Any] = []
    optimize.root(system, [1.0, 1.0], (A,), callback=lambda x: seen.append(x))
    assert seen
    assert optimize.root(system, [1.0, 1.0], (A,), max_evaluations=2).status == 99


def test_a_fixed_point_of_numbers_is_a_number_as_in_scipy() -> None:
    found = lambda a: optimize.fixed_point(lambda x, a: np.cos(a * x), 0.5, (a,))
    assert np.shape(found(1.0)) == np.shape(so.fixed_point(np.cos, 0.5)) == ()
    assert_allclose(ng.grad(found)(1.0), -0.29747434, rtol=1e-7)


def test_what_a_wrapped_function_reads_from_outside_is_looked_at_again() -> None:
    """Nested parameters, data and numbers are taken apart by functions of ours around the user's."""
    centre = {"at": 1.0}
    away = lambda v: (v["a"] - centre["at"]) ** 2
    for centre["at"] in (1.0, 2.0):
        assert_allclose(optimize.minimize(away, {"a": 0.0}).x["a"], centre["at"], atol=1e-6)
    t = np.linspace(0.0, 1.0, 5)
    c = ng.tensor(8.0, requires_grad=True)
    for solved, slope in (
        (lambda: optimize.minimize(lambda v: (v["a"] - c) ** 2, {"a": 0.0}).x["a"], 1.0),
        (lambda: optimize.root(lambda v: {"b": v["a"] ** 3 - c}, {"a": 1.0}).x["a"], 1 / 12),
        (lambda: optimize.root_scalar(lambda x: x**3 - c, bracket=(0.0, 5.0)).root, 1 / 12),
        (lambda: optimize.curve_fit(lambda t, u: u * t + c * t, t, 9 * t)[0].sum(), -1.0),
    ):
        c.grad = None
        solved().backward()
        assert_allclose(c.grad.numpy(), slope, rtol=1e-6)
