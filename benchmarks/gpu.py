"""Everything that needs a card, in one command: ``python -m benchmarks.gpu``.

It runs the tests of devices on the card, then times programs beside CuPy, PyTorch and JAX, each where it is
installed, and prints one table; ``--write FILE`` also appends it to a page. ``--small`` takes tiny sizes, for
machines without a card: ``NBGRAD_CUDA=emulator python -m benchmarks.gpu --small``. No figure of it was
measured yet: there was no card where it was written.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nbgrad as ng
from benchmarks import gpu_peers
from benchmarks.cuda_counts import CASES, Case
from nbgrad.backends.cuda.runtime import runtime

ROOT = Path(__file__).parents[1]
TESTS = ("tests/backends/test_device_tensors.py", "tests/backends/test_device_operations.py")
LIMIT = 8 * 60  # seconds, of all of it


def synchronized(f: Callable[[], Any]) -> Callable[[], Any]:
    """*f*, which is over when the card is done."""
    wait = runtime.store().synchronize

    def run() -> Any:
        found = f()
        for y in ng.tree.leaves(found):
            _ = y._node.value if y._node.value is not None else y.sum().item()
        wait()
        return found

    return run


def seconds(f: Callable[[], Any], budget: float = 2.0) -> float:
    """Median time of a call; the first ones compile."""
    for _ in range(3):
        f()
    times: list[float] = []
    while sum(times) < budget and len(times) < 200:
        began = time.perf_counter()
        f()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def arrays_of(case: Case, rows: int | None) -> list[Any]:
    """Operands of a case, shorter if *rows* says so."""
    rng = np.random.default_rng(0)
    found = []
    for shape, dtype in case.operands:
        first = shape[0] if rows is None or shape == (1024,) else min(shape[0], rows)
        size = (first, *shape[1:])
        drawn = rng.integers(0, 1024, size) if dtype == "int32" else rng.uniform(0.5, 1.5, size)
        found.append(drawn.astype(dtype))
    return found


def copy_rate(nbytes: int, budget: float) -> float:
    """GB/s of a copy on the card, read and written bytes together."""
    x = ng.tensor(np.zeros(nbytes // 4, np.float32), device="cuda")
    double = ng.jit(lambda x: x + 1)
    return 2e-9 * nbytes / seconds(synchronized(lambda: double(x)), budget)


def row(name: str, *cells: Any) -> str:
    shown = [f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells]
    text = f"| {name} | {' | '.join(shown)} |"
    print(text, flush=True)
    return text


def traffic(rows: int | None, budget: float) -> list[str]:
    """Programs that are bound by memory, as parts of the rate of a copy in this run."""
    rate = copy_rate(1 << 14 if rows else 1 << 30, budget)
    lines = [
        f"Copy: {rate:.0f} GB/s\n",
        "| program | ms | GB/s | of a copy | bits the same | "
        + " | ".join(gpu_peers.NAMES)
        + " |",
        "| --- |" + " ---: |" * (4 + len(gpu_peers.NAMES)),
    ]
    print("\n".join(lines))
    for case in CASES:
        given = arrays_of(case, rows)
        xs = [ng.tensor(a, device="cuda") for a in given]
        f = ng.jit(lambda *xs, case=case: case.function(*xs))
        run = synchronized(lambda f=f, xs=xs: f(*xs))
        outs = run()
        moved = sum(x.nbytes for x in xs) + sum(y.nbytes for y in outs)
        once, again = ([y.numpy() for y in run()] for _ in range(2))
        same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(once, again, strict=True))
        taken = seconds(run, budget)
        rivals = gpu_peers.times(case.name, given, lambda f: seconds(f, budget))
        gbs = 1e-9 * moved / taken
        lines.append(row(case.name, 1e3 * taken, gbs, gbs / rate, same, *rivals))
    return lines


def latency(budget: float) -> list[str]:
    """Microseconds from Python of a program of one kernel, and of twenty."""
    x = ng.tensor(np.ones(1000, np.float32), device="cuda")
    w = ng.tensor(np.eye(32, dtype=np.float32), device="cuda")

    def twenty(w: Any) -> Any:
        for _ in range(10):
            w = w.cumsum(0) * 0.5
        return w

    lines = ["", "| call | us |", "| --- | ---: |"]
    print("\n".join(lines))
    one, many = ng.jit(lambda x: x * 2 + 1), ng.jit(twenty)
    lines.append(row("one kernel", 1e6 * seconds(lambda: one(x), budget)))
    lines.append(row("20 operations that cannot fuse", 1e6 * seconds(lambda: many(w), budget)))
    return lines


def loops(small: bool, budget: float) -> list[str]:
    """RK4 by scan, and a step of a network; memory after many steps."""
    steps, particles, width = (20, 8, 8) if small else (10_000, 100_000, 4096)
    rng = np.random.default_rng(0)
    y = ng.tensor(rng.normal(size=particles).astype(np.float32), device="cuda")

    def rk4(y: Any) -> Any:
        def step(y: Any, _: Any) -> Any:
            f = lambda y: ng.sin(y) * -0.5
            a = f(y)
            b = f(y + 0.005 * a)
            c = f(y + 0.005 * b)
            d = f(y + 0.01 * c)
            return y + (a + 2 * b + 2 * c + d) * (0.01 / 6), None

        return ng.scan(step, y, None, length=steps)[0]

    lines = ["", "| program | ms |", "| --- | ---: |"]
    print("\n".join(lines))
    solve = ng.jit(rk4)
    taken = seconds(synchronized(lambda: solve(y)), budget)
    lines.append(row(f"RK4, {steps} steps, {particles} particles", 1e3 * taken))
    x, w, t = (
        ng.tensor(rng.normal(size=(width, width)).astype(np.float32), device="cuda") for _ in "xwt"
    )
    train = ng.jit(
        lambda x, w, t: w - 1e-6 * ng.grad(lambda w: ((ng.tanh(x @ w) - t) ** 2).sum())(w)
    )
    taken = seconds(synchronized(lambda: train(x, w, t)), budget)
    lines.append(row(f"network step, {width}^3", 1e3 * taken))
    product = ng.jit(lambda x, w: x @ w)
    taken = seconds(synchronized(lambda: product(x, w)), budget)
    lines.append(row(f"one product, {width}^3", 1e3 * taken))
    before = runtime.store().peak()
    for _ in range(20 if small else 2000):
        y = solve(y) if small else y * 0.999
        _ = y.sum().item()
    lines.append(row("peak bytes grown by further steps", runtime.store().peak() - before))
    return lines


def tested(small: bool) -> str:
    """Run the tests of devices on the card; the last line of what pytest says."""
    setting = os.environ.get("NBGRAD_CUDA", "auto")
    env = dict(os.environ, NBGRAD_TEST_CUDA=setting)
    chosen = [*TESTS[:1]] if small else [*TESTS]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", *chosen]
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]]
    failed = [line for line in lines if line.startswith("FAILED")]
    return "\n".join([*failed, lines[-1]])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for the emulator")
    parser.add_argument("--skip-tests", action="store_true", help="the figures alone")
    parser.add_argument("--write", type=Path, metavar="FILE", help="append the tables to a page")
    options = parser.parse_args()
    budget = 0.02 if options.small else 2.0
    parts = [f"## On a card: {runtime.store().name}, nbgrad {ng.__version__}\n"]
    if not options.skip_tests:
        parts.append(f"Tests: {tested(options.small)}\n")
    print("\n".join(parts))
    parts += traffic(16 if options.small else None, budget)
    parts += latency(budget)
    parts += loops(options.small, budget)
    if options.write:
        with options.write.open("a") as page:
            page.write("\n".join(["", *parts, ""]))


if __name__ == "__main__":
    main()
