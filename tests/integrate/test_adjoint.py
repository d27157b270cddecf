"""The continuous adjoint agrees with the discrete one, and with the solution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_allclose

import nbgrad as ng

odeint = ng.integrate.odeint
P = np.array([1.1, 0.4])
Y0 = np.array([0.5, 0.2])
TIMES = np.array([0.0, 0.5, 0.6, 1.5])


def grown(y: Any, t: Any, p: Any) -> Any:
    return p[0] * y * (1 - y * t) - p[1] * y


def loss(p: Any, y0: Any, t: Any, adjoint: str, **more: Any) -> Any:
    found = odeint(grown, y0, t, p, adjoint=adjoint, rtol=1e-9, atol=1e-9, **more)
    return (found**2).sum()


def test_gradients_agree() -> None:
    for wrap in (lambda g: g, ng.jit):
        one, other = (
            wrap(ng.grad(lambda p, y, t, a=a: loss(p, y, t, a), (0, 1, 2)))(P, Y0, TIMES)
            for a in ("discrete", "continuous")
        )
        for x, y in zip(one, other, strict=True):
            assert_allclose(x, y, rtol=1e-6, atol=1e-6)


def test_batches_and_second_order() -> None:
    ps = np.stack([P, 1.2 * P])
    each, hessian = (
        (
            ng.vmap(ng.grad(lambda p, a=a: loss(p, Y0, TIMES, a)))(ps),
            ng.jacobian(ng.grad(lambda p, a=a: loss(p, Y0, TIMES[:2], a)))(P),
        )
        for a in ("discrete", "continuous")
    )
    assert_allclose(each[0], hessian[0], rtol=1e-6)
    assert_allclose(each[1], hessian[1], rtol=1e-5)


def test_closures_nested_states_and_backwards() -> None:
    w = ng.tensor(2.0, requires_grad=True)
    spring = lambda y, t: {"x": y["v"], "v": -w * y["x"]}
    y0 = {"x": np.ones(2), "v": np.zeros(2)}
    t = np.array([1.0, 0.0])
    found = odeint(spring, y0, t, adjoint="continuous", rtol=1e-9, atol=np.float64(1e-9))
    found["x"][-1].sum().backward()
    s = np.sqrt(2.0)
    assert_allclose(found["x"][-1].detach(), np.cos(s) * np.ones(2), rtol=1e-7)
    assert_allclose(w.grad, -2 * np.sin(s) / (2 * s), rtol=1e-6)


def test_nothing_to_differentiate_by_but_the_state() -> None:
    g = ng.grad(lambda y: odeint(lambda y, t: -y, y, [0.0, 1.0], adjoint="continuous")[-1])(2.0)
    assert_allclose(g, np.exp(-1), rtol=1e-6)
