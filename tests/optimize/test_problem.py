"""``nbgrad.problem``: derivatives as functions of vectors, and what is kept at a point."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.optimize as so
from numpy.testing import assert_allclose

import nbgrad as ng


def banana(x: Any, steep: Any = 100.0) -> Any:
    return (steep * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def residuals(x: Any) -> Any:
    return np.stack([x[0] * x[1] - 1.0, np.exp(x[0]), x[1] ** 3])


AT = np.array([-1.2, 1.0, 0.7])


def test_derivatives_are_those_of_differences() -> None:
    p = ng.problem(banana, AT)
    assert_allclose(p.fun(AT), banana(AT))
    assert_allclose(p.grad(AT), so.approx_fprime(AT, banana, 1e-7), rtol=1e-4)
    columns = [(p.grad(AT + h) - p.grad(AT - h)) / 2e-5 for h in 1e-5 * np.eye(3)]
    assert_allclose(p.hess(AT), np.stack(columns), rtol=1e-6, atol=1e-4)
    v = np.array([1.0, -2.0, 0.5])
    assert_allclose(p.hessp(AT, v), p.hess(AT) @ v)
    assert_allclose(p.linear_operator(AT) @ v, p.hess(AT) @ v)
    r = ng.problem(residuals, AT[:2])
    columns = [(residuals(AT[:2] + h) - residuals(AT[:2] - h)) / 2e-6 for h in 1e-6 * np.eye(2)]
    assert_allclose(r.jac(AT[:2]), np.stack(columns, -1), rtol=1e-7, atol=1e-8)
    operator = r.linear_operator(AT[:2])
    assert_allclose(operator @ v[:2], r.jac(AT[:2]) @ v[:2])
    assert_allclose(operator.T @ v, v @ r.jac(AT[:2]))


NESTS = {
    "dict": {"a": 1.0, "b": np.array([1.0, 2.0])},
    "integers": {"a": 1, "b": [1, 2]},
    "tuple": (1.0, (np.ones((1, 2)),)),
    "matrix": np.ones((3, 1)),
    "single": {"a": np.float32(1.0), "b": np.ones(2, np.float32)},
}


@pytest.mark.parametrize("name", NESTS)
def test_parameters_come_nested_and_go_flat(name: str) -> None:
    x0 = NESTS[name]
    total = lambda nest: sum(
        (leaf**2).sum() if np.ndim(leaf) else leaf**2 for leaf in ng.tree.leaves(nest)
    )
    p = ng.problem(total, x0)
    x = p.x0
    assert x.dtype == float and x.shape == (3,)
    assert_allclose(p.grad(x), 2 * x)
    assert p.grad(x).dtype == float
    nested = p.nested(p.grad(x))
    assert ng.tree.structure(nested) == ng.tree.structure(p.nested(x))
    assert_allclose(p.fun(p.nested(x)), p.fun(x))


def test_what_is_kept_is_told_by_value() -> None:
    """MINPACK and BDF change one object in place."""
    p = ng.problem(banana, AT)
    x = AT.copy()
    first = p.grad(x)
    x[0] = 3.0
    assert_allclose(p.grad(x), ng.grad(banana)(x))
    assert_allclose(p.fun(x), banana(x))
    x[:] = AT
    assert_allclose(p.grad(x), first)


def test_what_is_handed_out_is_the_callers() -> None:
    """SciPy's robust losses scale a Jacobian in place."""
    p, r = ng.problem(banana, AT), ng.problem(residuals, AT[:2])
    for f, x in ((p.grad, AT), (p.hess, AT), (r.jac, AT[:2]), (r.fun, AT[:2])):
        first = f(x)
        kept = first.copy()
        first *= 0.0
        assert_allclose(f(x), kept)


def test_value_and_gradient_share_a_sweep() -> None:
    runs = []

    def f(x: Any) -> Any:
        runs.append(x[0].item())  # looks at a value: runs each time
        return (x**2).sum()

    p = ng.problem(f, AT)
    p.fun(AT)
    before = len(runs)
    p.fun(AT + 1.0), p.grad(AT + 1.0), p.value_and_grad(AT + 1.0), p.fun(AT + 1.0)
    assert len(runs) == before + 1


def test_constraints_come_with_the_value() -> None:
    runs = []

    def f(x: Any) -> Any:
        runs.append(x[0].item())
        return (x**2).sum()

    def held(x: Any) -> Any:
        runs.append(x[0].item())
        return np.stack([x[0] * x[1], x[2]])

    limit = so.NonlinearConstraint(held, 0.0, 1.0)
    p = ng.problem(f, AT, constraints=[limit, {"type": "eq", "fun": lambda x: x.sum()}])
    p.value_and_grad(AT)
    first, second = p.constraints
    assert_allclose(first.value(AT), [-1.2, 0.7])
    before = len(runs)
    assert_allclose(first.jac(AT), [[1.0, -1.2, 0.0], [0.0, 0.0, 1.0]])
    assert_allclose([second.value(AT), second.jac(AT)[0, :1]], [[0.5], [1.0]])
    p.fun(AT), p.grad(AT)
    assert len(runs) == before
    assert_allclose(first.jac(2 * AT), [[2.0, -2.4, 0.0], [0.0, 0.0, 1.0]])
    assert_allclose(p.fun(2 * AT), 4 * (AT**2).sum())


def test_sparse_derivatives_are_the_dense_ones() -> None:
    x = np.linspace(-1.0, 1.0, 8)
    p = ng.problem(lambda x, a: (a * x[1:] * x[:-1] ** 2).sum(), x, args=(3.0,))
    r = ng.problem(lambda x, a: a * x[1:] * x[:-1] ** 2, x, args=(3.0,))
    for at in (x, x + 1.0):
        assert_allclose(p.hess_sparse(at).toarray(), p.hess(at))
        assert_allclose(r.jac_sparse(at).toarray(), r.jac(at))


def test_it_pickles() -> None:
    p = pickle.loads(pickle.dumps(ng.problem(banana, AT, args=(3.0,), bounds=[(0, 2)] * 3)))
    assert_allclose(p.grad(AT), ng.grad(banana)(AT, 3.0))
    assert_allclose(p.bounds[1], 2.0)


def test_lagrangian_and_constraints() -> None:
    limits = [
        {"type": "ineq", "fun": lambda x: x[0] * x[1] ** 2},
        so.NonlinearConstraint(lambda x: np.stack([x[0] ** 3, x[2]]), 0.0, 1.0),
        so.LinearConstraint([[1.0, 2.0, 3.0]], 0.0, 1.0),
    ]
    p = ng.problem(banana, AT, constraints=limits)
    v = np.array([2.0, 3.0, 4.0, 5.0])
    whole = lambda x: 0.5 * banana(x) + 2 * x[0] * x[1] ** 2 + 3 * x[0] ** 3
    assert_allclose(p.lagrangian_hess(AT, v, 0.5), ng.hessian(whole)(AT))
    with pytest.raises(ValueError, match=r"4 values"):
        p.lagrangian_hess(AT, [1.0])


def test_discontinuous_objectives_run_as_they_are() -> None:
    def f(x: Any) -> Any:
        return (x**2).sum() if x[0] > 0 else (x**3).sum()

    p = ng.problem(f, AT)
    assert_allclose(p.grad(AT), 3 * AT**2)
    assert_allclose(p.grad(-AT), -2 * AT)
    assert_allclose(p.hess(-AT), 2 * np.eye(3))


def test_results_that_are_lists() -> None:
    r = ng.problem(lambda x: [x[0] * x[1], x[1] + 1.0], [2.0, 3.0])
    assert_allclose(r.fun([2.0, 3.0]), [6.0, 4.0])
    assert_allclose(r.jac([2.0, 3.0]), [[3.0, 2.0], [0.0, 1.0]])


def test_one_value_with_dimensions() -> None:
    p = ng.problem(lambda x: x[:1] ** 2, [3.0])
    assert_allclose(p.grad([3.0]), [6.0])
    assert_allclose(p.jac([3.0]), [[6.0]])


WRONG = {
    "size of x": (lambda: ng.problem(banana, AT).fun(np.ones(4)), ValueError, "4 numbers"),
    "no numbers": (lambda: ng.problem(banana, {}), ValueError, "no numbers"),
    "complex": (lambda: ng.problem(banana, AT + 1j), TypeError, "real and imaginary"),
    "text": (lambda: ng.problem(banana, ["a"]), TypeError, "no array of numbers"),
    "vector": (lambda: ng.problem(residuals, AT).grad(AT), ValueError, "ask for jac"),
    "no function": (lambda: ng.problem(3.0, AT), TypeError, "function"),  # type: ignore[arg-type]
    "bounds": (lambda: ng.problem(banana, AT, bounds=[(0, 1)] * 2), ValueError, "3 elements"),
    "crossed": (lambda: ng.problem(banana, AT, bounds=[(1, 0)] * 3), ValueError, "element 0"),
    "kind": (lambda: ng.problem(banana, AT, constraints={"type": "le"}), ValueError, "'ineq'"),
    "matrix": (
        lambda: ng.problem(banana, AT, constraints=so.LinearConstraint(np.eye(2), 0, 1)),
        ValueError,
        "3 unknowns",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_errors(name: str) -> None:
    call, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        call()


BOUNDS = {
    "pairs": ([(0, 1), (None, 2), (-1, None)], [0, -np.inf, -1], [1, 2, np.inf]),
    "scipy": (so.Bounds(0, [1, 2, 3]), [0, 0, 0], [1, 2, 3]),
    "nested": (({"a": 0.0, "b": [1.0, 2.0]}, {"a": 5, "b": 6.0}), [0, 1, 2], [5, 6, 6]),
    "numbers": ((0.0, None), [0, 0, 0], [np.inf] * 3),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds(name: str) -> None:
    given, lower, upper = BOUNDS[name]
    x0 = {"a": 1.0, "b": np.ones(2)}
    p = ng.problem(lambda v: v["a"], x0, bounds=given)
    assert_allclose(p.bounds, [lower, upper])
