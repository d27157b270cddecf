"""Python loops found again in tapes: the same values, and the loop that was written.

What is found is run beside the tape as it was recorded: values have the same bits, derivatives agree.
"""

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
from nbgrad.transforms.repeats import Segment, Words, segments
from nbgrad.transforms.reroll import reroll
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.vjp import vjp

X = np.linspace(0.5, 1.5, 6)
ROWS = np.random.default_rng(3).normal(size=(90, 3))


def decay(x: Any) -> Any:
    y = x[0] * 2.0
    for k in range(100):
        y = np.sin(y) * 0.9 + x[1] * (0.01 * k)
    return y


def two_steps_back(x: Any) -> Any:
    a, b = x[0] * 0.1, x[1] * 0.1
    for _ in range(100):
        a, b = b, np.sin(a) * 0.3 + b * 0.5
    return a + b


def three_delays(x: Any) -> Any:
    a, b, c = x[0] * 1.0, x[1] * 1.0, x[2] * 1.0
    for _ in range(100):
        a, b, c = b, c, np.tanh(a) * 0.5 + np.tanh(c) * 0.4
    return a * b * c


def swapped(x: Any) -> Any:
    u, v = x[:3] * 1.0, x[3:] * 1.0
    for _ in range(60):
        u, v = v * 0.9 - u * 0.1, u * 0.9 + v * 0.1
    return (u * v).sum()


def kept_now_and_then(x: Any) -> Any:
    y, kept = x[0] * 1.0, []
    for k in range(200):
        y = y * 0.99 + np.cos(x[1]) * 0.1
        if k % 40 == 0:
            kept.append(y)
    return sum(kept)


def read_in_the_last_step(x: Any) -> Any:
    y = x * 1.0
    for _ in range(70):
        z = np.sin(y)
        y = z * 0.5 + np.sqrt(z * z + 1.0)
    return (y * z).sum()


def an_odd_beginning(x: Any) -> Any:
    y: Any = 0.0
    for _ in range(80):
        y = np.exp(-x * y) + y * 0.5
    return y.sum()


def rows_forwards(x: Any) -> Any:
    rows, h = ng.tensor(ROWS), x[0] * 1.0
    for k in range(len(ROWS)):
        h = np.tanh(h * 0.7 + (rows[k] * rows[k]).sum() * x[1])
    return h


def rows_backwards(x: Any) -> Any:
    rows, h = ng.tensor(ROWS), x[:3] * 1.0
    for k in range(len(ROWS) - 1, -1, -1):
        h = np.tanh(h * x[3:] + rows[k])
    return (h * h).sum()


def columns_in_steps(x: Any) -> Any:
    columns, h = ng.tensor(ROWS.T), x[:3] * 1.0
    for k in range(0, len(ROWS), 2):
        h = np.sin(h * 0.5 + columns[:, k]) * x[3:]
    return h.sum()


def differentiated_rows(x: Any) -> Any:
    long = np.concatenate([x] * 12)
    y = long[0] * 1.0
    for k in range(70):
        y = np.sin(y * long[k]) + long[71]
    return y


def arrays_from_elsewhere(x: Any) -> Any:
    y = x * 1.0
    for row in np.random.default_rng(0).normal(size=(90, 6)):
        y = np.tanh(y * 0.9 + row) * x
    return y.sum()


def single_precision(x: Any) -> Any:
    y = x.astype(np.float32)
    for k in range(70):
        y = np.sin(y) * 0.9 + k / 100 + 1
    return y.sum()


def whole_numbers(x: Any) -> Any:
    y = x * 1
    for k in range(99):
        y = y * 2 - y + k
    return (y * x).sum()


def two_results(x: Any) -> Any:
    """What a loop starts from are results of one operation."""
    u, v = ng.numpy.linalg.qr(x.reshape(3, 2))
    a, b = u.sum(), v.sum()
    for _ in range(70):
        a, b = np.sin(a) * 0.9 + b * 0.1, np.cos(b) * (u * x[0])[0, 0] + (v * a)[0, 1]
    return a * b


def loops_of(x: Any) -> Any:
    """Two loops, one after the other."""
    y = x[0] * 1.0
    for _ in range(90):
        y = np.sin(y) * 0.9
    z = y * x[1]
    for _ in range(90):
        z = np.cos(z) * 0.8 + y
    return z


def nested(x: Any) -> Any:
    y = x[:2] * 1.0
    for _ in range(30):
        for _ in range(5):
            y = y + 0.01 * np.sin(y)
        y = y * 0.95
    return y.sum()


LOOPS: dict[str, tuple[Callable[..., Any], int]] = {
    "decay": (decay, 1),
    "two steps back": (two_steps_back, 1),
    "three delays": (three_delays, 1),
    "swapped": (swapped, 1),
    "kept now and then": (kept_now_and_then, 1),
    "read in the last step": (read_in_the_last_step, 1),
    "an odd beginning": (an_odd_beginning, 1),
    "rows forwards": (rows_forwards, 1),
    "rows backwards": (rows_backwards, 1),
    "columns in steps": (columns_in_steps, 1),
    "differentiated rows": (differentiated_rows, 1),
    "arrays from elsewhere": (arrays_from_elsewhere, 1),
    "single precision": (single_precision, 1),
    "whole numbers": (whole_numbers, 1),
    "two loops": (loops_of, 1),
    "two results": (two_results, 1),
    "nested": (nested, 1),
}


def recorded(f: Callable[..., Any]) -> tuple[Tape, Any, list[Any]]:
    """The tape of *f* at X, the variable of its argument, and the arguments of the tape."""
    x = ng.tensor(X, requires_grad=True)
    out = f(x)._node
    cap = capture([out], differentiate=True)
    tape, var_of = build_tape(cap, [out])
    return tape, var_of[x._node], cap.values + cap.scalars


def gradient(tape: Tape, x: Any, args: list[Any]) -> Any:
    found, constants = vjp(tape, [x], seeded=[False])
    return computed(simplify(found), args + [c.value for c in constants])[0]


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_found_again(name: str) -> None:
    f, least = LOOPS[name]
    tape, x, args = recorded(f)
    found = reroll(tape, tape.inputs, fixed=[x])
    assert found is not None
    loops = [e for e in found.tape.eqns if e.prim.name == "scan"]
    assert len(loops) >= least
    assert len(found.tape) < len(tape) / 2
    given = found.given(args)
    assert_array_equal(computed(found.tape, given)[0], computed(tape, args)[0])
    expected = gradient(tape, x, args)
    assert_allclose(gradient(found.tape, x, given), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", LOOPS)
def test_eager_loops_are_what_they_were(name: str) -> None:
    f = LOOPS[name][0]
    tape, node, args = recorded(f)
    x = ng.tensor(X, requires_grad=True)
    y = f(x)
    y.backward()
    assert_allclose(y.detach().numpy(), computed(tape, args)[0], rtol=1e-13)
    assert_allclose(x.grad.numpy(), gradient(tape, node, args), rtol=1e-12, atol=1e-14)
    with ng.no_grad():
        assert_allclose(f(ng.tensor(X)).numpy(), y.detach().numpy(), rtol=1e-13)


def no_gradient_in_part(x: Any) -> Any:
    y = x * 1.0
    for _ in range(70):
        with ng.no_grad():
            scale = np.exp(-y)
        y = y * scale + np.sin(y)
    return y.sum()


def detached(x: Any) -> Any:
    y = x * 1.0
    for _ in range(70):
        y = y.detach() * x + np.sin(y) * 0.5
    return y.sum()


@pytest.mark.parametrize("f", [no_gradient_in_part, detached])
def test_gradients_that_are_turned_off_stay_off(f: Callable[..., Any]) -> None:
    x, z = (ng.tensor(X, requires_grad=True) for _ in range(2))
    f(x).backward()
    with ng.configure(tier="reference"):
        y = f(z)
        (g,) = ng.autograd.grad(
            y, [z], create_graph=True
        )  # by nodes, where nothing is found again
    assert_allclose(x.grad.numpy(), g.detach().numpy(), rtol=1e-12)


def test_gradients_of_what_is_inside_a_loop() -> None:
    x = ng.tensor(X, requires_grad=True)
    y, held = x * 1.0, []
    for k in range(80):
        y = np.sin(y) + 0.1
        if k in (20, 50):
            y.retain_grad()
            held.append(y)
    y.sum().backward()
    after = np.cos(held[1].detach().numpy())
    with ng.no_grad():
        z = np.sin(held[1]) + 0.1
        for _ in range(28):
            after = after * np.cos(z.numpy())
            z = np.sin(z) + 0.1
    assert_allclose(held[1].grad.numpy(), after, rtol=1e-10)
    assert held[0].grad is not None


# -------------------------------------------------------------------------------------- sequences


def words(steps: int, period: int, seed: int) -> Words:
    """Random operations that repeat, each reading what the step before, or it itself, gave."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(1, 4, period)
    back = rng.integers(1, 2 * period + 1, period)
    ops: list[int] = []
    reads: list[int] = []
    for k in range(steps * period):
        ops.append(int(kinds[k % period]))
        source = k - int(back[k % period])
        reads += [source if source >= 0 else -1 + source, -1]
    return Words(np.array(ops), np.arange(len(ops) + 1) * 2, np.array(reads))


def meant(s: Segment, kind: str, k: int, at: int, registers: list[int], step: int) -> int:
    if kind == "stack":
        return int(s.columns[k][step])
    return {"inside": at + k, "carry": registers[k] if kind == "carry" else 0}.get(kind, k)


@pytest.mark.parametrize("seed", range(40))
def test_segments_say_where_each_operand_comes_from(seed: int) -> None:
    period = seed % 13 + 1
    text = words(300 // period + 20, period, seed)
    for s in segments(text):
        rows = text.operands[2 * s.start : 2 * s.end].reshape(s.steps, -1)
        registers = [[x] for x in s.initial]
        for step in range(s.steps):
            at = s.start + step * s.period
            now = [r[-1] for r in registers]
            expected = [meant(s, kind, k, at, now, step) for kind, k in s.operands]
            assert_array_equal(rows[step], expected)
            for r, (kind, k) in zip(registers, s.follows, strict=True):
                r.append(at + k if kind == "inside" else now[k])


def test_finding_is_linear() -> None:
    """Array operations, a fixed number of them: counted by the words that they return."""
    for n in (1_000, 100_000):
        text = words(n // 10, 10, 1)
        (found,) = segments(text)
        assert found.steps >= n // 10 - 4


def test_what_does_not_repeat_stays_as_it_is() -> None:
    x = ng.tensor(X, requires_grad=True)
    rng, y = np.random.default_rng(0), x
    for _ in range(300):
        y = [np.sin, np.cos, np.tanh, np.arctan][rng.integers(4)](y)
    out = y.sum()._node
    cap = capture([out], differentiate=True)
    tape, _ = build_tape(cap, [out])
    assert reroll(tape, tape.inputs) is None


# ------------------------------------------------------------------------------------ transforms


@pytest.mark.parametrize(
    "name", ["decay", "three delays", "rows backwards", "arrays from elsewhere"]
)
def test_loops_are_found_in_what_is_traced(name: str) -> None:
    f = LOOPS[name][0]
    tape, node, args = recorded(f)
    expected = gradient(tape, node, args)
    compiled, derivative = ng.jit(f), ng.jit(ng.grad(f))
    assert_allclose(compiled(X), computed(tape, args)[0], rtol=1e-13)
    assert_allclose(derivative(X), expected, rtol=1e-11, atol=1e-14)


def test_a_long_loop_that_is_compiled_is_one_kernel() -> None:
    def f(x: Any) -> Any:
        y = x[0]
        for _ in range(700):
            y = np.sin(y) * 0.9 + x[1]
        return y

    for g in (ng.jit(f), ng.jit(ng.grad(f))):
        assert np.isfinite(g(X)).all()
        assert "def loop_" in g.source(X)
        assert len(g.source(X)) < 10_000


@pytest.mark.parametrize("name", ["two steps back", "rows forwards", "nested"])
def test_second_derivatives_of_loops(name: str) -> None:
    f, directions = LOOPS[name][0], np.random.default_rng(1).normal(size=X.shape)
    gradient = ng.grad(f)
    step = 1e-5 * directions
    slope = (gradient(X + step) - gradient(X - step)) / 2e-5
    x = ng.tensor(X, requires_grad=True)
    (g,) = ng.autograd.grad(f(x), [x], create_graph=True)
    (g * directions).sum().backward()
    assert x.grad is not None
    assert_allclose(x.grad.numpy(), slope, rtol=1e-5, atol=1e-8)


def test_a_derivative_that_a_traced_transform_differentiates_again() -> None:
    """Its argument is a recorded node: what is computed anew from the leaves would not belong to it."""

    def f(x: Any) -> Any:
        for _ in range(100):
            x = x + 0.01 * np.sin(x) * x
        return x.sum()

    x = np.array([0.5, 1.2])
    wanted = ng.hessian(f)(x)
    assert np.abs(np.diag(wanted)).min() > 0.1
    twice = ng.grad(lambda x: ng.grad(f)(x).sum())
    np.testing.assert_allclose(ng.jit(ng.hessian(f))(x), wanted, rtol=1e-11)
    np.testing.assert_allclose(ng.jit(twice)(x), np.diag(wanted), rtol=1e-11)
    np.testing.assert_allclose(twice(x), np.diag(wanted), rtol=1e-11)
