"""``solve_ivp`` gives what SciPy's gives, and its derivatives: of states, of dense output, of events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp as scipys

import nbgrad as ng

solve_ivp = ng.integrate.solve_ivp
P = np.array([1.1, 0.4, 0.1, 0.4])
Y0 = np.array([10.0, 5.0])
TIGHT = {"rtol": 1e-9, "atol": 1e-9}


def prey(t: Any, y: Any, p: Any) -> Any:
    a, b = y
    return [p[0] * a - p[1] * a * b, p[2] * a * b - p[3] * b]


def half(t: Any, y: Any, p: Any) -> Any:
    return y[0] - 5


def rises(t: Any, y: Any, p: Any) -> Any:
    return y[0] - 1


def ends(t: Any, y: Any, p: Any) -> Any:
    return y[1] - 5 * p[0]


rises.direction = 1  # type: ignore[attr-defined]
ends.terminal = 2  # type: ignore[attr-defined]


class TestAsSciPys:
    def test_steps_and_dense_output(self) -> None:
        given: dict[str, Any] = {"args": (P,), "dense_output": True, **TIGHT}
        found, wanted = (f(prey, (0, 4), Y0, **given) for f in (solve_ivp, scipys))
        assert found.y.shape == (2, found.t.shape[0])
        assert_allclose(found.y, wanted.sol(found.t.numpy()), atol=1e-7)
        t = np.linspace(0, 4, 9)
        assert_allclose(found.sol(t), wanted.sol(t), atol=1e-7)
        assert_allclose(found.sol(1.5), wanted.sol(1.5), atol=1e-7)
        assert_allclose(found.sol.ts, found.t)
        assert found.success and found.message == wanted.message and found.t_events is None
        slope = ng.jvp(lambda t: found.sol(t), (1.5,), (1.0,))[1]
        assert_allclose(slope, prey(1.5, found.sol(1.5).numpy(), P), rtol=1e-4)

    @pytest.mark.parametrize("t_eval", [None, np.linspace(0, 20, 21)])
    @pytest.mark.parametrize("last", [20, 3])
    def test_events(self, t_eval: Any, last: float) -> None:
        t_eval = None if t_eval is None else t_eval[t_eval <= last]
        given = {"events": [half, rises, ends], "args": (P,), "t_eval": t_eval, **TIGHT}
        found, wanted = (f(prey, (0, last), Y0, **given) for f in (solve_ivp, scipys))
        assert found.status == wanted.status and found.message == wanted.message
        for one, other in zip(found.t_events, wanted.t_events, strict=True):
            assert_allclose(one, other, atol=1e-7)
        for one, other in zip(found.y_events, wanted.y_events, strict=True):
            assert_allclose(one, np.reshape(other, (-1, 2)), atol=1e-7)
        if t_eval is not None:
            assert_allclose(found.t, wanted.t)
            assert_allclose(found.y, wanted.y, atol=1e-7)
        else:
            assert_allclose([found.t[0], found.t[-1]], wanted.t[[0, -1]], atol=1e-7)
            assert_allclose(found.y[:, -1], wanted.y[:, -1], atol=1e-7)

    def test_the_last_time_has_a_derivative(self) -> None:
        """Also where the states are those between steps."""
        last = lambda end, **more: solve_ivp(lambda t, y: -t * y, (0, end), 1.0, **TIGHT, **more)
        for read in (
            lambda end: last(end).y[-1],
            lambda end: last(end, dense_output=True).sol(end),
            lambda end: last(end, t_eval=ng.as_tensor(end)[None]).y[-1],
        ):
            assert_allclose(ng.grad(read)(1.2), -1.2 * np.exp(-0.72), rtol=1e-6)

    @pytest.mark.parametrize("way", ["alone", "dense", "events"])
    def test_times_at_which_states_are_asked_for_have_a_derivative(self, way: str) -> None:
        """Though those of the span have none; under jit the times are not known."""
        end = lambda t, y: y - 0.1
        end.terminal = True
        more: dict[str, Any] = {"dense": {"dense_output": True}, "events": {"events": end}}
        read = lambda t: (
            solve_ivp(lambda t, y: -t * y, (0, 3), 1.0, t_eval=t, **TIGHT, **more.get(way, {})).y
        )
        t = np.array([0.2, 1.5, 2.5])
        wanted = -t * np.exp(-0.5 * t * t)
        for jacobian, at in ((ng.jacobian(read), t[:2]), (ng.jit(ng.jacobian(read)), t)):
            here = np.exp(-0.5 * at * at) > 0.1 if way == "events" else at > 0
            assert_allclose(np.diag(jacobian(at))[here], wanted[: at.size][here], rtol=1e-5)

    def test_backwards(self) -> None:
        given: dict[str, Any] = {"events": rises, "args": (P,), "dense_output": True, **TIGHT}
        found, wanted = (f(prey, (7, 0), Y0, **given) for f in (solve_ivp, scipys))
        assert_allclose(found.t_events[0], wanted.t_events[0], atol=1e-7)
        assert_allclose(found.sol([6.0, 1.0]), wanted.sol([6.0, 1.0]), atol=1e-6)

    def test_nested_states_have_times_last(self) -> None:
        fall = lambda t, y: {"x": y["v"], "v": np.full((2, 1), -9.81) + 0 * y["v"]}
        y0 = {"x": np.zeros((2, 1)), "v": np.ones((2, 1))}
        found = solve_ivp(fall, (0, 1), y0, t_eval=[0.0, 0.5, 1.0])
        assert found.y["x"].shape == (2, 1, 3)
        assert_allclose(found.y["v"][0, 0], [1, 1 - 9.81 / 2, 1 - 9.81])


class TestEventTimes:
    """A ball that is thrown: t = (v + sqrt(v² + 2 g x)) / g."""

    def landing(self, v: Any, x: Any = 1.0, t_eval: Any = None) -> Any:
        g = 9.81
        ground = lambda t, y: y[0]
        ground.terminal, ground.direction = True, -1  # type: ignore[attr-defined]
        fall = lambda t, y: [y[1], -g]
        return solve_ivp(fall, (0, 9), [x, v], events=ground, t_eval=t_eval, **TIGHT)

    def exact(self, v: Any, x: Any = 1.0) -> Any:
        return (v + (v**2 + 2 * 9.81 * x) ** 0.5) / 9.81

    def test_derivatives_of_orders_one_to_three(self) -> None:
        f: Any = lambda v: self.landing(v).t_events[0][0]
        wanted: Any = self.exact
        for _ in range(4):
            assert_allclose(f(3.0), wanted(3.0), rtol=1e-8)
            f, wanted = ng.grad(f), ng.grad(wanted)

    def test_compiled_and_batched(self) -> None:
        f = lambda v: self.landing(v, t_eval=[0.1, 8.0]).t_events[0][0]
        vs = np.array([1.0, 3.0, 50.0])
        exact = [self.exact(1.0), self.exact(3.0), np.nan]
        slopes = [ng.grad(self.exact)(1.0), ng.grad(self.exact)(3.0), 0.0]
        assert_allclose(ng.vmap(f)(vs), exact)
        assert_allclose(ng.vmap(ng.grad(f))(vs), slopes)
        assert_allclose(ng.jit(ng.grad(f))(3.0), slopes[1])
        found = ng.jit(lambda v: self.landing(v, t_eval=[0.1, 8.0]))(3.0)
        assert_allclose(found.y[0], [1.3 - 9.81 * 0.005, np.nan])
        assert found.status == 1 and found.message == "A termination event occurred."


class TestStiff:
    def test_robertson(self) -> None:
        def reactions(t: Any, y: Any, k: Any) -> Any:
            a, b, c = y
            r1, r2, r3 = k[0] * a, k[1] * b * b, k[2] * b * c
            return [r3 - r1, r1 - r2 - r3, r2]

        k, y0, t = np.array([0.04, 3e7, 1e4]), np.array([1.0, 0, 0]), np.array([0.0, 0.4, 40.0])
        tol: dict[str, Any] = {"rtol": 1e-7, "atol": 1e-11}
        solve = lambda k: solve_ivp(reactions, (0, 40), y0, "Rodas4", t, args=(k,), **tol)
        wanted = scipys(reactions, (0, 40), y0, "Radau", t, args=(k,), rtol=1e-10, atol=1e-13)
        found = solve(k)
        assert_allclose(found.y, wanted.y, rtol=1e-6, atol=1e-11)
        assert found.nfev < 2000
        g = ng.grad(lambda k: solve(k).y[0, -1])(k) * k
        exact = [
            scipys(
                reactions, (0, 40), y0, "Radau", t, args=(k * np.exp(e),), rtol=1e-11, atol=1e-14
            ).y[0, -1]
            for e in (*np.eye(3) * 1e-3, *np.eye(3) * -1e-3)
        ]  # fmt: skip
        assert_allclose(g, (np.array(exact[:3]) - exact[3:]) / 2e-3, rtol=1e-4)

    def test_van_der_pol(self) -> None:
        f = lambda t, y, mu: [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]]
        t = np.array([0.0, 1.0, 900.0])
        found = solve_ivp(f, (0, 900), [2.0, 0.0], "Rodas4", t, args=(1e3,), rtol=1e-6, atol=1e-6)
        wanted = scipys(f, (0, 900), [2.0, 0.0], "Radau", t, args=(1e3,), rtol=1e-9, atol=1e-9)
        assert_allclose(found.y, wanted.y, rtol=1e-3)
        assert found.nfev < 5000


class TestErrors:
    @pytest.mark.parametrize(
        ("change", "kind", "text"),
        [
            ({"t_span": 3.0}, ValueError, "t_span must be a pair"),
            ({"t_eval": [0.0, 2.0]}, ValueError, r"t_eval must lie within t_span, 0\.0 to 1\.0"),
            ({"t_eval": [0.5, 0.2]}, ValueError, "t_eval must be sorted"),
            ({"method": "LSODA"}, ValueError, "for 'LSODA' take 'Rodas4'"),
            ({"method": "rk4"}, ValueError, "fixed size, as of 'rk4', call odeint"),
            ({"events": 3}, TypeError, "not iterable|events"),
            ({"events": [3]}, TypeError, r"events\[0\] must be a function"),
            ({"events": lambda t, y: y}, TypeError, "events must return one real number"),
            ({"args": 3.0}, TypeError, r"write args=\(3\.0,\)"),
            ({"rtol": -1.0}, ValueError, "rtol=-1.0 must not be negative"),
            ({"rtol": 0.0, "atol": 0.0}, ValueError, "both 0"),
            ({"first_step": -1.0}, ValueError, "first_step=-1.0 must be positive"),
            ({"max_step": 0.0}, ValueError, "max_step=0.0 must be positive"),
            ({"max_steps": 0}, ValueError, "max_steps=0 must be positive"),
            ({"method": "Rodas4", "y0": [1j, 1]}, TypeError, "takes real states"),
            ({"adjoint": "both"}, ValueError, "adjoint='both' must be 'discrete'"),
            ({"adjoint": "continuous"}, ValueError, "keeps no steps: pass t_eval"),
            ({"adjoint": "continuous", "y0": [1j, 1]}, TypeError, "takes real states"),
        ],
    )  # fmt: skip
    def test_what_is_given(self, change: Any, kind: Any, text: str) -> None:
        given = {"fun": lambda t, y: -y, "y0": np.ones(2), "t_span": (0.0, 1.0), **change}
        with pytest.raises(kind, match=text):
            solve_ivp(**given)

    def test_compiled(self) -> None:
        event = lambda t, y: y - 0.5
        solve = lambda y, **more: solve_ivp(lambda t, y: -y, (0, 1), y, **more).y
        with pytest.raises(ValueError, match=r"number of steps is not known.* pass t_eval"):
            ng.jit(lambda y: solve(y))(1.0)
        with pytest.raises(ValueError, match="make it terminal"):
            ng.jit(lambda y: solve(y, events=event, t_eval=[0.5]))(1.0)
        dense = ng.jit(lambda y: solve_ivp(
            lambda t, y: -y, (0, 1), y, t_eval=[1.0], dense_output=True, max_steps=40, **TIGHT
        ))(1.0)  # fmt: skip
        assert_allclose(dense.sol([0.5, 1.0]), np.exp([-0.5, -1.0]), rtol=1e-7)

    def test_failures_are_met_at_the_call(self) -> None:
        with pytest.raises(RuntimeError, match=r"solve_ivp: came to t = .*in 7 steps"):
            solve_ivp(lambda t, y: -y, (0, 9), 1.0, max_steps=7)
