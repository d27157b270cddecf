"""Solves by compiled methods that are ended from outside: the best point, and going on to the same bits."""

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.optimize import least_squares, minimize

METHODS = ("nb-bfgs", "nb-lbfgs", "nb-newton-cg", "nb-trust")
START = np.array([-1.2, 1.0, -0.5])
T = np.linspace(0.0, 2.0, 12)
Y = 3.0 * np.exp(-1.5 * T) + 0.02 * np.sin(40 * T)
FIELDS = ("x", "fun", "cost", "jac", "hess_inv", "hess", "cov", "nit", "nfev", "njev", "status")


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def misfit(p):
    return p[0] * np.exp(-p[1] * T) - Y


def solved(method, interrupt=0, **words):
    """A solve; the objective is interrupted at a call of that number, if not 0."""
    calls = [0]

    def watched(f):
        def g(x):
            calls[0] += bool(x[0] == x[0])  # looks at a value: Python calls it
            if calls[0] == interrupt:
                raise KeyboardInterrupt
            return f(x)

        return g

    f = misfit if method == "nb-lm" else rosenbrock
    f = watched(f) if interrupt else f
    if method == "nb-lm":
        return least_squares(f, [1.0, 4.0], method=method, **words)
    return minimize(f, START, method=method, **words)


def same(one, other):
    for name in FIELDS:
        assert (name in one) == (name in other)
        if name in one:
            np.testing.assert_array_equal(one[name], other[name], name)


@pytest.mark.parametrize("method", [*METHODS, "nb-lm"])
def test_a_solve_goes_on_to_the_same_bits(method, tmp_path):
    whole = solved(method)
    for calls in (1, 2, 5, 9):
        if calls >= whole.nfev:
            continue
        file = tmp_path / f"{calls}"
        limit = {"max_nfev": calls} if method == "nb-lm" else {"max_evaluations": calls}
        part = solved(method, checkpoint=file, **limit)
        assert calls <= part.nfev < whole.nfev and not part.success
        if method == "nb-lm":  # another limit is another solve, there
            with pytest.raises(ValueError, match="of another solve"):
                solved(method, checkpoint=file)
            continue
        assert part.status == 99 and "best point" in part.message
        same(solved(method, checkpoint=file), whole)
        same(solved(method, checkpoint=file), whole)  # it is at its end, and stays there


@pytest.mark.parametrize("method", [*METHODS, "nb-lm"])
def test_an_interrupt_keeps_the_best_point(method, tmp_path):
    file = tmp_path / "kept"
    start = solved(method, max_nfev=1) if method == "nb-lm" else solved(method, max_evaluations=1)
    part = solved(method, interrupt=8 if method == "nb-lm" else 25, checkpoint=file)
    assert part.status == 99 and not part.success and "Interrupted" in part.message
    value = "cost" if method == "nb-lm" else "fun"
    assert part[value] < start[value]
    whole = solved(method, interrupt=10_000)
    rest = solved(method, interrupt=10_000, checkpoint=file)
    same(rest, whole)
    with pytest.raises(KeyboardInterrupt):  # nothing is known yet
        solved(method, interrupt=1)


def test_time_ends_a_solve_with_the_best_point(tmp_path):
    for method in METHODS:
        found = minimize(rosenbrock, START, method=method, time_limit=1e-9)
        assert found.status == 99 and not found.success and found.nit <= 1
        assert found.fun <= rosenbrock(START) and np.isfinite(found.jac).all()
    found = least_squares(misfit, [1.0, 4.0], method="nb-lm", time_limit=1e-9)
    assert found.status == 99 and np.isfinite(found.cov).all()


def test_a_callback_that_interrupts_ends_a_solve():
    def callback(x):
        if abs(x[0]) < 0.9:
            raise KeyboardInterrupt

    for method in METHODS:
        found = minimize(rosenbrock, START, method=method, callback=callback)
        assert found.status == 99 and abs(found.x[0]) < 0.9
        assert found.fun == pytest.approx(rosenbrock(found.x), rel=1e-12)


def test_checkpoints_of_others(tmp_path):
    file = tmp_path / "kept"
    solved("nb-bfgs", max_evaluations=3, checkpoint=file)
    for wrong in ({"x0": START + 1}, {"method": "nb-trust"}, {"options": {"gtol": 1e-9}}):
        words = {"x0": START, "method": "nb-bfgs", "checkpoint": file} | wrong
        with pytest.raises(ValueError, match="another solve"):
            minimize(rosenbrock, **words)
    file.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="is no checkpoint"):
        solved("nb-bfgs", checkpoint=file)


def test_nothing_is_left_of_another_solve():
    """Memory is used again: what a solve does not reach is not that of the one before."""
    solve = lambda p0: least_squares(lambda p: p * p - 4.0, p0, method="nb-lm")
    solve([1.0, 9.0])
    found = solve([2.0, -2.0])  # without a residual at the start
    np.testing.assert_array_equal(found.jac, [[4.0, 0.0], [0.0, -4.0]])
    np.testing.assert_allclose(found.cov, np.eye(2) / 16)
    solve([1.0, 9.0])
    assert np.isnan(solve([np.nan, 1.0]).cov).all()


def test_a_vector_is_solved_without_a_problem():
    """By the same steps as a problem, and wherever a problem is needed by one."""
    f = lambda x, a: ((x - a) ** 2).sum() + (x**4).sum()
    args = (np.array([0.5, 1.0, 2.0]),)
    for words in ({}, {"callback": lambda x: None}, {"options": {"maxiter": 2}}, {"tol": 0.1}):
        p = ng.problem(f, START, args)
        same(minimize(f, START, args, "nb-bfgs", **words), minimize(p, method="nb-bfgs", **words))
    best = lambda a: minimize(f, START, (a,), "nb-bfgs", tol=1e-10).x
    slope = ng.jacobian(best)(args[0])
    np.testing.assert_allclose(np.diag(slope), 2 / (2 + 12 * best(args[0]) ** 2), rtol=1e-6)
    shift = ng.tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert minimize(lambda x: ((x - shift) ** 2).sum(), START, method="nb-bfgs").x.requires_grad
    found = minimize(lambda x: x[:1] ** 2 + 1, START[:1], method="nb-bfgs")
    assert abs(found.x[0]) < 1e-4
    with pytest.raises(ValueError, match="a gradient or a Hessian"):
        minimize(lambda x: x * 2, START, method="nb-bfgs")
    with pytest.raises(TypeError, match="no option is called"):
        minimize(rosenbrock, START, method="nb-bfgs", options={"steps": 3})
