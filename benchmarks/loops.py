"""Python loops, from 10^2 to 10^5 steps: what a step costs, and whether that grows.

``python -m benchmarks.loops`` prints a table; ``--plot loops.png`` draws it, ``--memory`` measures
instead what a million steps leave behind, ``--sizes`` and ``--only`` choose. PyTorch runs beside
where it is installed; each loop and library has a process of its own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SIZES = (100, 1_000, 10_000, 100_000)
WARM_UP, MEMORY_STEPS = 20_000, 1_000_000
HOT_SECONDS = 4.0  # after which what is compiled beside the loop has come, from an empty cache too
Run = Callable[[int], float]  # of a number of steps; returns what the loop computed


@dataclass(frozen=True)
class Loop:
    """A loop for one library: ``make(library)`` prepares it; *operations* are those of a step.

    *tracked* says that its memory grows with its steps, as that of any tape: the graph is kept.
    """

    make: Callable[[Any], Run]
    operations: int
    tracked: bool = False


def library(name: str) -> Any:
    """The module *name*, with a function ``vector`` that makes a tensor of double precision."""
    if name == "torch":
        import torch

        torch.set_num_threads(1)
        torch.vector = lambda x, grad=False: torch.tensor(  # type: ignore[attr-defined]
            x, dtype=torch.float64, requires_grad=grad
        )
        return torch
    import nbgrad

    nbgrad.vector = lambda x, grad=False: nbgrad.tensor(  # type: ignore[attr-defined]
        x, dtype=float, requires_grad=grad
    )
    return nbgrad


# ----------------------------------------------------------------------- loops that read something


def read_each(lib: Any) -> Run:
    """Each step asks for a number made of the state, not for the state."""

    def run(steps: int) -> float:
        x, last = lib.vector([0.1] * 10), 0.0
        for _ in range(steps):
            x = x * 0.5 + 1.0
            last = (x * 2.0).sum().item()
        return last

    return run


def branch(lib: Any) -> Run:
    """``if x > u`` decides how the recurrence goes on."""

    def run(steps: int) -> float:
        x, bound = lib.vector(0.3), lib.vector(0.5)
        for _ in range(steps):
            x = x * 0.7 if x > bound else x * 1.3 + 0.01
        return float(x)

    return run


def branch_gradient(lib: Any) -> Run:
    """The same, differentiated by where it starts."""

    def run(steps: int) -> float:
        start, bound = lib.vector(0.3, True), lib.vector(0.5)
        x = start
        for _ in range(steps):
            x = x * 0.999 if x > bound else x * 1.001 + 0.001
        x.backward()
        return start.grad.item()  # type: ignore[no-any-return]

    return run


def momentum(lib: Any) -> Run:
    """Gradient descent with momentum by hand; the velocity is never read."""
    w, state = lib.vector([1.0] * 5, True), [lib.vector([0.0] * 5)]

    def run(steps: int) -> float:
        loss = 0.0
        for _ in range(steps):
            w.grad = None
            value = ((w - 2.0) ** 2).sum()
            value.backward()
            with lib.no_grad():
                state[0] = 0.9 * state[0] + w.grad
                w.sub_(0.01 * state[0])
            loss = value.item()
        return loss

    return run


def moving_averages(lib: Any) -> Run:
    """Adam's two averages, of which only the ratio is read."""
    mean, square = lib.vector(0.0), lib.vector(0.0)

    def run(steps: int) -> float:
        nonlocal mean, square
        last = 0.0
        for k in range(steps):
            g = math.sin(k)
            mean = 0.9 * mean + 0.1 * g
            square = 0.99 * square + 0.01 * (g - mean) ** 2
            last = (mean / (square + 1e-8).sqrt()).item()
        return last

    return run


def kalman(lib: Any) -> Run:
    """A Kalman filter of one number; its variance is never read."""
    x, p = lib.vector(0.0), lib.vector(1.0)

    def run(steps: int) -> float:
        nonlocal x, p
        last = 0.0
        for k in range(steps):
            p = 0.98 * p + 0.01
            gain = p / (p + 0.1)
            x = x + gain * (math.sin(k) - x)
            p = (1.0 - gain) * p
            last = x.item()
        return last

    return run


def truncated(lib: Any) -> Run:
    """A recurrent network whose state is carried over without its history."""
    w, state = lib.vector([[0.3, 0.2], [-0.1, 0.4]], True), [lib.vector([0.0, 0.0])]

    def run(steps: int) -> float:
        total = 0.0
        for _ in range(steps):
            h = (w @ state[0] + 1.0).tanh()
            w.grad = None
            (h * h).sum().backward()
            state[0] = h.detach()
            total = w.grad.sum().item()
        return total

    return run


# -------------------------------------------------------------------------- loops that read nothing


def unread(lib: Any) -> Run:
    """A sum beside a recurrence, neither of them read before the end."""

    def run(steps: int) -> float:
        x, total = lib.vector(0.3), lib.vector(0.0)
        for _ in range(steps):
            x = 3.7 * x * (1.0 - x)
            total = total + (3.7 - 7.4 * x).abs().log()
        return float(total)

    return run


def kept(lib: Any) -> Run:
    """The recurrence of ``read_each``, read at the end only."""

    def run(steps: int) -> float:
        x = lib.vector([0.1] * 10)
        for _ in range(steps):
            x = x * 0.5 + 1.0
        return (x * 2.0).sum().item()  # type: ignore[no-any-return]

    return run


def _runge_kutta(lib: Any, steps: int, tracked: bool) -> tuple[Any, Any]:
    start = lib.vector([1.0, 0.5], tracked)
    y, h = start, 0.01

    def f(y: Any) -> Any:
        return lib.stack([y[0] * (1.1 - 0.4 * y[1]), y[1] * (0.1 * y[0] - 0.4)])

    for _ in range(steps):
        k1 = f(y)
        k2 = f(y + h / 2 * k1)
        k3 = f(y + h / 2 * k2)
        k4 = f(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return start, y.sum()


def runge_kutta(lib: Any) -> Run:
    """Lotka and Volterra's equations by Runge and Kutta's method."""
    return lambda steps: _runge_kutta(lib, steps, False)[1].item()


def runge_kutta_gradient(lib: Any) -> Run:
    """The same, differentiated by where it starts."""

    def run(steps: int) -> float:
        start, y = _runge_kutta(lib, steps, True)
        y.backward()
        return start.grad.sum().item()  # type: ignore[no-any-return]

    return run


def elements(lib: Any) -> Run:
    """The gradient of a sum that reads a vector element by element."""

    def run(steps: int) -> float:
        x = lib.vector([math.sin(k) for k in range(steps + 1)], True)
        total = lib.vector(0.0)
        for i in range(steps):
            total = total + x[i] * x[i + 1]
        total.backward()
        return x.grad.sum().item()  # type: ignore[no-any-return]

    return run


LOOPS = {
    "read_each": Loop(read_each, 4),
    "kept": Loop(kept, 2),
    "branch": Loop(branch, 3),
    "moving_averages": Loop(moving_averages, 10),
    "kalman": Loop(kalman, 9),
    "momentum": Loop(momentum, 8),
    "truncated": Loop(truncated, 6),
    "unread": Loop(unread, 8),
    "branch_gradient": Loop(branch_gradient, 3, tracked=True),
    "runge_kutta": Loop(runge_kutta, 63),
    "runge_kutta_gradient": Loop(runge_kutta_gradient, 63, tracked=True),
    "elements": Loop(elements, 4, tracked=True),
}


# ---------------------------------------------------------------------------------------- measuring


def resident() -> int:
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def growth(name: str, steps: int, warm_up: int = WARM_UP) -> int:
    """Bytes that *steps* steps of a loop leave behind, after *warm_up* others."""
    module = library("nbgrad")
    importlib.import_module("numba")  # which is loaded at some step anyway, and is no leak
    module.configure(deterministic=True)  # so that all is compiled in the warm-up
    run = LOOPS[name].make(module)
    run(warm_up)
    before = resident()
    for _ in range(10):
        run(steps // 10)
    return resident() - before


def measure(name: str, lib: str, steps: int) -> dict[str, Any]:
    """Microseconds a step, at first and later, and how many programs nbgrad built."""
    module = library(lib)
    LOOPS[name].make(module)(3)  # imports and such
    run = LOOPS[name].make(module)
    built = importlib.import_module("nbgrad.engine.programs").programs if lib == "nbgrad" else ()
    counts, times, until = [len(built)], [], time.perf_counter() + HOT_SECONDS
    while len(times) < 3 or time.perf_counter() < until:
        began = time.perf_counter()
        run(steps)
        times.append((time.perf_counter() - began) / steps * 1e6)
        counts.append(len(built))
    return {"first": times[0], "later": min(times[1:]), "programs": counts[-1] - counts[0]}


def in_a_process(function: str, *args: Any, timeout: float = 300.0) -> Any:
    """The result of a function of this module, in a process of its own; None if it fails."""
    code = (
        f"import json; from benchmarks import loops; print(json.dumps(loops.{function}(*{args})))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


Results = dict[tuple[str, str, int], Any]


def table(names: Sequence[str], sizes: Sequence[int]) -> Results:
    """Measure and print, in microseconds a step."""
    print("| loop | steps | first | later | an operation | programs | PyTorch |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    found: Results = {}
    for name in names:
        for steps in sizes:
            ours = found[name, "nbgrad", steps] = in_a_process("measure", name, "nbgrad", steps)
            theirs = found[name, "torch", steps] = in_a_process("measure", name, "torch", steps)
            beside = f"{theirs['later']:.1f}" if theirs else ""
            if ours is None:
                print(f"| {name} | {steps} | failed | | | | {beside} |", flush=True)
                continue
            each = f"{ours['first']:.1f} | {ours['later']:.1f} | "
            each += f"{ours['later'] / LOOPS[name].operations:.2f} | {ours['programs']}"
            print(f"| {name} | {steps} | {each} | {beside} |", flush=True)
    return found


def plot(found: Results, path: str) -> None:
    """Draw microseconds a step against steps: flat lines are what is wanted."""
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for name, _, _ in found))
    figure, axes = pyplot.subplots(3, -(-len(names) // 3), figsize=(14, 9), sharex=True)
    for name, ax in zip(names, axes.flat, strict=False):
        for lib, which in (("nbgrad", "first"), ("nbgrad", "later"), ("torch", "later")):
            rows = [(n, r) for (k, l, n), r in found.items() if (k, l) == (name, lib) and r]
            ax.loglog(
                [n for n, _ in rows], [r[which] for _, r in rows], "o-", label=f"{lib}, {which}"
            )
        ax.set_title(name)
        ax.set_ylabel("microseconds a step")
    axes.flat[0].legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--only", nargs="+", default=list(LOOPS), choices=LOOPS)
    parser.add_argument("--plot")
    parser.add_argument("--memory", action="store_true")
    given = parser.parse_args()
    if given.memory:
        for name in given.only:
            if not LOOPS[name].tracked:
                grown = in_a_process("growth", name, MEMORY_STEPS, timeout=3000.0)
                print(
                    f"{name:16} {'failed' if grown is None else f'{grown / 1e6:+.2f} MB'}",
                    flush=True,
                )
        return
    found = table(given.only, given.sizes)
    if given.plot:
        plot(found, given.plot)


if __name__ == "__main__":
    main()
