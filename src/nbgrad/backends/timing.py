"""Who is told how long programs take on the tier "timed", and a program that is timed as a whole."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from nbgrad.backends.base import Runnable
from nbgrad.core.tape import Tape
from nbgrad.program.traffic import Traffic

# Each is told of the steps that run: what it is, and the nanoseconds at which it began and ended.
clocks: list[Callable[[Traffic, int, int], None]] = []
peaks: dict[str, int] = {}  # most bytes that each device has held, as timed programs found


class Whole:
    """A program that is timed as a whole."""

    def __init__(self, choose: Callable[[], Runnable], tape: Tape) -> None:
        self.choose = choose
        inputs = sum(v.aval.nbytes for v in tape.inputs)
        made = sum(out.aval.nbytes for eqn in tape.eqns for out in eqn.outs)
        line = tape.eqns[-1].line if tape.eqns else None
        self.cost = Traffic("program", f"{len(tape)} equations", inputs, made, 0, line)

    def run(self, args: list[Any]) -> list[Any]:
        """Run, and tell ``clocks``."""
        start = perf_counter_ns()
        found = self.choose().run(args)
        end = perf_counter_ns()
        for tell in clocks:
            tell(self.cost, start, end)
        return found
