"""Python loops of Python loops found again in tapes: one loop, in whose step there are loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nbgrad as ng
from nbgrad.core.interpret import computed
from nbgrad.core.linearize import build_tape, capture
from nbgrad.core.tape import Tape
from nbgrad.transforms.reroll import with_loops
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.vjp import vjp

X = np.linspace(0.5, 1.5, 6)
ROWS = np.random.default_rng(3).normal(size=(12, 45)) * 0.1


def plain(x: Any) -> Any:
    u, v = x[0] * 1.0, x[1] * 1.0
    for _ in range(12):
        for _ in range(45):
            u, v = u + 0.01 * v * x[2], v - 0.01 * np.sin(u)
        u = u * 0.9 + 0.1 * np.cos(v)
    return u * v


def numbers_of_both_loops(x: Any) -> Any:
    y = x[0] * 1.0
    for a in range(12):
        for b in range(45):
            y = y + 0.01 * np.sin(y * (0.1 * b) + x[1] * (0.3 * a))
        y = np.tanh(y) * x[2]
    return y


def rows_of_both_loops(x: Any) -> Any:
    y = x[:3] * 1.0
    for a in range(12):
        z = y * 0.1
        for b in range(45):
            z = np.sin(z) * 0.9 + ROWS[a, b] * x[3:] + 0.1
        y = y * 0.5 + z + ROWS[a, 0]
    return (y * y).sum()


def two_loops_inside(x: Any) -> Any:
    u, v = x[0] * 1.0, x[1] * 1.0
    for _ in range(11):
        for _ in range(40):
            u = u + 0.01 * np.sin(v) * u
        for _ in range(50):
            v = v - 0.01 * np.cos(u) * x[2]
    return u - v


def kept_by_the_outer_loop(x: Any) -> Any:
    y, kept = x[0] * 1.0, []
    for _ in range(14):
        for _ in range(40):
            y = y * 0.99 + np.cos(y) * x[1] * 0.01
        kept.append(y)
        y = np.tanh(y)
    return ng.stack(kept).sum() + kept[5] * kept[-1]


def three_loops(x: Any) -> Any:
    y = x[0] * 1.0
    for _ in range(9):
        for _ in range(9):
            for _ in range(36):
                y = y + 0.01 * np.sin(y) * x[1]
            y = y * 0.99
        y = y + 0.1 * x[2]
    return y


def older_states(x: Any) -> Any:
    """The outer loop carries what it gave two steps ago; the inner one begins with it."""
    a, b = x[0] * 1.0, x[1] * 1.0
    for _ in range(12):
        c = a * 0.3 + b * 0.6
        for _ in range(45):
            c = np.sin(c) * 0.9 + 0.1 * b
        a, b = b, c
    return a * b


# What runs, how many equations are left at most, how deep its loops are.
NESTED: list[tuple[Callable[..., Any], int, int]] = [
    (plain, 12, 2),
    (numbers_of_both_loops, 12, 2),
    (rows_of_both_loops, 20, 2),
    (two_loops_inside, 12, 2),
    (kept_by_the_outer_loop, 80, 2),
    (three_loops, 20, 2),
    (older_states, 20, 2),
]


def depth(tape: Tape) -> int:
    bodies = [e.params["body"].tape for e in tape.eqns if e.prim.name == "scan"]
    return max([1 + depth(body) for body in bodies], default=0)


@pytest.mark.parametrize(("f", "most", "levels"), NESTED, ids=lambda f: getattr(f, "__name__", ""))
def test_loops_of_loops_are_found_again(f: Callable[..., Any], most: int, levels: int) -> None:
    x = ng.tensor(X, requires_grad=True)
    with ng.configure(max_pending=10**6):
        out = f(x)._node
    cap = capture([out], differentiate=True)
    tape, var_of = build_tape(cap, [out])
    args, node = cap.values + cap.scalars, var_of[x._node]
    numbers = dict(zip(tape.inputs, args, strict=True))
    found = with_loops(tape, tape.inputs, fixed=[node], numbers=numbers)
    assert found is not None
    assert len(found.tape) <= most and depth(found.tape) == levels
    given = found.given(args)
    assert_array_equal(computed(found.tape, given)[0], computed(tape, args)[0])
    slopes = []
    for t, values in ((tape, args), (found.tape, given)):
        derivative, constants = vjp(t, [node], seeded=[False])
        slopes += computed(simplify(derivative), values + [c.value for c in constants])
    assert_allclose(slopes[1], slopes[0], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(
    "f", [plain, numbers_of_both_loops, older_states], ids=lambda f: f.__name__
)
def test_derivatives_of_nested_loops_that_are_folded(f: Callable[..., Any]) -> None:
    directions = np.random.default_rng(1).normal(size=X.shape)
    found: list[Any] = []
    for limit in (160, 10**6):
        with ng.configure(max_pending=limit, tier="reference"):
            x, z = (ng.tensor(X, requires_grad=True) for _ in range(2))
            f(x).backward()
            (g,) = ng.autograd.grad(f(z), [z], create_graph=True)
            (g * directions).sum().backward()
            assert x.grad is not None and z.grad is not None
            found.append((x.grad.numpy(), z.grad.numpy()))
    assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12)
    assert_allclose(found[0][0], g.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_a_nested_loop_that_is_compiled_is_one_kernel() -> None:
    for g in (ng.jit(plain), ng.jit(ng.grad(plain))):
        assert np.isfinite(g(X)).all()
        assert g.source(X).count("def loop_") <= 2  # one there, one back
