"""Loops that read an array bit by bit: their adjoints are put together, so cost is linear."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.engine.programs import executable
from nbgrad.ops.identities import terms
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.vjp import vjp

Function = Callable[[Any], Any]


def elements(x: Any) -> Any:
    return sum(x[i] * x[i + 1] * np.sin(x[i]) for i in range(len(x) - 1))


def backwards_and_some(x: Any) -> Any:
    return (x * x).sum() + sum(x[-i] * x[i - 1] ** 2 for i in range(3, len(x) - 2)) + x.max()


def fields(x: Any) -> Any:
    total = 0.0
    for k in range(len(x)):
        total = total + x[0] * np.sin(k * x[1]) + x[2] ** 2
    return total


def windows(x: Any) -> Any:
    return sum((x[i : i + 3] * x[i]).sum() ** 2 for i in range(len(x) - 3))


def strides(x: Any) -> Any:
    return sum((x[i : i + 5 : 2] ** 3).prod() for i in range(len(x) - 5))


def reversed_windows(x: Any) -> Any:
    return sum((x[i + 2 : i : -1] * np.array([1.0, 2.0])).sum() ** 2 for i in range(len(x) - 3))


def beside_a_large_slice(x: Any) -> Any:
    return (x[1:] * x[:-1]).sum() + sum(x[i] ** 3 for i in range(len(x)))


def rows(x: Any) -> Any:
    m = x.reshape(-1, 2)
    return sum((m[i] * m[i + 1]).sum() ** 2 for i in range(len(x) // 2 - 1))


def columns(x: Any) -> Any:
    m = x.reshape(2, -1)
    return sum((m[:, j] * m[::-1, j + 1]).sum() ** 2 for j in range(len(x) // 2 - 1))


def row_then_element(x: Any) -> Any:
    m = x.reshape(-1, 2)
    return sum(m[i][j] ** 3 * m[i - 1][1 - j] for i in range(len(x) // 2) for j in range(2))


def pairs(x: Any) -> Any:
    m = x.reshape(2, -1)
    return sum(m[k, j] ** 3 * m[1 - k, j - 1] for j in range(len(x) // 2) for k in range(2))


def blocks(x: Any) -> Any:
    m = x[: len(x) // 6 * 6].reshape(-1, 3)
    return sum((m[i : i + 2, :2] ** 2).prod() for i in range(0, len(x) // 3 - 1))


def index_arrays(x: Any) -> Any:
    order = np.random.default_rng(1).integers(len(x), size=(len(x), 2))
    return sum((x[pair] ** 3).sum() * x[pair[::-1]].prod() for pair in order)


def iteration(x: Any) -> Any:
    total = 0.0
    for here, there in itertools.pairwise(x):
        total = total + np.sin(here) * there**2
    return total


FUNCTIONS = [
    elements,
    backwards_and_some,
    fields,
    windows,
    strides,
    reversed_windows,
    beside_a_large_slice,
    rows,
    columns,
    row_then_element,
    pairs,
    blocks,
    index_arrays,
    iteration,
]
everywhere = pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
X = np.random.default_rng(0).uniform(0.5, 1.5, size=24)


def by_complex_step(f: Function, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    steps = x + 1e-30j * np.eye(x.size)
    return np.array([np.imag(f(step)) / 1e-30 for step in steps])


@everywhere
def test_gradients(f: Function) -> None:
    expected = by_complex_step(f, X)
    assert_allclose(ng.grad(f)(X), expected, rtol=1e-12, atol=1e-12)
    with ng.configure(tier="block"):
        assert_allclose(ng.grad(f)(X), expected, rtol=1e-12, atol=1e-12)
    t = ng.tensor(X, requires_grad=True)
    f(t).backward(create_graph=True)
    assert_allclose(t.grad.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("f", [elements, windows, columns], ids=lambda f: f.__name__)
def test_compiled_gradients(f: Function) -> None:
    expected = by_complex_step(f, X[:12])
    assert_allclose(ng.jit(ng.grad(f))(X[:12]), expected, rtol=1e-12, atol=1e-12)


@everywhere
def test_second_derivatives(f: Function) -> None:
    with ng.configure(tier="reference"):
        compare_second_derivatives(f)


def compare_second_derivatives(f: Function) -> None:
    v = np.cos(np.arange(X.size))
    gradient = ng.grad(f)
    step = 1e-6
    expected = (gradient(X + step * v) - gradient(X - step * v)) / (2 * step)
    forward = ng.jacobian(gradient)(X) @ v  # by columns: forward over reverse
    reverse = ng.grad(lambda x: (gradient(x) * v).sum())(X)
    assert_allclose(forward, expected, rtol=2e-7, atol=1e-6)
    assert_allclose(reverse, forward, rtol=1e-11, atol=1e-11)


def work(f: Function, n: int) -> int:
    """Elements that the gradient of *f* computes for *n* numbers."""
    x = placeholder(ng.tensor(np.ones(n))._node.aval, requires_grad=True)
    y = f(Tensor(x))._node
    tape, _ = linearize([y], [x])
    return executable(vjp(tape, [tape.inputs[0]])[0]).elements


@everywhere
def test_the_work_is_linear(f: Function) -> None:
    assert work(f, 240) <= 2.2 * work(f, 120)


def test_few_large_slices_are_added_as_they_are() -> None:
    x = placeholder(ng.tensor(np.ones((12, 12)))._node.aval, requires_grad=True)
    t = Tensor(x)
    y = (t[1:-1, 1:-1] * (t[2:, 1:-1] + t[:-2, 1:-1] + t[1:-1, 2:] + t[1:-1, :-2])).sum()
    tape, _ = linearize([y._node], [x])
    names = [eqn.prim.name for eqn in vjp(tape, [tape.inputs[0]])[0].eqns]
    assert names.count("pad") == 5
    assert "scatter_add" not in names and "concatenate" not in names


def test_parts_of_one_window_are_added_before_they_are_padded() -> None:
    x = placeholder(ng.tensor(np.ones(12))._node.aval, requires_grad=True)
    y = fields(Tensor(x))._node
    tape, _ = linearize([y], [x])
    names = [eqn.prim.name for eqn in vjp(tape, [tape.inputs[0]])[0].eqns]
    assert names.count("pad") == 3


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_other_dtypes(dtype: Any) -> None:
    x = X.astype(dtype)

    def f(x: Any) -> Any:
        return sum(abs(x[i] * x[i + 1]) ** 2 for i in range(len(x) - 1))

    few, terms.FEW = terms.FEW, 10**9
    try:
        expected = ng.grad(f)(x)
    finally:
        terms.FEW = few
    found = ng.grad(f)(x)
    assert found.dtype == dtype
    assert_allclose(found, expected, rtol=1e-5)
