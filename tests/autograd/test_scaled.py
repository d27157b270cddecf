"""PyTorch's operations with a factor, and keywords that an operation does not have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.core.primitive import bind
from nbgrad.ops import basis
from nbgrad.ops.elements import arithmetic

A, B, C = (np.random.default_rng(k).uniform(0.5, 2.0, (3, 3)) for k in range(3))
BATCHES = np.random.default_rng(3).normal(size=(2, 4, 3, 3))
CALLS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "add": (lambda x, y, a: x + a * y, (B,), {"alpha": -0.1}),
    "sub": (lambda x, y, a: x - a * y, (B,), {"alpha": 2.5}),
    "addcmul": (lambda x, y, z, a: x + a * y * z, (B, C), {"value": 0.3}),
    "addcdiv": (lambda x, y, z, a: x + a * y / z, (B, C), {"value": -2}),
    "lerp": (lambda x, y, a: x + a * (y - x), (B,), {"weight": 0.25}),
    "rsqrt": (lambda x: 1 / np.sqrt(x), (), {}),
    "frac": (lambda x: x - np.trunc(x.real), (), {}),
    "clamp_min": (lambda x, a: np.where(x.real < a, a, x), (), {"min": 1.2}),
    "clamp_max": (lambda x, a: np.where(x.real > a, a, x), (), {"max": 1.2}),
    "addmm": (lambda x, y, z, b, a: b * x + a * y @ z, (B, C), {"beta": 0.5, "alpha": 2.0}),
    "addmv": (lambda x, y, z, b, a: b * x + a * y @ z, (B, C[0]), {"beta": 1.5, "alpha": 2.0}),
    "addr": (lambda x, y, z, b, a: b * x + a * np.outer(y, z), (B[0], C[0]), {"beta": 2, "alpha": 3}),
    "addbmm": (lambda x, y, z, b, a: b * x + a * (y @ z).sum(0), (*BATCHES,), {"beta": 2, "alpha": 3}),
}  # fmt: skip


@pytest.mark.parametrize("tier", ["reference", "block", "fused"])
@pytest.mark.parametrize("name", CALLS)
def test_factors(name: str, tier: str) -> None:
    formula, operands, factors = CALLS[name]
    wanted = formula(A, *operands, *factors.values())
    with ng.configure(tier=tier):
        x = ng.tensor(A, requires_grad=True)
        tensors = [ng.tensor(y) for y in operands]
        found = [getattr(x, name)(*tensors, **factors), getattr(ng, name)(x, *operands, **factors)]
        y = ng.tensor(A)
        assert getattr(y, name + "_")(*operands, **factors) is y
        for t in (*found, y):
            np.testing.assert_allclose(t.detach().numpy(), wanted, rtol=1e-14)
        found[0].sum().backward()
        step = 1e-20j
        slope = formula(A + step * np.eye(3), *operands, *factors.values()).imag.sum() / 1e-20
        np.testing.assert_allclose(np.trace(x.grad.numpy()), slope, rtol=1e-12)


def test_factors_may_be_tensors() -> None:
    a = ng.tensor(0.5, requires_grad=True)
    x = ng.tensor(A)
    x.add(B, alpha=a).sum().backward()
    np.testing.assert_allclose(a.grad.item(), B.sum(), rtol=1e-14)
    y = ng.tensor(A)
    y.add_(B, alpha=ng.tensor(2.0))
    np.testing.assert_allclose(y.numpy(), A + 2 * B, rtol=1e-15)


@pytest.mark.parametrize("tier", ["reference", "auto"])
def test_a_step_of_gradient_descent_by_hand(tier: str) -> None:
    with ng.configure(tier=tier):
        w, g = ng.tensor([1.0, 2.0], requires_grad=True), np.array([1.0, -1.0])
        with ng.no_grad():
            for _ in range(5):
                w.add_(g, alpha=-0.1)
        np.testing.assert_allclose(w.detach().numpy(), [0.5, 2.5], rtol=1e-14)


@pytest.mark.parametrize("mode", [None, "floor", "trunc"])
@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_rounding_modes_of_division(mode: str | None, dtype: Any) -> None:
    a = np.array([7, -7, 6, -6, 0, 2**53 + 1]).astype(dtype)
    b = np.array([2, 2, -4, -3, 5, 1]).astype(dtype)
    exact = a / b
    if mode is not None:
        exact = a // b if mode == "floor" else (np.sign(a) * np.sign(b) * (abs(a) // abs(b)))
    for found in (ng.tensor(a).div(b, rounding_mode=mode), ng.div(a, b, rounding_mode=mode)):
        np.testing.assert_array_equal(found.numpy(), exact)
    with pytest.raises(ValueError, match="rounding_mode must be"):
        ng.tensor(a).div(b, rounding_mode="up")


@pytest.mark.parametrize("tier", ["reference", "block", "fused"])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x.mul_(2.0, alpha=3.0),
        lambda x: x.add_(2.0, beta=3.0),
        lambda x: x.sin_(out=3.0),
        lambda x: x.add_(2.0, 3.0),
        lambda x: x.div_(2.0, value=3),
        lambda x: ng.multiply(x, 2.0, alpha=3.0),
        lambda x: ng.add(x, 2.0, value=3.0),
        lambda x: x.exp_(1.0),
    ],
    ids=map(str, range(8)),
)
def test_a_keyword_that_is_not_declared_is_refused(wrong: Any, tier: str) -> None:
    """At the call, whatever the tier, and the tensor is as it was."""
    with ng.configure(tier=tier):
        x = ng.tensor([1.0, 2.0])
        with pytest.raises(TypeError):
            wrong(x)
        assert x.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("prim", "operands", "params"),
    [
        (arithmetic.add, (1.0, 2.0), {"alpha": 2}),
        (arithmetic.add, (1.0, 2.0, 3.0), {}),
        (arithmetic.add, (1.0,), {}),
        (arithmetic.sqrt, (1.0,), {"n": 2}),
        (arithmetic.integer_power, (1.0,), {}),
        (arithmetic.integer_power, (1.0,), {"n": 2, "m": 3}),
        (basis.reshape, (1.0,), {"shape": (1,), "order": "F"}),
    ],
    ids=map(str, range(7)),
)
def test_bind_refuses_what_a_primitive_does_not_declare(
    prim: Any, operands: Any, params: Any
) -> None:
    nodes = [ng.tensor(x)._node for x in operands]
    for _ in range(2):
        with pytest.raises(TypeError, match=prim.name):
            bind(prim, *nodes, **params)
