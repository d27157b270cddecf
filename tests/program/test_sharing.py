"""Outputs that share the memory of a stored value: no copy, and never one where it would show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from differential import agree, plan_of

import nbgrad as ng

Function = Callable[..., Any]

# Function of a (4, 6) and a (6, 4) matrix, values shared with outputs, kernels.
CASES: dict[str, tuple[Function, int, int]] = {
    "reshaped": (lambda a, b: (a @ b).reshape(2, 8), 1, 0),
    "reshaped twice": (lambda a, b: (a @ b).reshape(2, 8).reshape(16, 1, 1), 1, 0),
    "transposed there and back": (lambda a, b: (a @ b).T.T.reshape(-1), 1, 0),
    "a dimension of size one moved": (lambda a, b: (a @ b)[None].swapaxes(0, 1), 1, 0),
    "transposed": (lambda a, b: (a @ b).T, 0, 0),  # computed that way
    "of transposed axes": (lambda a, b: a[None].transpose(2, 1, 0), 0, 1),
    "part": (lambda a, b: (a @ b)[:2], 0, 1),
    "itself": (lambda a, b: a @ b, 0, 0),
    "both shapes": (lambda a, b: [(y := a @ b), y.reshape(-1)], 0, 1),
    "two shapes": (lambda a, b: [(y := a @ b).reshape(-1), y.reshape(2, 8)], 1, 1),
    "read again": (lambda a, b: [(y := (a @ b).reshape(-1)), y * 2.0 + 1.0], 1, 1),
    "read by a product": (lambda a, b: [(y := (a @ b).reshape(2, 8)), y @ y.T], 1, 0),
    "summed": (lambda a, b: a.sum(axis=1).reshape(2, 2), 1, 1),
    "an input": (lambda a, b: [a.reshape(-1), b], 0, 2),  # each copied by a kernel
}


@pytest.mark.parametrize("name", CASES)
def test_outputs_share_memory_with_what_they_are_views_of(name: str) -> None:
    f, shared, kernels = CASES[name]
    program = plan_of(f, (4, 6), (6, 4))
    assert len(program.shared) == shared
    assert program.stats()["kernels"] == kernels
    rng = np.random.default_rng(0)
    agree(f, rng.normal(size=(4, 6)), rng.normal(size=(6, 4)))


def test_a_value_between_host_calls_is_shared() -> None:
    """What NumPy computes goes to the output's memory too."""

    @ng.jit
    def f(x: Any) -> Any:
        y = ng.numpy.convolve(x * 2.0, x)
        return y.reshape(1, -1), y + 1.0

    x = np.arange(3.0)
    first, second = f(x)
    np.testing.assert_allclose(first[0] + 1.0, second)
