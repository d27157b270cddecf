"""Compiled minimisers against SciPy's, and what may go wrong with an objective."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import scipy.optimize
import subprocesses

import nbgrad as ng
from nbgrad.solvers import minimize, solve


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


START = np.array([-1.2, 1.0, -0.5, 0.8])


def scipy_of(fun, x0, method, **options):
    vg = ng.value_and_grad(fun)
    return scipy.optimize.minimize(vg, x0, jac=True, method=method, options=options)


def test_bfgs_takes_the_steps_of_scipy():
    for x0 in (START[:2], START):
        found, expected = minimize(rosenbrock, x0), scipy_of(rosenbrock, x0, "BFGS")
        assert (found.nit, found.nfev) == (expected.nit, expected.nfev)
        np.testing.assert_allclose(found.x, expected.x, atol=1e-6)
        np.testing.assert_allclose(found.hess_inv, expected.hess_inv, rtol=1e-3)
        assert found.success and found.status == 0 and found.fun < 1e-10


def test_results_of_an_objective_that_are_not_computed():
    """A gradient that is a constant, or the point itself."""
    x = np.arange(3.0)
    assert np.abs(minimize(lambda x: (x * x).sum() / 2, x).x).max() < 1e-8
    found = minimize(lambda x: (x * np.array([1.0, 2.0, 3.0])).sum(), x, options={"maxiter": 3})
    np.testing.assert_array_equal(found.jac, [1.0, 2.0, 3.0])
    assert not found.success
    assert minimize(lambda x: x.sum() * 0 + 2.0, x).nfev == 1


def test_arguments_are_read_at_each_solve():
    best = lambda x, a, b: ((x - a) ** 2).sum() + b * (x[0] - x[1]) ** 2
    for a, b in ((1.5, 0.0), (2.5, 0.0), (np.array([1.0, 3.0]), 1e6)):
        expected = a if b == 0.0 else 2.0
        np.testing.assert_allclose(minimize(best, np.zeros(2), args=(a, b)).x, expected, atol=1e-5)
    scale = {"c": 1.0}
    f = lambda x: ((x - scale["c"]) ** 2).sum()
    assert minimize(f, np.zeros(2)).x[0] == pytest.approx(1.0)
    scale["c"] = 4.0
    assert minimize(f, np.zeros(2)).x[0] == pytest.approx(4.0)


def test_an_objective_that_python_evaluates():
    """It looks at values, so it has no program."""
    f = lambda x: ((x - 1) ** 2).sum() if x[0] > -5 else x.sum() * 0
    np.testing.assert_allclose(minimize(f, np.zeros(3)).x, 1.0)


def test_an_objective_that_raises_leaves_all_usable():
    calls = []

    def f(x):
        calls.append(1)
        if x[0] > -50 and len(calls) == 5:
            raise ZeroDivisionError("mine")
        return ((x - 1) ** 2).sum()

    with pytest.raises(ZeroDivisionError, match="mine"):
        minimize(f, np.full(3, 30.0))
    np.testing.assert_allclose(minimize(f, np.zeros(3)).x, 1.0)


def test_an_objective_of_a_library_call_that_fails():
    f = lambda x: ng.linalg.cholesky(np.eye(2) * (x[0] - 0.5)).sum() + 1e6 * x[0]
    with pytest.raises(np.linalg.LinAlgError):
        minimize(f, np.array([0.6]))
    g = lambda x: (ng.linalg.solve(np.eye(3) * 2, x - 1) ** 2).sum()
    np.testing.assert_allclose(minimize(g, np.zeros(3)).x, 1.0, atol=1e-6)


def test_an_objective_with_a_loop():
    def f(x):
        run = lambda y, _: (y + 0.01 * (x[1] - x[0] * y), None)
        return (ng.scan(run, 1.0, length=50)[0] - 1.2) ** 2 + ((x - 1) ** 2).sum() * 0.1

    expected = scipy_of(f, np.zeros(2), "BFGS")
    np.testing.assert_allclose(minimize(f, np.zeros(2)).x, expected.x, atol=1e-5)


def test_values_that_are_not_finite():
    assert minimize(lambda x: np.log(x).sum(), np.array([-1.0])).status == 3
    assert minimize(rosenbrock, np.array([np.nan, 1.0])).status == 3
    barrier = lambda x: (x - np.log(x)).sum()  # NaN beyond 0
    np.testing.assert_allclose(minimize(barrier, np.array([1e-3, 50.0])).x, 1.0, atol=1e-4)


def test_a_callback_sees_every_iteration_and_may_stop():
    seen = []
    found = minimize(rosenbrock, START, callback=seen.append)
    assert len(seen) == found.nit and found.nit == minimize(rosenbrock, START).nit
    np.testing.assert_array_equal(seen[-1], found.x)

    def stop(intermediate_result):
        if intermediate_result.fun < 1:
            raise StopIteration

    found = minimize(rosenbrock, START, callback=stop)
    assert found.status == 99 and 1e-6 < found.fun < 1


def test_limits_end_a_solve():
    assert minimize(rosenbrock, START, options={"maxiter": 3}).nit == 3
    assert minimize(rosenbrock, START, options={"maxfun": 5}).nfev <= 7
    forever = {"max_time": 0.05, "maxiter": 1 << 40, "gtol": 0.0}
    f = lambda x: x.sum() / (1 + ng.exp(-x.sum())) - x.sum() * 2  # falls for ever
    assert not minimize(f, np.zeros(2), options=forever).success
    assert minimize(rosenbrock, START, tol=1e-1).nit < minimize(rosenbrock, START).nit


def test_results_are_differentiable():
    f = lambda x, c: ((x - c) ** 2).sum() + (x[0] * x[1]) ** 2
    best = lambda c: minimize(f, np.zeros(2), args=(c,), tol=1e-10).x
    c, h = np.array([0.7, 1.3]), 1e-4
    steps = [(best(c + h * e) - best(c - h * e)) / (2 * h) for e in np.eye(2)]
    np.testing.assert_allclose(ng.jacobian(best)(c), np.transpose(steps), atol=1e-6)
    outside = ng.tensor([0.7, 1.3], requires_grad=True)
    found = minimize(lambda x: f(x, outside), np.zeros(2))
    found.x.sum().backward()
    np.testing.assert_allclose(outside.grad, np.sum(steps, 1), atol=1e-4)
    traced = ng.jit(lambda c: best(c).sum())
    np.testing.assert_allclose(traced(c), best(c).sum(), atol=1e-7)
    rows = ng.vmap(best)(np.stack([c, c + 1]))
    np.testing.assert_allclose(rows[1], best(c + 1), atol=1e-7)


@pytest.mark.parametrize(
    ("x0", "error"),
    [(np.zeros((2, 2)), "one dimension"), ([], "no elements"), ([1j, 0], "real"), (["a"], "real")],
)
def test_starts_that_are_none(x0, error):
    with pytest.raises(ValueError, match=error):
        minimize(rosenbrock, x0)


def test_starts_of_other_numbers():
    for x0 in ([2, 1], np.array([2, 1], np.float32), ng.tensor([2.0, 1.0]), np.arange(9.0)[5::-2]):
        found = minimize(rosenbrock, x0)
        assert found.x.dtype == np.float64
        np.testing.assert_allclose(found.x, 1.0, atol=1e-4)


def test_words_that_nobody_knows():
    with pytest.raises(TypeError, match="no option is called 'gtoll'"):
        minimize(rosenbrock, START, options={"gtoll": 1})
    with pytest.raises(ValueError, match="no compiled method is called"):
        minimize(rosenbrock, START, method="BFGS")


def test_threads_race_one_objective():
    expected = minimize(rosenbrock, START).x
    found = []

    def work():
        found.extend(minimize(rosenbrock, START * (1 + k % 2)).x for k in range(40))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 160 and sum(np.array_equal(x, expected) for x in found) >= 80


def test_a_problem_is_solved_by_name():
    class Problem:
        args = (3.0,)

        def flat(self, x, a):
            return ((x - a) ** 2).sum()

    problem = Problem()
    np.testing.assert_allclose(solve("nb-bfgs", problem, np.zeros(2)).x, 3.0)
    np.testing.assert_allclose(solve("nb-bfgs", problem, np.ones(2), tol=1e-3).x, 3.0)


def test_ctrl_c_ends_a_solve():
    text = """
    import signal, threading, time
    import nbgrad as ng
    f = lambda x: (x * x).sum() + 1e-9 * ng.fori_loop(0, 300_000, lambda i, v: v * 0.5 + x[0], 1.0)
    ng.solvers.minimize(f, np.ones(3), options={"maxiter": 1})
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.time()
    while time.time() < start + 30:
        found = ng.solvers.minimize(f, np.ones(3), options={"gtol": 0.0})
        if found.status == 99:
            break
    print("ended", found.message, found.fun <= f(np.ones(3)).item(), "jac" in found)
    """
    assert "ended" in subprocesses.run(text)
