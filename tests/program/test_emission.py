"""Random programs through planner and emitter, their text run as Python with checked accesses.

Without a compiler hundreds of programs take seconds. Tasks and blocks are made tiny, so that the
cutting of reductions shows on arrays of a few elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from differential import plan_and_constants, plan_of, positive, with_gradient
from emulator import in_tasks, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.core.interpret import walk
from nbgrad.program import arrange, emit
from nbgrad.program.program import Program

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
Values = list[Any]


@pytest.fixture(autouse=True)
def _tiny_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrange, "BLOCK", 8)
    monkeypatch.setattr(arrange, "FEW_CELLS", 3)
    for module in (arrange, emit):
        monkeypatch.setattr(module, "CHUNK", 5)


def check(program: Program, *args: Any, lengths: Sequence[int] = (1, 3, 10**9)) -> None:
    """Compare the text of a program, run in tasks of each length, with the references."""
    env = walk(program.tape, args, lambda eqn, xs: eqn.prim.evaluate(*xs, **eqn.params))
    for length in lengths:
        found = run(program, args, in_tasks(length))
        for value, out in zip(found, program.tape.outputs, strict=True):
            assert_allclose(value, env[out], rtol=1e-9, atol=1e-9)  # type: ignore[index]


# Slices of one dimension of size n >= 2, as (start, stop, step).
SLICES = [
    (1, None, 1),
    (None, -1, 1),
    (None, None, -1),
    (None, None, 2),
    (1, None, 2),
    (-1, 0, -2),
]


def window(x: Any, k: int) -> Any:
    """A slice of one or two dimensions of *x*, if it has elements to spare."""
    index = []
    for axis, n in enumerate(x.shape):
        chosen = SLICES[(k + 5 * axis) % len(SLICES)]
        index.append(slice(*chosen) if n > 2 else slice(None))
    return x[tuple(index)]


def fit(x: Any, y: Any) -> tuple[Any, Any]:
    """Windows of *x* and *y* that broadcast against each other."""
    x, y = (x, y) if x.ndim >= y.ndim else (y, x)
    lead = x.ndim - y.ndim
    sizes = [min(n, m) if m != 1 else 1 for n, m in zip(x.shape[lead:], y.shape, strict=True)]
    cut = tuple(slice(0, n) for n in sizes)
    kept = tuple(slice(0, n) if n > 1 else slice(None) for n in sizes)
    return x[(slice(None),) * lead + kept], y[cut]


OPERATIONS: dict[str, Callable[[Any, Any, int], Any]] = {
    "multiply": lambda x, y, k: (lambda a, b: a * b * 0.5)(*fit(x, y)),
    "add": lambda x, y, k: (lambda a, b: a + b)(*fit(x, y)),
    "window": lambda x, y, k: window(x, k),
    "window product": lambda x, y, k: (lambda a, b: a * b)(*fit(window(x, k), window(y, k + 1))),
    "transpose": lambda x, y, k: x.T,
    "sum": lambda x, y, k: x.sum(axis=k % x.ndim) if x.ndim else x,
    "mean": lambda x, y, k: x.mean(axis=k % x.ndim, keepdims=True) if x.ndim else x,
    "total": lambda x, y, k: (x * x).sum() * 0.1,
    "max": lambda x, y, k: x.max(axis=k % x.ndim) if x.ndim else x,
    "outer": lambda x, y, k: x[:, None] * x[None, :] if x.ndim == 1 else x,
    "flatten": lambda x, y, k: x.reshape(-1),
    "join": lambda x, y, k: ng.concatenate([x[:1], x]) if x.ndim else x,
    "element": lambda x, y, k: x[(k % x.shape[0],)] if x.ndim else x,
    "bounded": lambda x, y, k: ng.maximum(x, 0.7) + ng.where(x > 1.0, x, 0.25),
    "root": lambda x, y, k: ng.sqrt(x * x + 1.0),
}
step = st.tuples(
    st.sampled_from(list(OPERATIONS)), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)
)
some_steps = st.lists(step, min_size=1, max_size=10)


def values_of(steps: Sequence[tuple[str, int, int, int]], *inputs: Any) -> Values:
    """Apply each step to two earlier values; values that would be large are left out."""
    values = list(inputs)
    for name, i, j, k in steps:
        y = OPERATIONS[name](values[-1 - i % len(values)], values[-1 - j % len(values)], k)
        if 0 < y._node.size <= 200 and y.ndim <= 3:
            values.append(y)
    return values


SHAPES = [((5,), (4, 6)), ((3, 7), (7,)), ((2, 3, 4), (9,)), ((1, 6), (6, 1)), ((), (12,))]
relaxed = settings(suppress_health_check=list(HealthCheck))


@relaxed
@given(some_steps, st.sampled_from(SHAPES))
def test_values(steps: Any, shapes: Any) -> None:
    def f(*xs: Any) -> Values:
        return values_of(steps, *xs)[-3:]

    args = [positive(*shape, seed=k) for k, shape in enumerate(shapes)]
    check(plan_of(f, *shapes), *args)


def loss(steps: Any, *xs: Any) -> Any:
    last = values_of(steps, *xs)[-1]
    return (last * last * 0.5).sum()


@relaxed
@given(some_steps, st.sampled_from(SHAPES))
def test_gradients(steps: Any, shapes: Any) -> None:
    args = [positive(*shape, seed=k) for k, shape in enumerate(shapes)]
    check(plan_of(with_gradient(lambda *xs: loss(steps, *xs)), *shapes), *args)


@relaxed
@given(some_steps, st.sampled_from(SHAPES))
def test_second_order(steps: Any, shapes: Any) -> None:
    def curvature(*xs: Any) -> Any:
        tracked = [x * 1.0 for x in xs]
        for x in tracked:
            x._node.requires_grad = True
        total = loss(steps, *tracked)
        for last in (False, True):
            found = ng.autograd.grad(total, tracked, create_graph=not last, allow_unused=True)
            gradients = [g for g in found if g is not None]
            total = sum((g * g).sum() for g in gradients)
            if not total.requires_grad:
                break
        return gradients

    args = [positive(*shape, seed=k) for k, shape in enumerate(shapes)]
    # Roots are compared along weights, which are constants of the program.
    program, constants = plan_and_constants(curvature, *shapes)
    check(program, *args, *constants, lengths=[7])
