"""SciPy's solvers, handed functions that return tensors, and starts of integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize as so
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.errors import AutogradError

START = np.array([3.0, 4.0, 5.0])


def loss(x: Any) -> Any:
    return ((x - 1.0) ** 2).sum()


def both(x: Any) -> tuple[Any, Any]:
    """Value and gradient as two tensors, as a user of PyTorch writes them."""
    t = ng.tensor(x, requires_grad=True)
    y = loss(t)
    y.backward()
    return y.detach(), t.grad


def curvature(x: Any) -> Any:
    return ng.tensor(2.0 * np.eye(len(x)))


METHODS = ("CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP", "trust-constr")
WITH_HESSIAN = ("Newton-CG", "dogleg", "trust-ncg", "trust-krylov", "trust-exact")


@pytest.mark.parametrize("method", METHODS + WITH_HESSIAN)
def test_minimize_computes_on_in_arrays(method: str) -> None:
    given = {"hess": curvature} if method in WITH_HESSIAN else {}
    found = so.minimize(both, START, jac=True, method=method, **given)
    assert_allclose(found.x, 1.0, atol=1e-3)
    gradient = getattr(found, "jac", found.x)
    assert type(gradient) is np.ndarray or isinstance(gradient, list)


def test_minimize_of_a_tracked_value_says_what_to_write() -> None:
    def tracked(x: Any) -> tuple[Any, Any]:
        t = ng.tensor(x, requires_grad=True)
        return loss(t), 2.0 * (t - 1.0)

    for method in ("BFGS", "L-BFGS-B"):
        with pytest.raises(
            AutogradError,
            match=r"scipy\.optimize\.minimize, at .* write nbgrad\.optimize\.minimize",
        ):
            so.minimize(tracked, START, jac=True, method=method)


@pytest.mark.parametrize("method", ["brent", "golden", "bounded"])
@pytest.mark.parametrize("tensors", [False, True])
def test_scalar_minimizers_give_numbers(method: str, tensors: bool) -> None:
    """The bounded one computes on in what the function returns, and so comes to ask it for tensors."""
    given = {"bounds": (0.0, 3.0)} if method == "bounded" else {}
    at = ng.tensor(1.3) if tensors else 1.3
    f = lambda a: ((ng.tensor(a) - at) ** 2).exp()
    found = so.minimize_scalar(f, method=method, **given)
    assert isinstance(found.x, float) and isinstance(found.fun, float)
    assert_allclose([found.x, found.fun], [1.3, 1.0], rtol=1e-5)
    w = ng.tensor(1.3, requires_grad=True)
    with pytest.raises(
        AutogradError, match=r"scipy\.optimize\.minimize_scalar, at .* write nbgrad\."
    ):
        so.minimize_scalar(lambda a: (a - w) ** 2, method=method, **given)


def test_constraints_residuals_and_equations() -> None:
    t = ng.tensor
    limit = {"type": "ineq", "fun": lambda x: t(x).sum() - 6.0, "jac": lambda x: ng.ones(3)}
    found = so.minimize(both, START, jac=True, method="SLSQP", constraints=limit)
    assert_allclose(found.x, 2.0, atol=1e-6)
    residual, slopes = (lambda x: t(x) ** 2 - 4.0), (lambda x: ng.numpy.diag(2.0 * t(x)))
    for method in ("trf", "dogbox", "lm"):
        found = so.least_squares(residual, START, jac=slopes, method=method)
        assert_allclose(found.x, 2.0, rtol=1e-6)
    for method in ("hybr", "lm"):
        assert_allclose(so.root(residual, START, jac=slopes, method=method).x, 2.0, rtol=1e-6)
    assert_allclose(so.fixed_point(lambda x: np.cos(t(x)), 1.0), 0.7390851332, rtol=1e-8)


# ------------------------------------------------------------------------------ integers to start at


def equations(x: Any) -> Any:
    return ng.numpy.array([x[0] ** 2 + x[1] - 6.0, x[0] - x[1]])


SOLVERS: dict[str, Callable[[], Any]] = {
    "fsolve": lambda: so.fsolve(equations, [3, 3], fprime=ng.jacobian(equations)),
    "compiled": lambda: so.fsolve(
        ng.jit(equations), [3, 3], fprime=ng.jit(ng.jacobian(equations))
    ),
    "root": lambda: so.root(equations, [3, 3], jac=ng.jacobian(equations)).x,
    "least_squares": lambda: so.least_squares(equations, (3, 3), jac=ng.jacobian(equations)).x,
    "minimize": lambda: (
        so.minimize(ng.value_and_grad(lambda x: ((x - 2.0) ** 2).sum()), [3, 4], jac=True).x
    ),
    "curve_fit": lambda: _fit(),
}


def _fit() -> Any:
    x = np.linspace(0.0, 1.0, 20)

    def model(x: Any, a: Any, b: Any) -> Any:
        return a * np.exp(-b * x)

    def slopes(x: Any, a: Any, b: Any) -> Any:
        return np.stack([ng.jacobian(model, k)(x, a, b) for k in (1, 2)], -1)

    return so.curve_fit(model, x, 2.0 * np.exp(-2.0 * x), p0=[1, 1], jac=slopes)[0]


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_start_from_integers(name: str) -> None:
    assert_allclose(SOLVERS[name](), 2.0, rtol=1e-5)


@pytest.mark.parametrize(
    "x",
    [[1, 2], (1, 2), np.array([1, 2], np.int8), ng.tensor([1, 2])],
    ids=lambda x: type(x).__name__,
)
def test_lists_and_arrays_of_integers_become_floats(x: Any) -> None:
    square = lambda x: (x * x).sum()
    for f in (ng.grad(square), lambda x: ng.value_and_grad(square)(x)[1], ng.jit(ng.grad(square))):
        found = f(x)
        assert found.dtype == np.float64
        assert_allclose(found, [2.0, 4.0])
    assert_allclose(ng.hessian(square)(x), 2.0 * np.eye(2))
    assert_allclose(ng.grad(lambda x: x * x)(np.int64(3)), 6.0)


def test_what_is_no_start_still_raises() -> None:
    for x in (3, True, np.array([True]), [True, False]):
        with pytest.raises(TypeError, match=r"3\.0"):
            ng.grad(lambda x: (x * x).sum())(x)
    with pytest.raises(RuntimeError, match="floating point"):
        ng.tensor([1, 2], requires_grad=True)


def test_astype_takes_numpys_keywords() -> None:
    t = ng.tensor([1.5, 2.5])
    assert t.astype(dtype=int, copy=False).tolist() == [1, 2]
    with pytest.raises(TypeError, match="safe"):
        t.astype(int, casting="safe")
