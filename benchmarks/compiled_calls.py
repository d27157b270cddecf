"""Calls of ``nbgrad.compile``'s functions from ``@njit``, beside a function by hand in the same loop.

    python -m benchmarks.compiled_calls

Rosenbrock's function: value and gradient, one thread. Both loops run in turn; the processor's time is counted.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba import njit

import nbgrad as ng

ROUNDS, CALLS = 25, 400_000


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@njit  # type: ignore[untyped-decorator]
def by_hand(x: Any, g: Any) -> Any:
    total, g[0] = 0.0, 0.0
    for i in range(x.size - 1):
        d, e = x[i + 1] - x[i] * x[i], 1 - x[i]
        total += 100 * d * d + e * e
        g[i] += -400 * d * x[i] - 2 * e
        g[i + 1] = 200 * d
    return (total, g)


@njit  # type: ignore[untyped-decorator]
def repeated(f: Any, x: Any, g: Any, count: Any) -> Any:
    total = 0.0
    for _ in range(count):
        total += f(x, g)[0]
        x[0] = 1.2 + 1e-9 * g[0]  # so that each call waits for the one before
    return total


def timed(f: Any, n: int) -> float:
    began = time.process_time()
    repeated(f, np.full(n, 1.1), np.zeros(n), CALLS // n)
    return 1e9 * (time.process_time() - began) / (CALLS // n)


def main() -> None:
    """Print a row for each size."""
    print("| n | nbgrad.compile | by hand | ratio |")
    print("|---|---|---|---|")
    for n in (2, 10, 100, 1000):
        ours = ng.compile(rosenbrock, np.ones(n)).value_and_grad
        timed(ours, n), timed(by_hand, n)
        rows = np.array([(timed(ours, n), timed(by_hand, n)) for _ in range(ROUNDS)])
        a, b = np.median(rows, axis=0)
        print(f"| {n} | {a:.0f} ns | {b:.0f} ns | {np.median(rows[:, 0] / rows[:, 1]):.2f} |")


if __name__ == "__main__":
    main()
