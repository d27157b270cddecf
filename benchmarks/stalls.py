"""How long the slowest call takes while a structure turns hot: ``python -m benchmarks.stalls``.

Each case runs in a process of its own with an empty object cache, for some seconds after the last
change of tier. The first call, which traces and plans, is given apart. Aim: no call is delayed by
more than 0.3 s by a change of tier.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nbgrad as ng
from benchmarks import fresh

Call = Callable[[], Any]


def chain(n: int) -> Call:
    """Eager gradients of a chain of *n* operations on ten elements."""
    x = ng.tensor(np.linspace(0.1, 1.0, 10), requires_grad=True)

    def call() -> None:
        y = x
        for _ in range(n // 2):
            y = np.sin(y) * 0.9
        y.sum().backward()
        x.grad = None

    return call


def orbit(y: Any, steps: int) -> Any:
    """Lotka and Volterra's equations by Runge and Kutta's classical method."""

    def slope(y: Any) -> Any:
        return np.stack([y[0] * (1.1 - 0.4 * y[1]), y[1] * (0.1 * y[0] - 0.4)])

    h = 0.05
    for _ in range(steps):
        a = slope(y)
        b = slope(y + h / 2 * a)
        c = slope(y + h / 2 * b)
        d = slope(y + h * c)
        y = y + h / 6 * (a + 2 * b + 2 * c + d)
    return y.sum()


def runge_kutta(steps: int) -> Call:
    f = ng.jit(ng.grad(lambda y: orbit(y, steps)))
    start = np.array([10.0, 5.0])
    return lambda: f(start)


def heat(steps: int) -> Call:
    """The gradient of the heat equation's five-point stencil on 512x512."""

    def loss(u: Any) -> Any:
        for _ in range(steps):
            inner = u[1:-1, 1:-1]
            around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
            u = np.pad(inner + 0.1 * (around - 4 * inner), 1)
        return (u * u).sum()

    f = ng.jit(ng.grad(loss))
    start = np.random.default_rng(0).random((512, 512))
    return lambda: f(start)


CASES: dict[str, Callable[[], Call]] = {
    "eager chain of 20": lambda: chain(20),
    "eager chain of 100": lambda: chain(100),
    "eager chain of 1000": lambda: chain(1000),
    "jit, 10 Runge-Kutta steps": lambda: runge_kutta(10),
    "jit, 100 Runge-Kutta steps": lambda: runge_kutta(100),
    "jit, 10 heat steps": lambda: heat(10),
    "jit, 50 heat steps": lambda: heat(50),
}


def measure(name: str, seconds: float) -> dict[str, float]:
    """Times of the calls of a case: the first, the slowest of the others, the last ones'."""
    call, times = CASES[name](), []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times) < 3:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    late = float(np.median(times[-max(1, len(times) // 10) :]))
    usual = float(np.median(times[1:]))
    slowest = 1 + int(np.argmax(times[1:]))
    return {
        "calls": len(times),
        "first": times[0],
        "slowest": times[slowest],
        "at": slowest,
        "usual": usual,
        "last": late,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stalls", description=__doc__)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--seconds", type=float, default=40.0)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.case, options.seconds)))
        return
    print("| case | calls | first, s | slowest other, s (call) | median, ms | at the end, ms |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in CASES:
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, "-m", "benchmarks.stalls", "--case", name]
            command += ["--seconds", str(options.seconds)]
            environment = os.environ | {"NBGRAD_CACHE_DIR": cache}
            done = subprocess.run(
                command, env=environment, cwd=fresh.ROOT, capture_output=True, check=True
            )
        r = json.loads(done.stdout)
        print(
            f"| {name} | {r['calls']} | {r['first']:.2f} | {r['slowest']:.3f} ({r['at']}) "
            f"| {1e3 * r['usual']:.3f} | {1e3 * r['last']:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
