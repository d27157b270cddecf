"""``odeint``: values are SciPy's, derivatives those of the solution, errors say what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp as scipys

import nbgrad as ng
from nbgrad.errors import AutogradError
from nbgrad.integrate import solving

odeint = ng.integrate.odeint
P = np.array([1.1, 0.4, 0.1, 0.4])
Y0 = np.array([10.0, 5.0])
TIMES = np.array([0.0, 0.5, 0.6, 1.5])
ADAPTIVE = {"RK45": 1e-9, "RK23": 1e-7, "Rodas4": 1e-8}


def prey(y: Any, t: Any, p: Any) -> Any:
    return [p[0] * y[0] - p[1] * y[0] * y[1], p[2] * y[0] * y[1] - p[3] * y[1]]


def wanted(y0: Any = Y0, p: Any = P, times: Any = TIMES) -> Any:
    found = scipys(
        lambda t, y: prey(y, t, p), times[[0, -1]], y0, "DOP853", times, rtol=1e-13, atol=1e-13
    )
    return found.y.T


def differences(f: Any, x: Any, eps: float = 1e-4) -> Any:
    found = [(f(x + e) - f(x - e)) / (2 * eps) for e in np.eye(x.size) * eps]
    return np.stack(found, -1)


@pytest.mark.parametrize("method", ADAPTIVE)
class TestAdaptive:
    def test_values(self, method: str) -> None:
        tol = ADAPTIVE[method]
        found = odeint(prey, Y0, TIMES, P, rtol=tol, atol=tol, method=method)
        assert_allclose(found, wanted(), rtol=300 * tol)
        back = odeint(prey, found[-1], TIMES[::-1], P, rtol=tol, atol=tol, method=method)
        assert_allclose(back, wanted()[::-1], rtol=1000 * tol)

    def test_gradients(self, method: str) -> None:
        tol = ADAPTIVE[method]
        solve = lambda p, y0: odeint(prey, y0, TIMES, p, rtol=tol, atol=tol, method=method)
        loss = lambda p, y0: (solve(p, y0) ** 2).sum()
        by_p = differences(lambda p: (wanted(Y0, p) ** 2).sum(), P)
        by_y = differences(lambda y: (wanted(y) ** 2).sum(), Y0)
        for wrap in (ng.jit, lambda g: g)[method != "RK45" :]:
            found = wrap(ng.grad(loss, (0, 1)))(P, Y0)
            assert_allclose(found[0], by_p, rtol=1e-5)
            assert_allclose(found[1], by_y, rtol=1e-5)
        v = np.array([0.3, -1.0, 2.0, 0.5])
        assert_allclose(ng.jvp(lambda p: loss(p, Y0), (P,), (v,))[1], by_p @ v, rtol=1e-5)

    def test_batches(self, method: str) -> None:
        """Of initial states and parameters: each takes its own steps."""
        tol = ADAPTIVE[method]
        solve = lambda p, y0: odeint(prey, y0, TIMES, p, rtol=tol, atol=tol, method=method)
        ps, ys = np.stack([P, 1.3 * P]), np.stack([Y0, 0.1 * Y0])
        each = [solve(p, y).numpy() for p, y in zip(ps, ys, strict=True)]
        assert_allclose(ng.vmap(solve)(ps, ys), each, rtol=1e-12)
        assert_allclose(ng.vmap(solve, (None, 0))(P, ys)[0], each[0], rtol=1e-12)
        loss = lambda p, y0: solve(p, y0)[-1].sum()
        each = [ng.grad(loss)(p, y) for p, y in zip(ps, ys, strict=True)]
        assert_allclose(ng.vmap(ng.grad(loss))(ps, ys), each, rtol=1e-8)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_fixed_steps_have_their_order(method: str, order: int) -> None:
    solve = lambda h: odeint(prey, Y0, TIMES, P, method=method, step_size=h)
    errors = [abs(solve(h).numpy() - wanted()).max() for h in (0.005, 0.0025)]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.15
    whole = odeint(prey, Y0, TIMES, P, method=method)
    assert_allclose(whole[1], odeint(prey, Y0, TIMES[:2], P, method=method, step_size=0.5)[1])


class TestAnalytic:
    """``y' = -a t y``: y = exp(-a t²/2)."""

    @pytest.mark.parametrize("k", range(3))
    def test_orders_one_and_two(self, k: int) -> None:
        given: list[Any] = [1.3, 2.0, np.array([0.2, 0.5, 0.9])]

        def solve(a: Any, y0: Any, t: Any) -> Any:
            return odeint(lambda y, t: -a * t * y, y0, t, rtol=1e-11, atol=1e-11)[-1]

        exact = lambda a, y0, t: y0 * np.exp(-a * (t[-1] ** 2 - t[0] ** 2) / 2)
        f, wanted = (
            lambda x, g=g: g(*given[:k], x, *given[k + 1 :])  # type: ignore[misc]
            for g in (solve, exact)
        )
        x = given[k]
        assert_allclose(ng.grad(f)(x), ng.grad(wanted)(x), rtol=1e-7, atol=1e-7)
        assert_allclose(ng.hessian(f)(x), ng.hessian(wanted)(x), rtol=1e-5, atol=1e-5)

    def test_complex_states(self) -> None:
        t = np.linspace(0.0, 3.0, 4)
        found = odeint(
            lambda y, t, w: 1j * w * y, np.array([1.0 + 0j, 1j]), t, 2.0, rtol=1e-10, atol=1e-10
        )
        assert_allclose(found, np.exp(2j * t)[:, None] * np.array([1, 1j]), rtol=1e-8)

    def test_single_precision_stays(self) -> None:
        t = np.linspace(0.0, 1.0, 3)
        found = odeint(lambda y, t: -y * t, np.float32([1.0, 2.0]), t, rtol=1e-5, atol=1e-5)
        assert found.dtype == np.float32
        assert_allclose(found[-1], np.exp(-0.5) * np.array([1, 2]), rtol=1e-4)


def test_nested_states() -> None:
    """Dicts and tuples, and what *func* reads from outside, also by tolerances of each part."""
    w = ng.tensor(1.5, requires_grad=True)

    def pendulum(t: Any, y: Any) -> Any:
        return {"x": y["v"], "v": tuple(-(w**2) * x for x in y["x"]), "z": -y["z"]}

    y0 = {"x": (1.0, np.array([1.0, 2.0])), "v": (0.0, np.zeros(2)), "z": np.ones((2, 1))}
    tol = {"x": (1e-9, 1e-9), "v": (1e-9, np.full(2, 1e-9)), "z": 1e-9}
    t = np.array([0.0, 0.5, 1.0])
    found = odeint(pendulum, y0, t, rtol=1e-9, atol=tol, tfirst=True)
    assert_allclose(found["x"][0].detach(), np.cos(1.5 * t), rtol=1e-7)
    assert_allclose(found["x"][1].detach(), np.cos(1.5 * t)[:, None] * [1, 2], rtol=1e-7)
    assert found["z"].shape == (3, 2, 1)
    found["x"][0][-1].backward()
    assert_allclose(w.grad, -np.sin(1.5), rtol=1e-6)


def test_checkpoints_give_the_same() -> None:
    loss = lambda a, **keep: odeint(lambda y, t: -a * y, 1.0, TIMES, **keep).sum()
    plain = ng.grad(loss)(0.3)
    for keep in ({"checkpoint": 2}, {"checkpoint": "sqrt"}, {"max_bytes": 1000}):
        assert_allclose(ng.grad(lambda a, keep=keep: loss(a, **keep))(0.3), plain, rtol=1e-13)


def test_tapes_are_made_once_and_read_what_they_are_given() -> None:
    """The tape of an integration serves others alike: other states, times, parameters, and by which."""
    last = lambda a, y0, t: odeint(lambda y, t: -a * y, y0, t)[-1]
    t = np.array([0.0, 1.0])
    solving._tapes.clear()
    for a, y0 in ((0.5, 1.0), (0.7, 2.0)):
        w, x = ng.tensor(a, requires_grad=True), ng.tensor(y0)
        for k in (1.0, 2.0):
            found = last(w, x, k * t)
            found.backward()
            assert_allclose(found.detach(), y0 * np.exp(-a * k), rtol=1e-6)
            assert_allclose(w.grad, -k * y0 * np.exp(-a * k), rtol=1e-6)
            w.grad = None
    assert len(solving._tapes) == 1
    with ng.no_grad():
        assert_allclose(last(w, x, t), 2 * np.exp(-0.7), rtol=1e-6)
    assert_allclose(ng.grad(last, 2)(0.7, 2.0, t)[1], -1.4 * np.exp(-0.7), rtol=1e-6)
    assert_allclose(last(0.7, 2.0, -t), 2 * np.exp(0.7), rtol=1e-6)


def test_compiled_loops_give_the_same() -> None:
    """Both ways: no step of either runs in Python."""
    f = ng.value_and_grad(lambda a: odeint(lambda y, t, a: -a * y, 1.0, TIMES, a).sum())
    with ng.configure(tier="fused"):
        compiled = ng.jit(f)
        found = compiled(0.3)
        assert compiled.stats(0.3)["host_calls"] == 0
        few = ng.jit(lambda a: odeint(lambda y, t, a: -a * y, 1.0, TIMES, a, max_steps=2)[-1])
        with pytest.raises(AutogradError, match=r"came to t = 0\.\d+, not to its end, in 2 steps"):
            few(0.3)
    assert_allclose(found, f(0.3), rtol=1e-12)


class TestErrors:
    def test_the_integration_does_not_come_to_its_end(self) -> None:
        t = np.array([0.0, 2.0])
        stiff = lambda y, t: -1e4 * (y - np.cos(t))
        with pytest.raises(AutogradError, match=r"t = 0\.\d+, not to 2, in 50 steps: .*Rodas4"):
            odeint(stiff, 0.0, t, max_steps=50).numpy()
        with pytest.raises(
            AutogradError, match=r"in 2 steps: .*rtol and atol\. In a fit, bounds="
        ):
            odeint(stiff, 0.0, t, method="Rodas4", max_steps=2).numpy()
        with pytest.raises(AutogradError, match=r"not to 2: the function is not finite"):
            odeint(lambda y, t: y / (y - y), 1.0, t).numpy()
        with pytest.raises(AutogradError, match=r"came to t = (1|0\.99)\d*, not to 2"):
            odeint(lambda y, t: y**2, 1.0, t, rtol=1e-5, atol=1e-5).numpy()
        with pytest.raises(AutogradError, match="of integration 1 of a batch"):
            ng.vmap(lambda a: odeint(lambda y, t: a * y**2, 1.0, t))(np.array([0.1, 1.0])).numpy()

    def test_gradients_and_compiled_functions_tell_too(self) -> None:
        last = lambda a: odeint(lambda y, t: -a * y, 1.0, np.array([0.0, 2.0]), max_steps=3)[-1]
        for f in (ng.grad(last), ng.jit(last), ng.jit(ng.grad(last)), ng.jacfwd(last)):
            with pytest.raises(AutogradError, match="in 3 steps"):
                np.asarray(f(2.0))

    @pytest.mark.parametrize(
        ("change", "kind", "text"),
        [
            ({"t": [0.0, 2.0, 1.0]}, ValueError, "t must increase, or decrease"),
            ({"t": [0.0, np.nan]}, ValueError, "t must be finite, and holds nan"),
            ({"t": 1.0}, ValueError, "t must be a vector of real times"),
            ({"method": "Radau"}, ValueError, "for 'Radau' take 'Rodas4'"),
            ({"func": lambda y, t: y[:1]}, ValueError, r"shape \(1,\) where y0 has \(2,\)"),
            ({"func": lambda y, t: (y * 1j, y)}, ValueError, r"shape \(2, 2\)"),
            ({"func": lambda y, t: y * 1j}, TypeError, "complex and y0 is float64"),
            ({"func": lambda y, t: "no"}, TypeError, "what the function returns, for y0, is a str"),
            ({"func": 3}, TypeError, "expected a function"),
            ({"y0": np.zeros(0)}, ValueError, "y0 holds no numbers"),
            ({"y0": "no"}, TypeError, "y0 is a str"),
            ({"y0": {"a": 1.0}, "func": lambda y, t: y["a"]}, TypeError, "is nested as"),
            ({"atol": [1.0, 1.0, 1.0]}, ValueError, "atol must be a number, or one for each"),
            ({"method": "rk4", "step_size": 0.0}, ValueError, "step_size=0.0 must be positive"),
        ],
    )  # fmt: skip
    def test_what_is_given(self, change: Any, kind: Any, text: str) -> None:
        given = {"func": lambda y, t: -y, "y0": np.ones(2), "t": [0.0, 1.0], **change}
        with pytest.raises(kind, match=text):
            odeint(**given)
