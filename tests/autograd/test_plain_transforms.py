"""Transforms of plain functions in a loop: run at each call, differentiated once a structure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.api import products
from nbgrad.engine import watched
from nbgrad.transforms import jacobian, jvp, reverse, vjp

_USERS = (
    (vjp, "backpropagate"),
    (reverse.Reverse, "run"),
    (watched, "backpropagate"),
    (jacobian, "jvp"),
    (jacobian, "vjp"),
    (jvp, "push_forward"),
    (products, "push_forward"),
)
GRID = np.array([0.5, -1.25, 2.0])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_rules_are_run_for_a_new_structure_only(order: int) -> None:
    def f(x: Any) -> Any:
        return (np.sin(x) * x * 1.5).sum()

    transformed = {1: ng.grad(f), 2: ng.hessian(f), 3: ng.jacobian(ng.hessian(f))}[order]
    transformed(GRID)
    ran: list[Any] = []
    before = reverse.Reverse.run, jvp.push_forward
    with pytest.MonkeyPatch.context() as patch:
        for module, name in _USERS:
            original = getattr(module, name)
            patch.setattr(module, name, lambda *a, f=original, **k: ran.append(f) or f(*a, **k))
        for x in _points()[:5]:
            transformed(x)
            assert not ran
        ng.grad(lambda x: (np.sin(x) * np.cos(x) * x + order).sum(0) ** order)(GRID)
    assert ran and before == (reverse.Reverse.run, jvp.push_forward)


def _points() -> list[Any]:
    source = np.random.default_rng(3)
    return [source.normal(size=3) for _ in range(80)]


TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "grad": ng.grad,
    "value_and_grad": lambda f: lambda x: ng.value_and_grad(f)(x)[1],
    "hessian": ng.hessian,
    "jacobian of the gradient": lambda f: ng.jacobian(ng.grad(f)),
    "third": lambda f: ng.jacobian(ng.hessian(f)),
    "gradient of a Hessian": lambda f: ng.grad(lambda x: ng.hessian(f)(x).sum()),
    "rows": lambda f: ng.jacobian(lambda x: ng.stack([f(x), f(2 * x)])),
}
DIAGONALS = (lambda c, x: 3 * c * x**2, lambda c, x: 6 * c * x, lambda c, x: 6 * c + 0 * x)


def _wanted(name: str, c: float, x: Any) -> Any:
    slope, curve, third = (d(c, x) for d in DIAGONALS)
    if name in ("grad", "value_and_grad"):
        return slope
    if name in ("hessian", "jacobian of the gradient"):
        return np.diag(curve)
    if name == "third":
        found = np.zeros((3, 3, 3))
        found[range(3), range(3), range(3)] = third
        return found
    return third if name == "gradient of a Hessian" else np.stack([slope, 8 * slope])


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_function_with_state_and_branches_is_run_at_each_call(name: str) -> None:
    state = {"calls": 0, "factor": 1.0}

    def f(x: Any) -> Any:
        state["calls"] += 1
        y = x * x * x * state["factor"]
        return (y * 2.0).sum() if state["calls"] % 3 == 0 else y.sum()

    transformed = TRANSFORMS[name](f)
    for k, x in enumerate(_points()):
        state["factor"], state["calls"] = 1.0 + k % 5, 3 * k - (k % 2)
        branch = name != "rows" and (state["calls"] + 1) % 3 == 0
        if name == "rows":
            state["calls"] = 3 * k  # both calls of f take the same branch
        c = state["factor"] * (2.0 if branch else 1.0)
        assert_allclose(transformed(x), _wanted(name, c, x), rtol=1e-12, atol=1e-12)


def test_each_call_reads_what_the_function_reads_now() -> None:
    held = {"w": GRID, "mask": np.array([True, False, True])}

    def f(x: Any) -> Any:
        return (np.where(held["mask"], np.sin(x) * held["w"], x * x)).sum()

    for k, x in enumerate(_points()):
        held = {"w": GRID * k, "mask": np.array([k % 2 == 0, k % 3 == 0, True])}
        second = np.where(held["mask"], -np.sin(x) * held["w"], 2.0)
        assert_allclose(ng.hessian(f)(x), np.diag(second), atol=1e-14)
        first = np.where(held["mask"], np.cos(x) * held["w"], 2 * x)
        assert_allclose(ng.grad(f)(x), first)


def test_passes_that_keep_the_graph_are_those_of_the_rules() -> None:
    """With cotangents that are the argument, the result, one node twice, tracked or not."""
    for x in _points():
        leaf, other = ng.tensor(x, requires_grad=True), ng.tensor(GRID, requires_grad=True)
        y = leaf * leaf * 3.0
        for seed, value, slope in (
            (leaf, x, 12 * x),
            (ng.tensor(GRID), GRID, 6 * GRID),
            (y, 3 * x * x, 54 * x * x),
            (other, GRID, 6 * GRID),
        ):
            (g,) = ng.autograd.grad(y, leaf, seed, create_graph=True)
            assert_allclose(g.detach().numpy(), 6 * x * value)
            (h,) = ng.autograd.grad(g.sum(), leaf, create_graph=True)
            assert_allclose(h.detach().numpy(), slope)
        (g,) = ng.autograd.grad((y, y), leaf, (other, other), create_graph=True)
        assert_allclose(g.detach().numpy(), 12 * x * GRID)
        assert_allclose(ng.autograd.grad(g.sum(), other)[0].numpy(), 12 * x)


def test_numbers_of_the_function_are_told_apart() -> None:
    for k, x in enumerate(_points()):
        c = k + 1.0
        for p, zero in ((2.0, 0.0), (3.0, -0.0), (2, 0), (True, 1)):
            found = ng.hessian(lambda x, p=p, zero=zero, c=c: (x**p * c + 1 / (x + zero)).sum())(x)
            base = np.zeros(3) if p is True else p * (p - 1) * x ** (float(p) - 2)
            assert_allclose(np.diag(found), base * c + 2 / (x + zero) ** 3, rtol=1e-9)


def test_hooks_and_policies_are_seen_at_every_call() -> None:
    seen = []

    def f(x: Any, hooked: bool) -> Any:
        y = x * x
        if hooked:
            y.register_hook(lambda g: seen.append(1) or g * 2)
        return (y * x).sum()

    for k in range(6):
        factor = 2.0 if k % 2 else 1.0
        found = ng.grad(f)(GRID, bool(k % 2))
        assert_allclose(found, GRID**2 * (1 + 2 * factor))
    assert len(seen) == 3
    for _ in range(3):
        with ng.configure(nan_policy="raise"), pytest.raises(RuntimeError, match="nan_policy"):
            ng.grad(lambda x: np.sqrt(x).sum())(np.zeros(2))
        assert np.isinf(ng.grad(lambda x: np.sqrt(x).sum())(np.zeros(2))).all()
