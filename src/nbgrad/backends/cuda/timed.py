"""How long each step of a program takes on the card: by events before and behind it, on its stream."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from nbgrad.backends.cuda.memory import Store
from nbgrad.backends.cuda.program import CudaProgram
from nbgrad.backends.timing import clocks, peaks


def timed(program: CudaProgram, args: list[Any]) -> list[Any]:
    """Run *program*, step by step, wait for its end, and tell ``clocks``."""
    stream = program.store.lanes.current().stream
    marks: list[tuple[int, Any, Any]] = []

    def clock(number: int, run: Callable[[], None]) -> None:
        before = stream.record(timed=True)
        run()
        marks.append((number, before, stream.record(timed=True)))

    stream.synchronize()
    origin, start = stream.record(timed=True), perf_counter_ns()
    found = program.run(args, clock)
    for number, before, behind in marks:
        began = start + round(1e9 * stream.elapsed(origin, before))
        ended = began + round(1e9 * stream.elapsed(before, behind))
        for tell in clocks:
            tell(program.costs[number], began, ended)
    noted(program.store)
    return found


def noted(store: Store) -> None:
    """Note how much memory the card has held."""
    peaks["cuda"] = max(peaks.get("cuda", 0), store.peak())
