"""Programs of jit, derivatives, detach and no_grad nested at random to order 3, against a twin.

``NBGRAD_ATTACK=5000`` runs that many programs instead of the few of every day. Most run on NumPy's
tier, since what is compared here is made before a program is compiled.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from attacking import LIMIT
from numpy.testing import assert_allclose
from transform_twin import CONSTANTS, INNER, N, Step, columns, gradient, program, total, twin

import nbgrad as ng

pytestmark = pytest.mark.timeout(LIMIT)
COUNT = int(os.environ.get("NBGRAD_ATTACK", "40"))
BATCHES = 4
V = np.array([1.0, 2.0])


class Runner:
    """A program run by nbgrad: *plain* leaves every jit away.

    What reads nothing from outside is compiled once and called with all it needs, in whatever
    surroundings; else a function that closes over what surrounds it is compiled where it stands.
    """

    def __init__(self, plain: bool) -> None:
        self.plain = plain
        self.compiled: dict[tuple[int, int], Any] = {}

    def jit(self, f: Any, wanted: bool) -> Any:
        return ng.jit(f) if wanted and not self.plain else f

    def run(self, step: Step, values: Sequence[Any]) -> Any:
        kind, choice = step.kind, step.choice
        if kind == "variable":
            return values[choice % len(values)]
        if kind == "constant":
            return CONSTANTS[choice % 3] if choice & 64 else ng.tensor(CONSTANTS[choice % 3])
        if kind in INNER:
            return self.inner(step, values)
        if kind == "no_grad":
            with ng.no_grad():
                return self.run(step.parts[0], values) * 1.0
        if kind == "enable":
            with ng.no_grad(), ng.enable_grad():
                return self.run(step.parts[0], values) * 1.0
        xs = [ng.as_tensor(self.run(part, values)) for part in step.parts]
        return _operation(kind, *xs)

    def inner(self, step: Step, values: Sequence[Any]) -> Any:
        body, argument = step.parts
        x, choice = self.run(argument, values), step.choice
        if choice & 3 == 0 and not self.plain:
            key = (id(step), len(values))
            if key not in self.compiled:
                self.compiled[key] = self.jit(
                    lambda *given: self.transformed(step, body, given[:-1])(given[-1]), True
                )
            return self.compiled[key](*values, x)
        return self.jit(self.transformed(step, body, values), choice & 12 != 0)(x)

    def transformed(self, step: Step, body: Step, values: Sequence[Any]) -> Callable[..., Any]:
        kind, choice = step.kind, step.choice
        f = self.jit(lambda y: self.run(body, [*values, y]) * 1.0, choice & 16 != 0)
        scalar = self.jit(lambda y: ng.as_tensor(f(y)).sum(), choice & 32 != 0)
        if kind == "call":
            return f
        if kind == "grad":
            return ng.grad(scalar)
        if kind == "value_and_grad":
            return lambda y: _product(*ng.value_and_grad(scalar)(y))
        transform = ng.jacobian(f) if kind == "jacobian" else ng.hessian(scalar)
        return lambda y: ng.as_tensor(self.jit(transform, choice & 64 != 0)(y)) @ V


def _product(value: Any, gradient: Any) -> Any:
    return value * gradient


def _operation(kind: str, x: Any, y: Any = None) -> Any:
    if kind in ("add", "subtract", "multiply"):
        return getattr(np, kind)(x, y)
    if kind == "detach":
        return x.detach()
    if kind == "straight":
        return x + (y - x).detach()
    if kind == "write":
        z = x * 1.0
        z *= 0.5
        z[0] = y[1]
        return z
    if kind == "reverse":
        return x[::-1]
    if kind == "mean":
        return x.mean() * np.ones(N)
    return x * 0.75 if kind == "scale" else getattr(np, kind)(x)


def _wanted(step: Step, x: Any) -> list[Any]:
    """The value, gradient, Hessian and third derivatives that the twin finds."""

    def scalar(x: Any) -> Any:
        return total(twin(step, [x]))

    def slope(x: Any) -> Any:
        return gradient(scalar, x)

    found = [np.broadcast_to(_number(scalar(x)), (N,))[0], _number(slope(x))]
    found.append(np.stack([np.broadcast_to(_number(c), (N,)) for c in columns(slope, x)], -1))
    return found


def _number(x: Any) -> Any:
    return np.asarray(x, float)


def _found(step: Step, x: Any, plain: bool, calls: int) -> list[list[Any]]:
    """The same by nbgrad, in several ways."""
    runner = Runner(plain)

    def scalar(x: Any) -> Any:
        return ng.as_tensor(runner.run(step, [x])).sum()

    jit = (lambda f: f) if plain else ng.jit
    ways = [
        [scalar, ng.grad(scalar), ng.hessian(scalar)],
        [jit(scalar), ng.grad(jit(scalar)), ng.jacobian(jit(ng.grad(scalar)))],
        [jit(jit(scalar)), jit(ng.grad(jit(scalar))), jit(ng.hessian(scalar))],
    ]
    found = [
        [ng.as_tensor(f(x)).detach().numpy() for f in way] for way in ways for _ in range(calls)
    ]
    leaf = ng.tensor(x, requires_grad=True)
    y = jit(scalar)(leaf)
    first = _row(y, leaf)
    second = [_row(first[k], leaf).detach().numpy() for k in range(N)]
    return [*found, [y.detach().numpy(), first.detach().numpy(), np.stack(second)]]


def _row(y: Any, x: Any) -> Any:
    if not y.requires_grad:
        return ng.zeros(N)
    return ng.autograd.grad(y, x, create_graph=True, materialize_grads=True)[0]


@pytest.mark.parametrize("batch", range(BATCHES))
def test_nested_transforms_agree_with_their_twin(batch: int) -> None:
    for number in range(batch, COUNT, BATCHES):
        source = random.Random(number)
        # Times its variable, so that few derivatives vanish.
        parts = program(source, source.randint(3, 6), 1, 1), Step("variable", (), 0)
        step = Step("multiply", parts, 0)
        x = np.array([source.uniform(-1, 1) for _ in range(N)])
        wanted = _wanted(step, x)
        scale = 1 + max(np.abs(w).max() for w in wanted)
        if not np.isfinite(scale) or scale > 1e8:
            continue
        for plain in (True, False):
            with ng.configure(tier="auto" if number % 25 == 7 else "reference"):
                results = _found(step, x, plain, 2)
            for way, found in enumerate(results):
                for order, (a, b) in enumerate(zip(found, wanted, strict=True)):
                    message = f"program {number}, plain {plain}, way {way}, order {order}: {step}"
                    assert_allclose(a, b, rtol=1e-9, atol=1e-9 * scale, err_msg=message)
