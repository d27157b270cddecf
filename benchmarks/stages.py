"""What each stage between a Python loop and its first result costs, for 10^2 to 10^5 operations.

    python -m benchmarks.stages                 # times in µs an operation recorded
    python -m benchmarks.stages chain 100000    # one loop, of so many operations
    python -m benchmarks.stages --memory        # bytes an equation

A row that grows from one length to the next is a term that is not linear. Times are those of a
structure that is new; kernels are in the cache after the first row.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from time import thread_time
from typing import Any

import numpy as np

import nbgrad as ng
from nbgrad.backends.cpu.flat import FlatProgram
from nbgrad.backends.cpu.program import CpuProgram
from nbgrad.core.collector import paused
from nbgrad.core.linearize import build_tape, capture
from nbgrad.core.tape import Tape
from nbgrad.engine.tiers import Executable
from nbgrad.program.program import make_program
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.vjp import vjp

LENGTHS = (100, 1_000, 10_000, 100_000)


def chain(x: Any, n: int) -> Any:
    """One operation after another on ten elements."""
    for k in range(n // 2):
        x = np.sin(x) if k % 2 else x * 1.5
        x = x + 0.25
    return x.sum()


def lotka_volterra(x: Any, n: int) -> Any:
    """Runge-Kutta steps of two scalars: some 50 operations each."""
    u, v, h = x[0], x[1], 0.01

    def slope(u: Any, v: Any) -> tuple[Any, Any]:
        return 1.5 * u - u * v, u * v - 3.0 * v

    for _ in range(n // 46):
        a, b = slope(u, v)
        c, d = slope(u + 0.5 * h * a, v + 0.5 * h * b)
        e, f = slope(u + 0.5 * h * c, v + 0.5 * h * d)
        p, q = slope(u + h * e, v + h * f)
        u = u + h / 6 * (a + 2.0 * c + 2.0 * e + p)
        v = v + h / 6 * (b + 2.0 * d + 2.0 * f + q)
    return u * v


def bodies(x: Any, n: int) -> Any:
    """Leapfrog steps of five bodies in the plane, by arrays of (5, 5) and (5, 2)."""
    place = x[:10].reshape(5, 2)
    speed = place * 0.1
    for _ in range(n // 16):
        apart = place[:, None, :] - place[None, :, :]
        near = (apart * apart).sum(-1) + 0.01
        pull = (apart / (near * np.sqrt(near))[:, :, None]).sum(1)
        speed = speed - 0.001 * pull
        place = place + 0.001 * speed
    return (place * speed).sum()


def recurrence(x: Any, n: int) -> Any:
    """A scalar recurrence with a branch that looks at no traced value."""
    u = x[0]
    for k in range(n // 3):
        u = u * 1.01 + x[1] if k % 3 else np.tanh(u) - 0.5
    return u


LOOPS: dict[str, Callable[[Any, int], Any]] = {
    "chain": chain,
    "lotka_volterra": lotka_volterra,
    "bodies": bodies,
    "recurrence": recurrence,
}
STAGES = ("record", "capture", "build_tape", "vjp", "simplify", "plan", "make", "run", "run again")


def stages(loop: Callable[[Any, int], Any], n: int) -> tuple[dict[str, float], int, int]:
    """Seconds of each stage, and the numbers of operations and of the gradient's equations."""
    clock, found = [thread_time()], {}

    def lap(name: str) -> None:
        clock.append(thread_time())
        found[name] = clock[-1] - clock[-2]

    x = ng.tensor(np.linspace(0.5, 1.5, 10), requires_grad=True)
    clock.append(thread_time())
    out = loop(x, n)
    lap("record")
    with paused():  # as in the engine
        return (found, *_planned(x, out, lap))


def _planned(x: Any, out: Any, lap: Callable[[str], None]) -> tuple[int, int]:
    cap = capture([out._node], differentiate=True)
    lap("capture")
    tape, var_of = build_tape(cap, [out._node])
    lap("build_tape")
    recorded = len(tape)
    gradient, constants = vjp(tape, [var_of[x._node]], seeded=[False])
    lap("vjp")
    gradient = simplify(gradient)
    lap("simplify")
    run = _runner(gradient, lap)
    args = [*cap.values, *cap.scalars, *(c.value for c in constants)]
    run(args)
    lap("run")
    run(args)
    lap("run again")
    return recorded, len(gradient)


def _runner(tape: Tape, lap: Callable[[str], None]) -> Callable[[list[Any]], Any]:
    program = None if Executable(tape).flat else make_program(tape)
    lap("plan")
    made = FlatProgram(tape) if program is None else CpuProgram(program, "block")
    lap("make")
    return made.run


def times(names: list[str], lengths: list[int]) -> None:
    """Print microseconds an operation for each stage."""
    for name in names:
        stages(LOOPS[name], LENGTHS[0])  # kernels into the cache
        print(f"\n{name:14s} {'equations':>9s} " + " ".join(f"{s:>10s}" for s in STAGES))
        for n in lengths:
            gc.collect()
            found, recorded, equations = stages(LOOPS[name], n)
            row = " ".join(f"{1e6 * found[s] / recorded:10.2f}" for s in STAGES)
            print(f"{recorded:14d} {equations:9d} {row}", flush=True)


def memory(names: list[str], lengths: list[int]) -> None:
    """Print bytes an equation that a program holds when it is made, and at its peak."""
    for name in names:
        stages(LOOPS[name], LENGTHS[0])
        for n in lengths:
            for gradient in (False, True):
                gc.collect()
                held = bytes_held(LOOPS[name], n, gradient)
                row = " ".join(f"{k} {v:8.0f}" for k, v in held.items())
                print(f"{name:14s} {n:7d} {'gradient' if gradient else 'forward':8s} {row}")


def bytes_held(loop: Callable[[Any, int], Any], n: int, gradient: bool) -> dict[str, float]:
    """Bytes an equation of a loop's tape, and of the program made of it."""
    x = ng.tensor(np.linspace(0.5, 1.5, 10), requires_grad=gradient)
    with ng.configure(max_pending=10 * n):
        out = loop(x, n)
    cap = capture([out._node], differentiate=gradient)
    tracemalloc.start()
    tape, var_of = build_tape(cap, [out._node])
    if gradient:
        tape, _ = vjp(tape, [var_of[x._node]], seeded=[False])
    tape = simplify(tape)
    del var_of
    gc.collect()
    equations = len(tape)
    base, peak = tracemalloc.get_traced_memory()
    found = {"tape": base / equations, "peak": peak / equations}
    tracemalloc.reset_peak()
    made = Executable(tape).blocks()
    made.run([*cap.values, *cap.scalars])
    gc.collect()
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    found |= {"program": (held - base) / equations, "peak ": (peak - base) / equations}
    return found | {"both": held / equations}


def main() -> None:
    """Measure the loops and lengths named on the command line, or all."""
    words = sys.argv[1:]
    names = [w for w in words if w in LOOPS] or list(LOOPS)
    lengths = [int(w) for w in words if w.isdigit()]
    if "--memory" in words:
        memory(names, lengths or [1_000, 10_000])
    else:
        times(names, lengths or list(LENGTHS))


if __name__ == "__main__":
    main()
