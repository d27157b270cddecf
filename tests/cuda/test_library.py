"""Gathers, scatters, arg-reductions and recurrences in the simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_device import agree, marks, planned, run

import nbgrad as ng
from nbgrad.program.text import CudaKernel

pytestmark = marks
RNG = np.random.default_rng(4)


def compiled(f: Any, *arrays: Any) -> None:
    """*f* agrees, and is kernels from end to end."""
    agree(f, *arrays)
    program, _ = planned(f, arrays)
    assert all(isinstance(step, CudaKernel) for step in program.steps)


@pytest.mark.parametrize("shape", [(7,), (6, 5), (3, 2, 40)], ids=str)
def test_rows_by_number_and_their_gradients(shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=shape)
    index = RNG.integers(-shape[0], shape[0], 9)
    compiled(lambda x, i: ng.take(x, i, axis=0), x, index)
    compiled(ng.value_and_grad(lambda x, i: (ng.take(x, i, axis=0) ** 3).sum()), x, index)
    compiled(lambda x, i: x[::-1][i] * 2.0, x.astype(np.float32), index.astype(np.int32))


def test_many_indices_of_few_rows_and_few_of_many() -> None:
    for rows, count in ((2, 60), (60, 2)):
        v = RNG.normal(size=(count, 3))
        index = RNG.integers(0, rows, count)
        compiled(
            lambda x, v, i: ng.grad(lambda x: (x[i] * v).sum())(x), np.zeros((rows, 3)), v, index
        )


def test_elements_by_number_are_set() -> None:
    x, v = RNG.normal(size=(6, 2)), RNG.normal(size=(3, 2))

    def f(x: Any, v: Any, i: Any) -> Any:
        y = x * 1.0
        y[i] = v
        return y

    agree(f, x, v, np.array([4, -1, 4]))


@pytest.mark.parametrize("shape", [(1,), (90,), (3, 33), (33, 3), (2, 7, 3)], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int16", "bool"])
def test_the_first_of_the_best(shape: tuple[int, ...], dtype: str) -> None:
    x = np.round(RNG.normal(size=shape) * 2).astype(dtype)
    agree(lambda x: [f(axis=k) for k in range(x.ndim) for f in (x.argmax, x.argmin)], x)
    if dtype.startswith("float"):
        x.reshape(-1)[::4] = np.nan
        agree(lambda x: [f(axis=k) for k in range(x.ndim) for f in (x.argmax, x.argmin)], x)


def test_an_index_out_of_bounds_is_a_fault() -> None:
    program, args = planned(lambda x, i: x[i], [np.zeros(4), np.array([1, -5])])
    _, device = run(program, args)
    ((kernel, at),) = [
        (k, at) for k, at in zip(device.launches, device.starts, strict=True) if k.sizes
    ]
    assert kernel.sizes == (4,)
    fault = device.views["i8"].elements[at + len(kernel.args) - 1]
    assert (fault >> 8, fault & 0xFF) == (-5, 1)
