"""Calls of loops leave nothing behind, and threads that run the same loops get the same bits."""

from __future__ import annotations

import gc
import importlib.util
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nbgrad as ng

FILE = Path(__file__).parents[2] / "benchmarks" / "loop_memory.py"


def loops() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("loop_memory", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LOOPS


LOOPS = loops()
X = np.linspace(0.1, 0.9, 6)


@pytest.mark.parametrize("name", LOOPS)
def test_calls_of_a_loop_leave_nothing_behind(name: str) -> None:
    """Python's allocations: a leak of an object a call would show in each round of 20."""
    f = ng.grad(LOOPS[name])
    # A machine that compiles slowly would stay with NumPy, whose own caches fill for a while.
    with ng.configure(deterministic=True):
        for _ in range(20):
            f(X)
        gc.collect()
        gc.freeze()  # what the process holds by now is not gone through again in each round
        tracemalloc.start()
        try:
            held = [_held(f, n) for n in (1, 20, 20, 20)]
        finally:
            tracemalloc.stop()
            gc.unfreeze()
    assert min(np.diff(held)) < 20 * 100  # a change of tier may be met in a round


def _held(f: Any, calls: int) -> int:
    for _ in range(calls):
        f(X)
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.parametrize("name", LOOPS)
def test_eight_threads_that_run_one_loop_get_the_same_bits(name: str) -> None:
    f = ng.grad(LOOPS[name])
    with ng.configure(deterministic=True):
        expected = f(X).tobytes()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: f(X).tobytes(), range(64)))
    assert set(found) == {expected}
