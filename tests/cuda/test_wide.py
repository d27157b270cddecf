"""Points by twos and fours, in the simulator: any number of them, and operands that begin anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_device import agree, marks, planned

import nbgrad as ng
from nbgrad.machine import wide
from nbgrad.program import cuda_wide
from nbgrad.program.text import CudaKernel

pytestmark = marks
RNG = np.random.default_rng(12)


@pytest.fixture(autouse=True)
def _all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_wide, "FROM", 1)


def widths(f: Any, *arrays: Any) -> list[int]:
    """How many points a thread takes at once, of each kernel."""
    program, _ = planned(f, arrays)
    sources = [step.source for step in program.steps if isinstance(step, CudaKernel)]
    return [next((n for n in (4, 2) if f"store_{n}(" in s), 1) for s in sources]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 31, 64, 67])
@pytest.mark.parametrize(("dtype", "count"), [("float64", 2), ("float32", 4), ("int32", 4)])
def test_any_number_of_points(size: int, dtype: str, count: int) -> None:
    x, y = ((RNG.uniform(0.5, 1.5, size) * 4).astype(dtype) for _ in range(2))
    f = lambda x, y: [x * y + x, x - y * 3]
    agree(f, x, y)
    if size > 1:
        assert widths(f, x, y) == [count]


def test_operands_that_begin_anywhere_and_of_several_dtypes() -> None:
    x = RNG.uniform(0.5, 1.5, 23).astype(np.float32)
    for k in range(4):
        agree(lambda x, k=k: [x[k : k + 19] * 2, x[k : k + 19] * x[:19], ng.exp(x[4:] + x[k])], x)
    mixed = lambda x, i: [x.astype("float64") * 2 + i, (x * 2).astype("int32") + i]
    agree(mixed, x, np.arange(23, dtype=np.int32))
    assert widths(mixed, x, np.arange(23, dtype=np.int32))[0] == 2


def test_what_goes_another_way_is_one_by_one() -> None:
    x = RNG.uniform(0.5, 1.5, (5, 6)).astype(np.float32)
    for f in (lambda x: x[::-1] * 2, lambda x: x.T + 1, lambda x: ng.pad(x, 1) * 2):
        agree(f, x)
        assert widths(f, x) == [1]
    for f in (lambda x: x > 1, lambda x: x.astype("int16") + 1):
        agree(f, x)
        assert widths(f, x) == [1]
    assert widths(lambda x: x * 2 + 1, x) == [4]


def test_the_instruction_is_taken_for_multiples_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()

    def load_4(view: Any, k: Any, whole: Any) -> Any:
        seen.add((bool(whole), int(k) % 4 == 0))
        return wide.load_4(view, k, whole)

    monkeypatch.setitem(wide.WIDE, "load_4", load_4)
    x = RNG.uniform(0.5, 1.5, 40).astype(np.float32)
    agree(lambda x: x[:36] * 1.25 + 3, x)
    agree(lambda x: x[1:37] * 1.25 + 3.5, x)
    assert seen == {(True, True), (False, False)}
