"""One function of tensors on every tier: values and gradients must agree with the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import nbgrad as ng
from nbgrad.core.aval import make_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import constant, placeholder
from nbgrad.core.values import value_of
from nbgrad.engine.demand import demand
from nbgrad.program.program import Program, make_program
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.simplify import simplify

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]


def plan_of(f: Function, *shapes: tuple[int, ...], dtype: Any = np.float64) -> Program:
    """The planned program of *f*, a function of arrays of these shapes that captures none."""
    program, constants = plan_and_constants(f, *shapes, dtype=dtype)
    assert not constants
    return program


def plan_and_constants(
    f: Function, *shapes: tuple[int, ...], dtype: Any = np.float64
) -> tuple[Program, list[Array]]:
    """The planned program of *f*, and what it takes after the arrays of these shapes."""
    inputs = [placeholder(make_aval(shape, np.dtype(dtype))) for shape in shapes]
    outputs = as_list(f(*(Tensor(node) for node in inputs)))
    nodes = [y._node if isinstance(y, Tensor) else constant(y) for y in outputs]
    tape, constants = linearize(nodes, inputs)
    return make_program(simplify(tape)), [value_of(node) for node in constants]


def with_gradient(f: Function) -> Function:
    """The value of *f* followed by its gradient with respect to every argument."""

    def both(*xs: Tensor) -> list[Any]:
        value, found = ng.value_and_grad(f, argnums=range(len(xs)))(*xs)
        return [value, *found]

    return both


def as_list(ys: Any) -> list[Any]:
    return list(ys) if isinstance(ys, (tuple, list)) else [ys]


def weighted(ys: Sequence[Any]) -> Any:
    """A scalar that every element of the differentiable *ys* has another weight in."""
    total: Any = None
    for k, y in enumerate(ys):
        if y.requires_grad:
            weights = np.cos(np.arange(y._node.size) + k).reshape(y.shape).astype(y.dtype)
            term = (y * ng.tensor(weights)).sum()
            total = term if total is None else total + term
    return total


def evaluate(tier: str, f: Function, arrays: Sequence[Any], order: int) -> list[Array]:
    """Values of *f*, and derivatives of a weighted sum of them up to *order*, on a tier."""
    with ng.configure(tier=tier):
        xs = [ng.tensor(a) for a in arrays]
        for x in xs:
            if order and x.dtype.kind == "f":
                x.requires_grad_()
        active = [x for x in xs if x.requires_grad]
        results = as_list(f(*xs))
        total = weighted(results)
        for k in range(order):
            if total is None or not total.requires_grad:
                break
            last = k + 1 == order
            found = ng.autograd.grad(total, active, create_graph=not last, allow_unused=True)
            gradients = [g for g in found if g is not None]
            results += gradients
            total = weighted(gradients)
        demand([y._node for y in results if isinstance(y, Tensor)])  # in one program, not one each
        return [y.detach().numpy() for y in results]


def agree(
    f: Function,
    *arrays: Any,
    order: int = 1,
    rtol: float | None = None,
    tiers: Sequence[str] = ("fused", "block"),
) -> None:
    """Assert that *f* and its derivatives are the same on every tier, to rounding."""
    wanted = evaluate("reference", f, arrays, order)
    for tier in tiers:
        for found, exact in zip(evaluate(tier, f, arrays, order), wanted, strict=True):
            assert (found.dtype, found.shape) == (exact.dtype, exact.shape)
            if exact.dtype.kind not in "fc":
                np.testing.assert_array_equal(found, exact)
                continue
            tolerance = rtol or (2e-5 if exact.dtype.itemsize == 4 else 1e-11)
            finite = np.abs(exact[np.isfinite(exact)])
            scale = float(finite.max()) if finite.size else 0.0
            np.testing.assert_allclose(found, exact, rtol=tolerance, atol=tolerance * scale)


def positive(*shape: int, dtype: Any = np.float64, seed: int = 0) -> Array:
    """Random numbers between 0.2 and 1.5."""
    return np.random.default_rng(seed).uniform(0.2, 1.5, shape).astype(dtype)
