"""Running sums and products, and recurrences, step by step and in pieces, in the simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_device import agree, marks, planned
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.ops.arrays.scans import recurrence
from nbgrad.program import cuda_scans
from nbgrad.program.text import CudaKernel

pytestmark = marks
RNG = np.random.default_rng(4)
SHAPES = [(1,), (4,), (9,), (23,), (3, 4), (13, 2), (2, 5, 3), (2, 11, 3)]


@pytest.fixture(params=[False, True], ids=["steps", "pieces"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once as it is, once with rows cut in pieces of a few steps."""
    if request.param:
        for name, value in {"LONG": 2, "PIECE": 3}.items():
            monkeypatch.setattr(cuda_scans, name, value)


def recurred(a: Any, b: Any, axis: int = 0, reverse: bool = False) -> Any:
    return ng.Tensor(recurrence(a._node, b._node, axis=axis, reverse=reverse))


def kernels(f: Any, *arrays: Any) -> list[str]:
    program, _ = planned(f, arrays)
    assert all(isinstance(step, CudaKernel) for step in program.steps)
    return [step.name for step in program.steps if isinstance(step, CudaKernel)]


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_products_and_their_gradients(shape: tuple[int, ...]) -> None:
    x = RNG.uniform(0.5, 1.5, shape)

    def every(x: Any) -> list[Any]:
        found = []
        for axis in range(x.ndim):
            for f in (ng.cumsum, ng.cumprod):
                total = lambda x, f=f, axis=axis: (f(x, axis=axis) ** 2).sum()
                found += [f(x, axis=axis), ng.grad(total)(x)]
        return found

    agree(every, x)
    assert not any("call" in name for name in kernels(every, x))


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "int64", "int16", "uint8", "complex128", "complex64"]
)
def test_dtypes_and_views(dtype: str) -> None:
    x = (RNG.uniform(0.5, 1.5, (12, 4)) * 3).astype(dtype)
    agree(lambda x: [ng.cumsum(v, axis=0, dtype=x.dtype) for v in (x, x[::-2], x.T)], x)
    agree(lambda x: ng.cumsum(ng.broadcast_to(x[0, 1], (7, 2)), axis=0, dtype=x.dtype), x)
    if dtype != "float16":
        agree(lambda x: ng.cumprod(x[:7, ::2] / x[1, 1], axis=0), x)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("reverse", [False, True])
def test_recurrences(reverse: bool) -> None:
    for shape, axis in (((17,), 0), ((2, 9, 3), 1), ((10, 2), 0)):
        a, b = RNG.uniform(-1.1, 1.1, shape), RNG.normal(size=shape)
        f = lambda a, b, axis=axis: recurred(a, b, axis, reverse)
        agree(f, a, b)
        agree(lambda a, b, f=f: ng.grad(lambda a, b: (f(a, b) ** 2).sum(), (0, 1))(a, b), a, b)
    agree(lambda a, b: recurred(a, b, 0, reverse), (a + 0.3j), (b - 1j))


BIG, SMALL = 1e200, 1e-200
# Where the factors of a piece overflow, or vanish, but what they meet does not let it.
HARD = {
    "zero meets an overflow": ([1, 1, 1, BIG, BIG, BIG, 2, 2, 2], [0] * 9),
    "small meets an overflow": ([1, SMALL, 1, BIG, BIG, 1, 2, 2, 2], [SMALL] + [0] * 8),
    "large meets what vanishes": ([1, BIG, 1, SMALL, SMALL, BIG, 2, 2, 2], [BIG / 9] + [0] * 8),
    "vanishes and stays": ([SMALL] * 9, [SMALL] * 9),
    "terms overflow in between": ([1] * 9, [-1e308, 0, 0, 1e308, 9e307, -1, 0, 0, 1]),
    "not a number": ([1, 1, np.nan, 1, 1, 1, 1, 1, 1], [1.0] * 9),
    "infinite": ([1, 1, 1, np.inf, 1, 1, 0.5, 1, 1], [1.0] * 9),
    "zeros": ([0.0] * 9, [1.0] * 9),
    "a zero": ([2, 2, 2, 2, 0, 2, 2, 2, 2], [1.0] * 9),
}


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("name", HARD)
def test_pieces_are_what_steps_are(name: str) -> None:
    a, b = (np.array(x, float) for x in HARD[name])
    with np.errstate(all="ignore"):
        found = [
            *agree(lambda b: ng.cumsum(b), b),
            *agree(lambda a: ng.cumprod(a), a),
        ]
        assert_allclose(found[0], np.cumsum(b))
        assert_allclose(found[1], np.cumprod(a))
        wanted = [b[0]]
        for k in range(1, 9):
            wanted.append(a[k] * wanted[-1] + b[k])
        program, args = planned(lambda a, b: recurred(a, b), [a, b])
        from cuda_device import run

        (h,), _ = run(program, args)
        assert_allclose(h, wanted)


def test_how_long_rows_are_cut() -> None:
    for shape, many in (((100,), 1), ((5000,), 3), ((2000, 2), 3), ((600, 9000), 1)):
        found = kernels(lambda x: ng.cumsum(x, axis=0), np.zeros(shape))
        assert len([name for name in found if name.startswith("cumsum")]) == many, shape
    scan = next(
        item
        for item in planned(lambda x: ng.cumsum(x), [np.zeros(10_000_000)])[0].items
        if hasattr(item, "writes")
    )
    assert scan.writes[0].aval.size == cuda_scans.PIECES
