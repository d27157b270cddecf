"""Derivatives of a root, a linear solve, a fixed point and an optimum agree with finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.errors import AutogradError

functional = ng.autograd.functional
RNG = np.random.default_rng(3)
A = RNG.normal(size=(3, 3)) + 4 * np.eye(3)
B = RNG.normal(size=3)


def differences(f: Any, x: Any, eps: float = 1e-5) -> Any:
    """The Jacobian by central differences, with the last axis that of *x*."""
    x = np.asarray(x, float)
    columns = []
    for k in range(x.size):
        step = np.zeros(x.size)
        step[k] = eps
        step = step.reshape(x.shape)
        columns.append((np.asarray(f(x + step)) - np.asarray(f(x - step))) / (2 * eps))
    found = np.stack(columns, -1)
    return found.reshape((*found.shape[:-1], *x.shape))


def newton(f: Any, x: Any) -> Any:
    """A solver of values: it looks at them."""
    for _ in range(60):
        step = np.linalg.solve(ng.jacobian(f)(x), f(x))
        x = x - step
        if float(abs(step).max()) < 1e-14:
            break
    return x


def cube_root(a: Any) -> Any:
    return ng.custom_root(lambda x: x**3 + x - a, np.full(3, 0.5), newton)


def solved(a: Any, b: Any = B) -> Any:
    def solve(matvec: Any, rhs: Any) -> Any:
        matrix = np.stack([matvec(ng.tensor(e)).numpy() for e in np.eye(3)], 1)
        return np.linalg.solve(matrix, rhs.numpy())

    return ng.custom_linear_solve(lambda x: a @ x, b, solve)


def fixed(a: Any) -> Any:
    return ng.fixed_point(lambda x: np.cos(a * x) / 2 + 0.1 * x.sum(), np.full(3, 0.3))


def best(a: Any) -> Any:
    return ng.minimizer(lambda x: (np.cosh(x - a) + x**4 / 4).sum() + x[0] * x[1] / 3, np.zeros(3))


SHOWS = {"root": cube_root, "fixed_point": fixed, "minimizer": best}
POINT = np.array([0.7, 1.3, -0.4])


@pytest.mark.parametrize("name", SHOWS)
class TestShows:
    def test_jacobians_in_both_modes(self, name: str) -> None:
        f = SHOWS[name]
        wanted = differences(f, POINT)
        v = np.array([0.3, -1.0, 2.0])
        for t in (lambda g: g, ng.jit):
            assert_allclose(t(ng.jacobian(f))(POINT), wanted, atol=1e-8)
            gradient = t(ng.grad(lambda a: (f(a) * v).sum()))
            assert_allclose(gradient(POINT), v @ wanted, atol=1e-8)
            _, tangent = functional.jvp(t(f), ng.tensor(POINT), ng.tensor(v))
            assert_allclose(tangent, wanted @ v, atol=1e-8)

    def test_order_two(self, name: str) -> None:
        f = lambda a: (SHOWS[name](a) ** 2).sum()
        wanted = differences(ng.grad(f), POINT)
        assert_allclose(ng.hessian(f)(POINT), wanted, atol=1e-7)
        assert_allclose(ng.jit(ng.hessian(f))(POINT), wanted, atol=1e-7)
        assert_allclose(ng.hessian(ng.jit(f))(POINT), wanted, atol=1e-7)

    def test_vmap(self, name: str) -> None:
        f = SHOWS[name]
        points = np.stack([POINT, POINT[::-1]])
        each = np.stack([f(p) for p in points])
        assert_allclose(ng.vmap(f)(points), each, rtol=1e-10)
        rows = np.stack([ng.jacobian(f)(p) for p in points])
        assert_allclose(ng.vmap(ng.jacobian(f))(points), rows, rtol=1e-9, atol=1e-12)
        total = ng.grad(lambda ps: (ng.vmap(f)(ps) ** 2).sum())(points)
        wanted = np.stack([2 * f(p) @ ng.jacobian(f)(p) for p in points])
        assert_allclose(total, wanted, rtol=1e-9)
        nested = ng.vmap(ng.vmap(ng.grad(lambda a: f(a).sum())))(np.stack([points, points + 0.1]))
        assert_allclose(nested[0], rows.sum(1), rtol=1e-9, atol=1e-12)

    def test_arrays_in_arrays_out(self, name: str) -> None:
        f = SHOWS[name]
        assert isinstance(f(POINT), np.ndarray)
        assert isinstance(f(ng.tensor(POINT, requires_grad=True)), ng.Tensor)
        assert_allclose(ng.jit(f)(POINT), f(POINT), rtol=1e-11)


def test_a_linear_solve() -> None:
    f = lambda a, b: (solved(a, b) ** 3).sum()
    plain = lambda a, b: (np.linalg.solve(a, b) ** 3).sum()
    for t in (lambda g: g, ng.jit):
        for k in (0, 1):
            assert_allclose(t(ng.grad(f, k))(A, B), ng.grad(plain, k)(A, B), rtol=1e-11)
            assert_allclose(
                t(ng.hessian(f, k))(A, B), ng.hessian(plain, k)(A, B), rtol=1e-9, atol=1e-13
            )
    assert_allclose(ng.grad(f)(A, B), differences(lambda a: f(a, B), A), atol=1e-8)


def test_a_linear_solve_by_the_users_solvers_alone() -> None:
    """Both are asked: one forward, the other for gradients, and at order two again."""
    asked = []

    def solver(name: str) -> Any:
        def solve(matvec: Any, b: Any) -> Any:
            asked.append(name)
            x = b * 0
            for _ in range(60):  # Richardson's iteration
                x = x + (b - matvec(x)) / 5
            return x

        return solve

    a, b = np.array([[4.0, 1.0], [0.5, 3.0]]), np.array([1.0, 2.0])

    def f(a: Any, b: Any) -> Any:
        x = ng.custom_linear_solve(lambda x: a @ x, b, solver("a"), solver("b"))
        return (x**3).sum()

    plain = lambda a, b: (np.linalg.solve(a, b) ** 3).sum()
    assert_allclose(ng.grad(f, (0, 1))(a, b)[0], ng.grad(plain)(a, b), rtol=1e-10)
    assert "a" in asked and "b" in asked
    assert_allclose(ng.hessian(f)(a, b), ng.hessian(plain)(a, b), rtol=1e-8, atol=1e-12)
    assert_allclose(ng.jit(ng.hessian(f, 1))(a, b), ng.hessian(plain, 1)(a, b), rtol=1e-8)
    s = a + a.T
    one = lambda s, b: ng.custom_linear_solve(
        lambda x: s @ x, b, solver("s"), symmetric=True
    ).sum()
    assert_allclose(ng.grad(one, 1)(s / 2, b), np.linalg.solve(s / 2, np.ones(2)), rtol=1e-9)
    assert set(asked) == {"a", "b", "s"}


def test_tangent_solvers_that_are_traced_or_look_at_values() -> None:
    def looking(g: Any, y: Any) -> Any:
        assert float(abs(y).sum()) >= 0
        return np.linalg.solve(ng.jacobian(g)(y), y)

    solvers = (lambda g, y: y / g(ng.tensor(1.0)), lambda g, y: y / float(g(ng.tensor(1.0))))
    for tangent in solvers:
        f = lambda a, s=tangent: ng.custom_root(
            lambda x: x**3 - a, 1.0, lambda f, x: x * 0 + 2.0, tangent_solve=s
        )
        for t in (lambda g: g, ng.jit):
            assert_allclose(t(ng.grad(f))(8.0), 1 / 12, rtol=1e-13)
            assert_allclose(t(ng.grad(ng.grad(f)))(8.0), -2 / 9 * 8 ** (-5 / 3), rtol=1e-12)
            assert_allclose(t(ng.vmap(ng.grad(f)))(np.array([8.0, 8.0])), [1 / 12] * 2, rtol=1e-12)
    g = lambda a: ng.custom_root(lambda x: x**3 + x - a, POINT * 0, newton, looking).sum()
    plain = lambda a: cube_root(a).sum()
    for t in (lambda g: g, ng.jit):
        assert_allclose(t(ng.grad(g))(POINT), ng.grad(plain)(POINT), rtol=1e-10)


def test_bilevel_ridge_regression() -> None:
    """The validation loss of the ridge's weights, by the penalty of each feature."""
    x, y = RNG.normal(size=(20, 4)), RNG.normal(size=20)
    xv, yv = RNG.normal(size=(10, 4)), RNG.normal(size=10)

    def inner(penalty: Any) -> Any:
        loss = lambda w: ((x @ w - y) ** 2).sum() + (np.exp(penalty) * w**2).sum()
        return ng.minimizer(loss, np.zeros(4))

    outer = lambda penalty: ((xv @ inner(penalty) - yv) ** 2).mean()
    closed = lambda p: (
        (xv @ np.linalg.solve(x.T @ x + np.diag(np.exp(p)), x.T @ y) - yv) ** 2
    ).mean()
    p = np.array([-1.0, 0.0, 1.0, 0.5])
    wanted = differences(outer, p)
    assert_allclose(ng.grad(outer)(p), wanted, atol=1e-6)
    assert_allclose(ng.grad(outer)(p), ng.grad(closed)(p), rtol=1e-8)
    assert_allclose(ng.jit(ng.grad(outer))(p), wanted, atol=1e-6)
    assert_allclose(ng.hessian(outer)(p), ng.hessian(closed)(p), rtol=1e-6, atol=1e-9)


def test_a_solver_of_scipys() -> None:
    optimize = pytest.importorskip("scipy.optimize")

    def solve(fun: Any, x: Any) -> Any:
        slope = ng.grad(fun)
        return optimize.minimize(
            lambda v: float(fun(v)), x.numpy(), jac=lambda v: np.asarray(slope(v)), tol=1e-12
        ).x

    f = lambda a: (
        ng.minimizer(lambda x: ((x - a) ** 2).sum() + (x**4).sum(), POINT, solve) ** 2
    ).sum()
    assert_allclose(ng.grad(f)(POINT), differences(f, POINT, 1e-4), atol=1e-5)
    assert_allclose(ng.jit(ng.grad(f))(POINT), ng.grad(f)(POINT), rtol=1e-6)


def test_nested_values() -> None:
    def f(a: Any) -> Any:
        equations = lambda p: {"x": p["x"] ** 2 - a * p["y"][0], "y": [p["y"][0] - a.sum()]}
        start = {"x": np.ones(3), "y": [1.0]}

        def solve(f: Any, p: Any) -> Any:
            y = p["y"][0] - f(p)["y"][0]
            for _ in range(50):
                q = {"x": p["x"], "y": [y]}
                p = {"x": p["x"] - f(q)["x"] / (2 * p["x"]), "y": [y]}
            return p

        found = ng.custom_root(equations, start, solve)
        return (found["x"] * np.arange(3.0)).sum() + found["y"][0]

    a = np.array([0.5, 1.5, 2.0])
    wanted = differences(f, a)
    for t in (lambda g: g, ng.jit):
        assert_allclose(t(ng.grad(f))(a), wanted, atol=1e-7)


def test_in_a_loop() -> None:
    def f(a: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            c = ng.custom_root(lambda r: r**3 + r - c * x, 0.5, lambda f, r: _fixed_newton(f, r))
            return c, c

        return ng.scan(step, a, np.array([2.0, 3.0, 4.0]))[1].sum()

    assert_allclose(ng.grad(f)(0.7), differences(f, 0.7).item(), atol=1e-7)
    assert_allclose(
        ng.jit(ng.grad(ng.grad(f)))(0.7), differences(ng.grad(f), 0.7).item(), atol=1e-6
    )


def _fixed_newton(f: Any, r: Any) -> Any:
    for _ in range(30):
        r = r - f(r) / (3 * r * r + 1)
    return r


def test_what_cannot_be_solved() -> None:
    with pytest.raises(AutogradError, match="no fixed point was found in 20 steps"):
        ng.fixed_point(lambda x: 2 * x + 1, 1.0, max_steps=20)
    with pytest.raises(AutogradError, match="no minimum was found"):
        ng.minimizer(lambda x: -(x**2), 1.0, max_steps=5)
    with pytest.raises(ValueError, match="nested and shaped alike"):
        ng.custom_root(lambda x: x[:2], np.ones(3), newton)
    with pytest.raises(ValueError, match="what the solver returns has shapes"):
        ng.custom_root(lambda x: x, np.ones(3), lambda f, x: x[:2])
    with pytest.raises(TypeError, match="str is no array"):
        ng.custom_root(lambda x: x, "a", newton)
    with pytest.raises(TypeError, match="complex"):
        ng.custom_root(lambda x: x, 1j, newton)
    with pytest.raises(RuntimeError, match="my own"):
        ng.custom_root(lambda x: x, 1.0, _failing)
    with pytest.raises(RuntimeError, match="my own"):
        ng.jit(lambda a: ng.custom_root(lambda x: x - a, 1.0, _failing_on_values))(2.0)


def _failing(f: Any, x: Any) -> Any:
    raise RuntimeError("my own")


def _failing_on_values(f: Any, x: Any) -> Any:
    assert float(x) == 1.0
    raise RuntimeError("my own")


def _counted(f: Any, x: Any) -> Any:
    """Newton's method, how many steps it took, and how much is left."""
    steps = 0
    while abs(float(f(x))) > 1e-12:
        x, steps = x - f(x) / ng.grad(f)(x), steps + 1
    return x, {"steps": steps, "left": f(x), "nothing": None}


def test_what_a_solver_returns_beside_the_root() -> None:
    root = lambda a: ng.custom_root(lambda x: x**3 - a, 1.0, _counted, has_aux=True)
    x, more = root(8.0)
    assert float(x) == pytest.approx(2.0) and more["nothing"] is None
    assert more["steps"] == 7 and isinstance(more["left"], np.floating)
    gradient, more = ng.grad(root, has_aux=True)(8.0)
    assert float(gradient) == pytest.approx(1 / 12) and more["steps"] == 7
    # No derivative passes it.
    assert float(ng.grad(lambda a: root(a)[1]["left"] + 0.0 * a)(8.0)) == 0.0
    start = ng.tensor(1.0)
    more = ng.custom_root(lambda x: x**3 - 8.0, start, _counted, has_aux=True)[1]
    assert isinstance(more["left"], ng.Tensor)


def test_what_a_traced_solver_returns_beside_the_root() -> None:
    def iterated(f: Any, x: Any) -> Any:
        step = lambda c: (c[0] - f(c[0]) / ng.grad(f)(c[0]), c[1] + 1)
        return ng.while_loop(lambda c: abs(f(c[0])) > 1e-12, step, (x, 0))

    root = lambda a: ng.custom_root(lambda x: x**3 - a, 1.0, iterated, has_aux=True)
    (x, steps), gradient = ng.jit(ng.value_and_grad(root, has_aux=True))(8.0)
    assert (float(x), int(steps)) == (pytest.approx(2.0), 7)
    assert float(gradient) == pytest.approx(1 / 12)
    xs, steps = ng.vmap(root)(np.array([8.0, 27.0]))
    np.testing.assert_allclose(xs, [2.0, 3.0])
    assert steps.shape == (2,)
    with pytest.raises(AutogradError, match=r"solver looks at values.*while_loop"):
        ng.jit(lambda a: ng.custom_root(lambda x: x**3 - a, 1.0, _counted, has_aux=True)[0])(8.0)


def test_what_a_linear_solver_returns_beside_the_solution() -> None:
    def solve(matvec: Any, b: Any) -> Any:
        x = b
        for _ in range(60):
            x = x + (b - matvec(x)) / 4.0
        return x, ((b - matvec(x)) ** 2).sum()

    b = np.array([1.0, 2.0])

    def solution(d: Any, b: Any, **options: Any) -> Any:
        return ng.custom_linear_solve(lambda x: d * x, b, solve, has_aux=True, **options)

    d = np.array([2.0, 4.0])
    x, left = solution(d, b)
    np.testing.assert_allclose(x, b / d)
    assert left < 1e-20
    for options in ({}, {"symmetric": True}, {"transpose_solve": solve}):
        loss = lambda d, b, o=options: (solution(d, b, **o)[0] ** 2).sum()
        found = ng.grad(loss, (0, 1))(d, b)
        np.testing.assert_allclose(found[0], -2 * b**2 / d**3, rtol=1e-8)
        np.testing.assert_allclose(found[1], 2 * b / d**2, rtol=1e-8)
    tangent = ng.jvp(lambda b: solution(d, b)[0], (b,), (np.ones(2),))[1]
    np.testing.assert_allclose(tangent, 1 / d)


@pytest.mark.parametrize("returned", [1.0, (1.0,), [1.0, 2.0]])
def test_a_solver_that_returns_no_pair(returned: Any) -> None:
    with pytest.raises(TypeError, match="has_aux=True the solver must return a pair"):
        ng.custom_root(lambda x: x - 1.0, 1.0, lambda f, x: returned, has_aux=True)
