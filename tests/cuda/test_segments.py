"""Many rows by index, sorted and added in pieces, in the simulator: all shapes of runs, and of what holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_device import agree, marks, planned, run

import nbgrad as ng
from nbgrad.program import cuda_segments
from nbgrad.program.text import CudaKernel

pytestmark = marks
RNG = np.random.default_rng(6)


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and pieces of a few indices, and digits to base 4."""
    for name, value in {"FEW": 0, "DIGITS": 4, "CHUNK": 5, "PIECE": 3, "PIECES": 64}.items():
        monkeypatch.setattr(cuda_segments, name, value)


def added(v: Any, i: Any, size: int, **given: Any) -> Any:
    return ng.grad(lambda x: (x[i] * v).sum())(ng.zeros((size, *v.shape[1:]), dtype=v.dtype))


def written(x: Any, v: Any, i: Any) -> Any:
    y = x * 1.0
    y[i] = v
    return y


# How many rows, of which the indices are some.
INDICES = {
    "all one row": (5, np.full(17, 3)),
    "one index": (6, np.array([2])),
    "one row there is": (1, np.zeros(11, np.int64)),
    "in order": (9, np.repeat(np.arange(9), 2)),
    "runs as long as pieces": (4, np.repeat(np.arange(4), 3)),
    "runs longer than pieces": (3, np.repeat([2, 0, 1], [8, 1, 7])),
    "each once, the other way": (13, np.arange(13)[::-1]),
    "from the end": (7, -1 - np.arange(20) % 7),
    "many digits": (300, RNG.integers(0, 300, 12)),
    "by chance": (8, RNG.integers(-8, 8, 31)),
    "of 32 bits": (8, RNG.integers(-8, 8, 9).astype(np.int32)),
    "of 8 bits": (200, RNG.integers(0, 128, 9).astype(np.uint8)),
}


@pytest.mark.parametrize("name", INDICES)
def test_sums_and_writes(name: str) -> None:
    size, index = INDICES[name]
    for row in ((), (3,)):
        v = RNG.normal(size=(len(index), *row))
        agree(lambda v, i: added(v, i, size), v, index)
        agree(written, RNG.normal(size=(size, *row)), v, index)


@pytest.mark.parametrize("dtype", ["float32", "int64", "int16", "float16", "complex64"])
def test_other_dtypes_and_views(dtype: str) -> None:
    from nbgrad.ops.arrays.indexing import scatter_add

    v = np.round(RNG.normal(size=(6, 12)) * 5).astype(dtype)
    index = RNG.integers(0, 5, 24)

    def f(v: Any, i: Any) -> list[Any]:
        each = (v.T[:, ::2], v[0, ::-1], ng.broadcast_to(v[0, 0], (12, 2)))
        return [ng.Tensor(scatter_add(x._node, i[::2]._node, size=5)) for x in each]

    agree(f, v, index)


def test_nothing_depends_on_the_launch_and_all_are_kernels() -> None:
    v, index = RNG.normal(size=(40, 2)).astype(np.float32), RNG.integers(0, 6, 40)
    f = lambda v, i: added(v, i, 6)
    found = [agree(f, v, index, blocks=n)[0] for n in (1, 3)]
    assert found[0].tobytes() == found[1].tobytes()
    program, _ = planned(f, [v, index])
    assert all(isinstance(step, CudaKernel) for step in program.steps)
    assert program.stats()["bytes_moved"] > 0


def test_what_is_not_a_number_stays_in_its_row() -> None:
    v = np.array([1.0, np.nan, 2.0, np.inf, -np.inf, 3.0, 4.0])
    agree(lambda v, i: added(v, i, 4), v, np.array([0, 1, 0, 2, 2, 0, 3]))


def test_an_index_out_of_bounds_is_a_fault() -> None:
    f = lambda v, i: added(v, i, 4)
    program, args = planned(f, [np.ones(9), np.array([0, 1, 2, 3, -5, 0, 1, 2, 3])])
    _, device = run(program, args)
    ((kernel, at),) = [
        (k, at) for k, at in zip(device.launches, device.starts, strict=True) if k.sizes
    ]
    fault = device.views["i8"].elements[at + len(kernel.args) - 1]
    assert (kernel.sizes, fault >> 8, fault & 0xFF) == ((4,), -5, 1)


def test_steps_are_as_many_as_there_are_indices() -> None:
    """What is read and written grows as the number of indices does, whatever the rows are."""
    moved = []
    for count in (60, 120):
        program, args = planned(
            lambda v, i: added(v, i, 30), [np.ones(count), np.arange(count) % 30]
        )
        _, device = run(program, args)
        moved.append(device.moved())
    assert moved[1] < 2.2 * moved[0]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
def test_atomics_by_choice(dtype: str) -> None:
    from nbgrad.ops.arrays.indexing import scatter_add

    v, index = RNG.integers(-9, 9, (20, 3)).astype(dtype), RNG.integers(-4, 4, 20)
    f = lambda v, i: ng.Tensor(scatter_add(v._node, i._node, size=4))
    with ng.configure(cuda_atomics=True):
        agree(f, v, index)
        program, _ = planned(f, [v, index])
    names = [step.name for step in program.steps if isinstance(step, CudaKernel)]
    assert ("scatter_add_atomic" in names) == (dtype != "int16")
