"""Python loops that are differentiated: what recording them takes, their gradient, and memory.

    python -m benchmarks.rolled             # loops of scalars, then stencils
    python -m benchmarks.rolled scalars

Times are of processor time of this process, but that of a first call by the clock: what it waits for is
compiled by another one. A first call is that of a process of its own, with an empty cache of machine
code and then with the one that this left.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numba
import numpy as np

import nbgrad as ng
from benchmarks.stages import chain

STEPS, OPERATIONS = 10_000, 58  # of a Runge-Kutta step
SIZE, ROUNDS = 512, 50
PARAMETERS = np.array([1.5, 1.0, 1.0, 3.0])


def step(u: Any, v: Any, p: Any, h: float = 0.001) -> tuple[Any, Any]:
    """One Runge-Kutta step of Lotka and Volterra's equations."""
    a, b, c, d = p

    def f(u: Any, v: Any) -> tuple[Any, Any]:
        return a * u - b * u * v, c * u * v - d * v

    k, q = f(u, v)
    m, r = f(u + h / 2 * k, v + h / 2 * q)
    n, s = f(u + h / 2 * m, v + h / 2 * r)
    o, t = f(u + h * n, v + h * s)
    return u + h / 6 * (k + 2 * m + 2 * n + o), v + h / 6 * (q + 2 * r + 2 * s + t)


def runge_kutta(x: Any, steps: int) -> Any:
    """The loop in Python."""
    p, u, v = [x[k] for k in range(4)], ng.tensor(1.0), ng.tensor(1.0)
    for _ in range(steps):
        u, v = step(u, v, p)
    return u * v


def scanned(x: Any) -> Any:
    """The same by ``scan``."""
    p, start = [x[k] for k in range(4)], (ng.tensor(1.0), ng.tensor(1.0))
    (u, v), _ = ng.scan(lambda y, _: (step(*y, p), None), start, None, length=STEPS)
    return u * v


def timed(f: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of processor time that *f* takes, and what it returns."""
    start = process_time()
    found = f()
    return process_time() - start, found


def gradient(loop: Callable[[Any], Any], start: Any) -> tuple[float, float]:
    """Seconds of recording *loop*, and of its gradient."""
    x = ng.tensor(start, requires_grad=True)
    recording, y = timed(lambda: loop(x))
    return recording, timed(y.backward)[0]


LOOPS: dict[str, tuple[Callable[[Any], Any], Any, int]] = {
    "Runge-Kutta": (lambda x: runge_kutta(x, STEPS), PARAMETERS, STEPS * OPERATIONS),
    "chain": (lambda x: chain(x, 1_000_000), np.linspace(0.5, 1.5, 10), 1_000_000),
}


def first(name: str) -> None:
    """Print what the first gradients of a process take; what memory grew by, in bytes an operation."""
    loop, start, n = LOOPS[name]
    begun = perf_counter()
    here = sum(gradient(loop, start))
    clock = perf_counter() - begun
    both = [gradient(loop, start) for _ in range(6)]
    recording, back = (median(times) for times in zip(*both[2:], strict=True))
    before = _resident()
    gradient(loop, start)
    print(
        f"{name:12s} first {clock:.2f} s, {here:.2f} here; later: recording {recording / n * 1e6:.2f} µs "
        f"an operation, gradient {back * 1e3:.1f} ms; {(_resident() - before) / n:.1f} bytes an operation"
    )


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def scalars() -> None:
    """The loops of scalars, each twice, and the gradient by ``scan``."""
    for name in LOOPS:
        with tempfile.TemporaryDirectory() as cache:
            os.chmod(cache, 0o700)
            for _ in range(2):
                command = [sys.executable, "-m", "benchmarks.rolled", "first", name]
                subprocess.run(command, env=os.environ | {"NBGRAD_CACHE_DIR": cache}, check=True)
    by_scan = ng.jit(ng.grad(scanned))
    by_scan(PARAMETERS)
    ms = median([timed(lambda: by_scan(PARAMETERS))[0] for _ in range(9)]) * 1e3
    print(f"Runge-Kutta by scan: gradient {ms:.1f} ms")


# ----------------------------------------------------------------------------------------- stencils


def padded(u: Any) -> Any:
    """Sums of the four elements around each, with zeros around all."""
    p = ng.numpy.pad(u, 1)
    return p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]


def rolled(u: Any) -> Any:
    """The same where the elements at one end are next to those at the other."""
    roll = ng.numpy.roll
    return roll(u, 1, 0) + roll(u, -1, 0) + roll(u, 1, 1) + roll(u, -1, 1)


def stencil(around: Callable[[Any], Any], u: Any, rate: float) -> Any:
    """Heat that spreads and grows."""
    for _ in range(ROUNDS):
        near = around(u)
        new = u + 0.2 * (near - 4.0 * u)
        u = new + rate * u * (1.0 - u) if rate else new
    return (u * u).sum()


@numba.njit  # type: ignore[misc]
def _wrap(x):  # type: ignore[no-untyped-def]
    n = x.shape[0] - 2
    for i in range(1, n + 1):
        x[i, 0], x[i, n + 1], x[0, i], x[n + 1, i] = x[i, n], x[i, 1], x[n, i], x[1, i]


@numba.njit  # type: ignore[misc]
def by_hand(u, us, g, h, rate, wrap):  # type: ignore[no-untyped-def]
    """Value and gradient; *us*, *g* and *h* have a border, of zeros or what is at the other end."""
    n = u.shape[0]
    us[0, 1:-1, 1:-1] = u
    for k in range(us.shape[0] - 1):
        x, y = us[k], us[k + 1]
        if wrap:
            _wrap(x)
        for i in range(1, n + 1):
            for j in range(1, n + 1):
                near = x[i - 1, j] + x[i + 1, j] + x[i, j - 1] + x[i, j + 1]
                c = x[i, j]
                y[i, j] = c + 0.2 * (near - 4.0 * c) + rate * c * (1.0 - c)
    total = 0.0
    for i in range(1, n + 1):
        for j in range(1, n + 1):
            total += us[-1, i, j] ** 2
            g[i, j] = 2.0 * us[-1, i, j]
    for k in range(us.shape[0] - 2, -1, -1):
        x = us[k]
        if wrap:
            _wrap(g)
        for i in range(1, n + 1):
            for j in range(1, n + 1):
                near = g[i - 1, j] + g[i + 1, j] + g[i, j - 1] + g[i, j + 1]
                c = g[i, j]
                h[i, j] = c + 0.2 * (near - 4.0 * c) + rate * (1.0 - 2.0 * x[i, j]) * c
        g, h = h, g
    return total, g[1:-1, 1:-1].copy()


def stencils() -> None:
    """The stencils under ``jit``, paired with the adjoint by hand."""
    u = np.random.default_rng(0).random((SIZE, SIZE))
    for around in (padded, rolled):
        us = np.zeros((ROUNDS + 1, SIZE + 2, SIZE + 2))
        g, h = np.zeros((2, SIZE + 2, SIZE + 2))
        for name, rate in (("heat", 0.0), ("Fisher", 0.01)):
            mine = ng.jit(ng.value_and_grad(functools.partial(stencil, around, rate=rate)))
            hand = functools.partial(by_hand, u, us, g, h, rate, around is rolled)
            begun, found = timed(functools.partial(mine, u))
            np.testing.assert_allclose(found[1], hand()[1], rtol=1e-10)
            pairs = [(timed(functools.partial(mine, u))[0], timed(hand)[0]) for _ in range(15)]
            ours, theirs = (median(times) * 1e3 for times in zip(*pairs, strict=True))
            ratio = median([a / b for a, b in pairs])
            print(
                f"{name:7s}{around.__name__:7s} first {begun:.2f} s; {ours:.1f} ms, by hand "
                f"{theirs:.1f}: {ratio:.2f}"
            )


def main() -> None:
    """What the command line names, or all."""
    words = sys.argv[1:]
    if words[:1] == ["first"]:
        first(words[1])
        return
    if words != ["stencils"]:
        scalars()
    if words != ["scalars"]:
        stencils()


if __name__ == "__main__":
    main()
