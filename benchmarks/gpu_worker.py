"""One library on the card: prints a line of JSON when it is ready, and one for each row that it is asked for.

``python -m benchmarks.gpu_worker LIBRARY ROW...``, as ``gpu`` starts it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BUDGET, SMALL_BUDGET = 1.5, 0.01  # seconds of timing a row


class Timer:
    """Times calls on a card: several at a time, with one wait at their end."""

    def __init__(self, wait: Callable[[Any], Any], budget: float) -> None:
        self.wait, self.budget = wait, budget

    def __call__(self, f: Callable[[], Any], many: int = 1) -> float:
        """Seconds of a call, the median of several; the first calls compile."""
        for _ in range(3):
            self.wait(f())
        times: list[float] = []
        while sum(times) < self.budget and len(times) < 100:
            began = time.perf_counter()
            for _ in range(many):
                found = f()
            self.wait(found)
            times.append(time.perf_counter() - began)
        return statistics.median(times) / many


def sizes(small: bool) -> dict[str, Any]:
    """Extents of the problems."""
    if small:
        return {"options": 16, "rows": (4, 8), "copy": 1 << 12, "steps": 5, "particles": 4,
                "width": 4, "training": 20, "many": 1, "vector": 4}  # fmt: skip
    return {"options": 10**8, "rows": (65536, 1024), "copy": 1 << 30, "steps": 10**4,
            "particles": 10**5, "width": 4096, "training": 10**5, "many": 200, "vector": 1000}  # fmt: skip


def arrays(name: str, n: dict[str, Any]) -> list[Any]:
    """The operands of a row, alike for all libraries."""
    rng = np.random.default_rng(0)
    drawn = rng.uniform(0.5, 1.5, 10**6).astype(np.float32)
    draw = lambda *shape: np.resize(
        np.roll(drawn, len(shape)), shape
    )  # to draw 10^8 takes seconds
    rows, columns = n["rows"]
    square = lambda: rng.standard_normal((n["width"],) * 2, dtype=np.float32)
    made: dict[str, Callable[[], list[Any]]] = {
        "copy": lambda: [np.zeros(n["copy"] // 4, np.float32)],
        "options": lambda: [draw(n["options"]) for _ in range(4)],
        "chain": lambda: [draw(n["options"])],
        "softmax": lambda: [
            draw(rows, columns), rng.integers(0, columns, (rows, 1)).astype(np.int32)
        ],
        "lse": lambda: [draw(rows, columns), draw(rows)],
        "norm": lambda: [draw(rows, columns), draw(columns), draw(columns), draw(rows, columns)],
        "one": lambda: [draw(n["vector"])],
        "twenty": lambda: [draw(n["vector"])],
        "rk4": lambda: [draw(n["particles"])],
        "product": lambda: [square(), square()],
        "step": lambda: [square(), square() * np.float32(1e-3), square()],
    }  # fmt: skip
    return made[name]() if name in made else []


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    n = sizes(options.small)
    budget = SMALL_BUDGET if options.small else BUDGET
    module = "benchmarks.gpu_ours" if options.library == "nbgrad" else "benchmarks.gpu_peers"
    try:
        made = importlib.import_module(module).open_library(options.library)
    except Exception as error:  # not installed, or it finds no card
        print(json.dumps({"missing": f"{type(error).__name__}: {error}"}), flush=True)
        return
    print(json.dumps(made.head()), flush=True)
    clock = Timer(made.wait, budget)
    for row in options.rows:
        try:
            said = made.measure(row, arrays(row, n), n, clock)
        except Exception as error:
            said = {"failed": f"{type(error).__name__}: {error}"}
            said["lost"] = getattr(made, "lost", False)
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
