"""Random programs with views, in-place writes, detach, no_grad regions and hooks, against NumPy.

The twin (alias_twin.py) holds Taylor coefficients in real arrays, whose views truly share memory.
``NBGRAD_ATTACK=5000`` runs that many programs instead of the few of every day.
"""

from __future__ import annotations

import os
from typing import Any

import alias_programs as programs
import alias_twin as twin
import numpy as np
import pytest
from attacking import LIMIT

import nbgrad as ng

pytestmark = pytest.mark.timeout(LIMIT)
COUNT = int(os.environ.get("NBGRAD_ATTACK", "120"))
PARTS = 8
FACTORIAL = [1.0, 1.0, 2.0, 6.0]
WEIGHTS = np.linspace(0.3, 1.7, programs.MAX_SIZE)


def loss_of(tensors: list[Any]) -> Any:
    """A smooth scalar that every element of every register enters."""
    total: Any = 0.0
    for k, t in enumerate(tensors):
        weights = WEIGHTS[: t.size].reshape(t.shape) * (1 + 0.1 * k)
        total = total + (t * weights).sum() + 0.01 * (t * t).sum()
    return total


def twin_loss(maker: programs.Maker) -> np.ndarray:
    total = np.zeros(twin.ORDER + 1)
    for k, t in enumerate(t for t in maker.registers if t is not None):
        weights = WEIGHTS[: t.c[0].size].reshape(t.shape) * (1 + 0.1 * k)
        squares = twin.multiply(t.c, t.c)
        total += [(a * weights).sum() + 0.01 * b.sum() for a, b in zip(t.c, squares, strict=True)]
    return total * FACTORIAL


def derivatives(loss: Any, x: Any, d: Any, retain: bool) -> list[float]:
    """The loss and its first three derivatives along *d*."""
    found = [loss.item()]
    for k in range(1, twin.ORDER + 1):
        if not loss.requires_grad:
            return found + [0.0] * (twin.ORDER + 1 - k)
        options = {"create_graph": k < twin.ORDER, "retain_graph": retain or k < twin.ORDER}
        (g,) = ng.autograd.grad(loss, x, materialize_grads=True, **options)
        loss = (g * d).sum()
        found.append(loss.item())
    return found


def check_eager(maker: programs.Maker, wanted: Any) -> None:
    x = ng.tensor(maker.x, requires_grad=True)
    live = programs.run(maker.program, x)
    for t, c in zip(live, (t for t in maker.registers if t is not None), strict=True):
        np.testing.assert_allclose(t.detach().numpy(), c.c[0], rtol=1e-9, atol=1e-9)
    loss = loss_of(live)
    found = derivatives(loss, x, maker.d, retain=True)
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-7)
    if loss.requires_grad:
        for _ in range(2):
            loss.backward(retain_graph=True)
        slope = float((x.grad * maker.d).sum())
        np.testing.assert_allclose(slope, 2 * wanted[1], rtol=1e-7, atol=1e-7)


def writes_the_leaf(maker: programs.Maker) -> bool:
    return not np.array_equal(maker.registers[0].c[0], maker.x)


def check_jit(maker: programs.Maker, wanted: Any) -> None:
    """Under jit, of arrays; through it, of a tensor; and the gradient jitted."""

    def f(x: Any) -> Any:
        return loss_of(programs.run(maker.program, x))

    jitted = ng.jit(f)
    np.testing.assert_allclose(float(jitted(maker.x)), wanted[0], rtol=1e-7, atol=1e-7)
    x = ng.tensor(maker.x, requires_grad=True)
    found = derivatives(jitted(x), x, maker.d, retain=False)
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-7)
    g = ng.jit(ng.grad(f))(maker.x)
    np.testing.assert_allclose((g * maker.d).sum(), wanted[1], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("part", range(PARTS))
def test_programs_of_views_and_writes(part: int) -> None:
    """Values, and derivatives of order 1 to 3, are those of arrays that share memory."""
    wrong = []
    with ng.configure(tier="reference"):
        for seed in range(part, COUNT, PARTS):
            maker = programs.Maker(seed)
            wanted = twin_loss(maker)
            try:
                check_eager(maker, wanted)
                if seed % 3 == 0 and not writes_the_leaf(maker):
                    check_jit(maker, wanted)
            except Exception as error:
                wrong.append(f"seed {seed}: {type(error).__name__} {str(error)[:300]}")
    assert not wrong, f"{len(wrong)} wrong\n" + "\n".join(wrong[:10])
