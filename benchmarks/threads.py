"""Two threads beside one: ``python -m benchmarks.threads [--only REGEX] [--n 10000000] [--write]``.

Value and gradients of 10^7 elements, in pairs, by the clock: on a quiet machine alone do the figures mean something.
What is bound by the processor should take two threads 1.7 times less; what is bound by memory should move what it
reads and writes as fast as two threads copy. Results must be the same bits, which is checked, loaded or not.
"""

from __future__ import annotations

import argparse
import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import nbgrad as ng
from benchmarks import kept
from benchmarks.libraries import Step, compiled
from benchmarks.paired import alone, compare
from benchmarks.problems import black_scholes_inputs, black_scholes_sum, chain_sum
from benchmarks.report import machine
from benchmarks.workloads.base import flat
from benchmarks.workloads.elementwise import gelu

COMPUTE, MEMORY = "1.7", "0.9 of a copy"  # aims of what is bound by one or the other
SECONDS = 6.0


def squares(x: Any, xp: Any) -> Any:
    return (x * x).sum()


def products(x: Any, y: Any, xp: Any) -> Any:
    return (x * y).sum()


def ramp(n: int, dtype: str = "float64") -> np.ndarray[Any, Any]:
    return np.linspace(0.1, 1.0, n).astype(dtype)


# How the arrays are made, by how many of them it is differentiated, and what binds it.
CASES: dict[str, tuple[Any, Callable[[int], tuple[Any, ...]], int, str]] = {
    "chain of 20, float64": (chain_sum, lambda n: (ramp(n),), 1, COMPUTE),
    "chain of 20, float32": (chain_sum, lambda n: (ramp(n, "float32"),), 1, COMPUTE),
    "Black-Scholes, three greeks, float64": (black_scholes_sum, black_scholes_inputs, 3, COMPUTE),
    "GELU, float64": (gelu, lambda n: (ramp(n),), 1, COMPUTE),
    "sum of squares, float64": (squares, lambda n: (ramp(n),), 1, MEMORY),
    "sum of products, float64": (products, lambda n: (ramp(n), ramp(n)), 2, MEMORY),
}  # fmt: skip


def with_threads(count: int, step: Step) -> Step:
    def run() -> Any:
        ng.set_num_threads(count)
        return step()

    return run


def copies(n: int) -> Step:
    """Two threads that copy half of *n* numbers each, into memory that is there."""
    source, target = np.ones(n), np.zeros(n)
    halves = [(target[: n // 2], source[: n // 2]), (target[n // 2 :], source[n // 2 :])]

    def step() -> None:
        threads = [threading.Thread(target=np.copyto, args=half) for half in halves]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    return step


def bandwidth(moved: float, microseconds: float) -> float:
    """GB a second of *moved* bytes."""
    return moved / microseconds * 1e-3


def row(name: str, n: int, copied: float) -> dict[str, str]:
    problem, make, wrt, aim = CASES[name]
    arrays = make(n)
    step = compiled("nbgrad", problem, arrays, wrt)
    one, two = with_threads(1, step), with_threads(2, step)
    expected, found = ([np.asarray(a).tobytes() for a in flat(run())] for run in (one, two))
    if expected != found:
        raise SystemExit(f"{name}: two threads compute other bits than one")
    pair = compare(one, two, SECONDS)
    moved = sum(a.nbytes for a in (*arrays, *arrays[:wrt]))
    share = bandwidth(moved, pair.theirs) / copied
    cells = {"case": name, "one thread, ms": f"{pair.ours * 1e-3:.3g}"}
    cells |= {"two, ms": f"{pair.theirs * 1e-3:.3g}", "times faster": f"{pair.ratio:.2f}"}
    return cells | {"bytes a second, of those of a copy": f"{share:.2f}", "aim, at least": aim}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    parser.add_argument("--only", default="", metavar="REGEX")
    parser.add_argument("--n", type=int, default=10_000_000)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md, too")
    options = parser.parse_args()
    copied = bandwidth(16.0 * options.n, alone(copies(options.n)))
    print(f"{machine()} Two threads copy {copied:.1f} GB/s, reads and writes.\n", flush=True)
    rows: list[dict[str, str]] = []
    for name in CASES:
        if re.search(options.only, name):
            rows.append(row(name, options.n, copied))
            if len(rows) == 1:
                print(f"| {' | '.join(rows[0])} |\n|{' --- |' * len(rows[0])}")
            print(f"| {' | '.join(rows[-1].values())} |", flush=True)
    if rows and options.write:
        kept.keep("threads", rows, machine())


if __name__ == "__main__":
    main()
