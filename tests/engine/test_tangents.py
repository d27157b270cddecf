"""Forward mode runs tapes: the rules are met once a structure, then a program runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.engine import jacobians

F = ng.autograd.functional
X, V = np.linspace(0.3, 0.9, 4), np.linspace(1.0, -1.0, 4)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for each tape of tangents that is made: the equations of the primal."""
    found: list[int] = []
    original = jacobians.jvp

    def counted(tape: Any, *args: Any, **options: Any) -> Any:
        found.append(len(tape))
        return original(tape, *args, **options)

    monkeypatch.setattr(jacobians, "jvp", counted)
    return found


def value(x: Any) -> Any:
    return (np.sin(x * 1.25) * np.exp(-x)).sum()


@pytest.mark.parametrize("product", [F.jvp, F.hvp, F.vhp], ids=["jvp", "hvp", "vhp"])
@pytest.mark.parametrize("tier", ["reference", "block", "fused"])
def test_one_tape_serves_all_calls(
    passes: list[int], product: Callable[..., Any], tier: str
) -> None:
    h = 1e-6
    with ng.configure(tier=tier):
        for scale in (1.0, 1.1, 1.2):
            x = scale * X
            y, found = product(value, ng.tensor(x), ng.tensor(V))
            derive = value if product is F.jvp else ng.grad(value)
            expected = (derive(x + h * V) - derive(x - h * V)) / (2 * h)
            assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-8)
            assert_allclose(y.item(), value(x), rtol=1e-13)
    assert len(passes) <= 1


def test_values_that_are_there_are_given_to_it(passes: list[int]) -> None:
    """What was looked at is not computed again; what nothing passes through has no tangent."""

    def f(x: Any) -> Any:
        y = np.exp(x)
        y.detach().numpy()
        with ng.no_grad():
            fixed = np.cos(x)
        return y * fixed, y.detach(), fixed

    outs, found = F.jvp(f, ng.tensor(X), ng.tensor(V))
    assert_allclose(found[0].numpy(), np.exp(X) * np.cos(X) * V, rtol=1e-13)
    assert not found[1].numpy().any() and not found[2].numpy().any()
    assert_allclose(outs[0].numpy(), np.exp(X) * np.cos(X), rtol=1e-13)
    assert len(passes) == 1


def test_where_a_graph_is_asked_for_the_rules_record_it(passes: list[int]) -> None:
    x = ng.tensor(X, requires_grad=True)
    found = F.jvp(value, x, ng.tensor(V), create_graph=True)[1]
    (gradient,) = ng.autograd.grad(found, x)
    assert_allclose(gradient.numpy(), F.hvp(value, ng.tensor(X), ng.tensor(V))[1].numpy())
    inside = ng.jit(lambda x: F.jvp(value, x, V)[1])(X)
    assert_allclose(inside, found.item(), rtol=1e-12)
