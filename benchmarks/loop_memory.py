"""What many calls of each loop leave in memory, and whether eight threads get the same bits.

Run ``python benchmarks/loop_memory.py [calls]``: for each kind of loop, the growth of the process in MB
over *calls* of its gradient, compiled, and over a tenth as many that are not.
"""

from __future__ import annotations

import gc
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import nbgrad as ng

X = np.linspace(0.1, 0.9, 6)

LOOPS: dict[str, Any] = {
    "scan": lambda x: ng.scan(lambda c, r: (c * r + 1.0, c), x[0], x)[0],
    "fori_loop": lambda x: ng.fori_loop(0, 5, lambda i, c: np.sin(c) * x[1], x[0]),
    "while_loop": lambda x: ng.while_loop(lambda c: c < 3.0, lambda c: c * 1.5 + x[1], x[0]),
    "cond": lambda x: ng.cond(x[0] < x[1], lambda v: (v * v).sum(), lambda v: v.sum(), x),
    "switch": lambda x: ng.switch(1, [lambda v: v.sum(), lambda v: (v * v).sum()], x),
    "map": lambda x: ng.map(lambda r: np.sin(r) * r, x).sum(),
    "associative_scan": lambda x: ng.associative_scan(lambda a, b: a * b, x).sum(),
}


def resident() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def growth(f: Any, calls: int) -> float:
    for _ in range(max(calls // 10, 200)):
        f(X)
    before = resident()
    for _ in range(calls):
        f(X)
    return resident() - before


def same_bits(f: Any) -> bool:
    expected = f(X).tobytes()
    with ThreadPoolExecutor(8) as pool:
        return all(pool.map(lambda _: f(X).tobytes() == expected, range(400)))


def main(calls: int) -> None:
    print(f"{'loop':18s} {'jit MB':>8s} {'eager MB':>9s}  eight threads")
    for name, loop in LOOPS.items():
        eager, compiled = ng.grad(loop), ng.jit(ng.grad(loop))
        found = growth(compiled, calls), growth(eager, calls // 10)
        same = same_bits(compiled)
        print(f"{name:18s} {found[0]:8.2f} {found[1]:9.2f}  {same}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
