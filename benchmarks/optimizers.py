"""A step of Adam over 50 arrays, against PyTorch's and one pass over the memory.

``python -m benchmarks.optimizers``: set OPENBLAS_NUM_THREADS and NUMBA_NUM_THREADS to 1 for one thread.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

import nbgrad as ng
from benchmarks.paired import compare

COUNT = 50
Step = Callable[[], Any]


@numba.njit(fastmath=True)
def _pass(p: Any, g: Any, m: Any, v: Any, p1: Any, m1: Any, v1: Any) -> None:
    """Reads what Adam reads, and writes what it writes."""
    for i in range(p.size):
        p1[i] = p[i] + g[i]
        m1[i] = m[i] + g[i]
        v1[i] = v[i] + g[i]


def arrays(size: int, dtype: str) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(0)
    return tuple([rng.normal(size=size).astype(dtype) for _ in range(COUNT)] for _ in range(2))  # type: ignore[return-value]


def ours(size: int, dtype: str) -> Step:
    params = []
    for p, g in zip(*arrays(size, dtype), strict=True):
        params.append(ng.tensor(p, requires_grad=True))
        params[-1].grad = ng.tensor(g)
    return ng.optim.Adam(params).step


def one_pass(size: int, dtype: str, *, in_place: bool = False) -> Step:
    held = [[np.zeros(size, dtype) for _ in range(4 if in_place else 7)] for _ in range(COUNT)]

    def step() -> None:
        for row in held:
            _pass(*row, *([row[0], row[2], row[3]] if in_place else []))

    return step


def pytorch(size: int, dtype: str, **options: Any) -> Step:
    import torch

    torch.set_num_threads(1)
    params = []
    for p, g in zip(*arrays(size, dtype), strict=True):
        params.append(torch.tensor(p, requires_grad=True))
        params[-1].grad = torch.tensor(g)
    return torch.optim.Adam(params, **options).step  # type: ignore[no-any-return]


def main() -> None:
    print(f"| Adam over {COUNT} arrays | nbgrad, µs | rival | rival, µs | ratio |")
    print("| --- | ---: | --- | ---: | ---: |")
    for size, dtype in ((100, "f8"), (10_000, "f8"), (100_000, "f8"), (400_000, "f4")):
        step = ours(size, dtype)
        began = time.perf_counter()
        while time.perf_counter() < began + 3:  # until what is compiled beside has come
            step()
        rivals: dict[str, Step] = {
            "one pass, to other memory": one_pass(size, dtype),
            "one pass, in place": one_pass(size, dtype, in_place=True),
        }
        if importlib.util.find_spec("torch"):
            rivals["PyTorch, foreach=False"] = pytorch(size, dtype, foreach=False)
            rivals["PyTorch, fused=True"] = pytorch(size, dtype, fused=True)
        for name, rival in rivals.items():
            pair = compare(step, rival)
            times = f"{pair.ours:.3g} | {name} | {pair.theirs:.3g} | {pair.ratio:.2f}"
            print(f"| {size} {dtype} | {times} |", flush=True)


if __name__ == "__main__":
    main()
