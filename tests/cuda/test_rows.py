"""Softmax and its kin: nests over the same rows as one kernel, in the simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cuda_device import THREADS, agree, marks, planned, run

import nbgrad as ng
from nbgrad.program.rows import Rows

pytestmark = marks
RNG = np.random.default_rng(3)


def softmax(x: Any) -> Any:
    e = ng.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def layer_norm(x: Any, scale: Any, shift: Any) -> Any:
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / ng.sqrt(variance + 1e-5) * scale + shift


def layer_norm_pulled(x: Any, scale: Any, shift: Any, d: Any) -> list[Any]:
    y, pull = ng.vjp(layer_norm, x, scale, shift)
    return [y, *pull(d)]


def cross_entropy(x: Any, target: Any) -> Any:
    return ng.value_and_grad(lambda x: -(ng.special.log_softmax(x, axis=-1) * target).sum())(x)


def log_sum_exp(x: Any) -> Any:
    return ng.value_and_grad(lambda x: ng.special.logsumexp(x, axis=-1).sum())(x)


def not_only_rows(x: Any) -> list[Any]:
    """Its first column, what is over all, and a transpose: read by others than the same lane."""
    y = softmax(x)
    return [y[:, :1] * x, y / y.sum(), softmax(y), y.T + 1.0, y.sum(axis=0), (y * y).mean()]


CASES: dict[str, tuple[Callable[..., Any], str]] = {
    "softmax": (softmax, "x"),
    "layer_norm": (layer_norm, "xcc"),
    "layer_norm_pulled": (layer_norm_pulled, "xccx"),
    "cross_entropy": (cross_entropy, "xx"),
    "log_sum_exp": (log_sum_exp, "x"),
    "not_only_rows": (not_only_rows, "x"),
}


def operands(kinds: str, shape: tuple[int, ...], dtype: Any) -> list[Any]:
    shapes = [shape if kind == "x" else shape[-1:] for kind in kinds]
    return [RNG.uniform(0.5, 1.5, s).astype(dtype) for s in shapes]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(12, 3), (3, 70), (2, 3, 17), (9, 9)], ids=str)
@pytest.mark.parametrize("name", list(CASES))
def test_of_every_shape(name: str, shape: tuple[int, ...], dtype: str) -> None:
    f, kinds = CASES[name]
    agree(f, *operands(kinds, shape, dtype))


@pytest.mark.parametrize("name", list(CASES)[:5])
def test_one_pass_over_memory(name: str) -> None:
    f, kinds = CASES[name]
    args = operands(kinds, (16, 64), np.float64)
    program, given = planned(f, args)
    (rows, *rest) = program.items
    assert isinstance(rows, Rows)
    assert not any(isinstance(item, Rows) for item in rest)
    _, device = run(program, given, blocks=1)
    # Each element once a kernel: what docs/cuda.md counts for large arrays. A number is read by each thread.
    assert 0 <= device.moved() - program.stats()["bytes_moved"] < 8 * THREADS


def test_rows_that_do_not_fit_are_several_passes() -> None:
    program, _ = planned(softmax, [np.ones((2, 30_000))])
    assert not any(isinstance(item, Rows) for item in program.items)


def attention(x: Any, mask: Any, bias: Any) -> Any:
    """Rows of a stack, with what is the same for all of some of its axes."""
    return ng.value_and_grad(lambda x: (softmax(x * 0.5 + mask + bias) ** 2).sum())(x)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 1, 4, 9), (3, 2, 1, 40)], ids=str)
def test_rows_with_operands_that_are_broadcast(shape: tuple[int, ...]) -> None:
    x = RNG.uniform(0.5, 1.5, shape)
    mask, bias = (
        RNG.uniform(0.5, 1.5, shape[2:]),
        RNG.uniform(0.5, 1.5, (shape[0], 1, 1, shape[3])),
    )
    agree(lambda *xs: list(attention(*xs)), x, mask, bias)
    program, _ = planned(lambda *xs: list(attention(*xs)), [x, mask, bias])
    assert sum(isinstance(item, Rows) for item in program.items) == 1
    agree(lambda x, b: softmax(x.transpose(1, 0, 3, 2) - b[:, 0, 0, 0, None, None]), x, bias[:1])


def test_sums_over_some_of_the_axes_of_rows_are_apart() -> None:
    x = RNG.uniform(0.5, 1.5, (3, 4, 5))
    agree(lambda x: [y := softmax(x), y.sum(axis=0), y.sum(axis=1), y.sum(axis=(0, 1))], x)
