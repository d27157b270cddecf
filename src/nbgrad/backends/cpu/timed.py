"""A program that tells how long each of its steps takes: each is a run of its own."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

import numpy as np

from nbgrad.backends.cpu.program import CpuProgram, HostStep
from nbgrad.backends.cpu.runner import Array, Instance
from nbgrad.backends.timing import clocks
from nbgrad.program.program import Program
from nbgrad.program.traffic import traffic


class TimedProgram(CpuProgram):
    """Runs as a compiled program does, but for the time between its steps, and tells ``clocks``."""

    apart = True

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.costs = traffic(program)

    def fill(self, instance: Instance) -> None:
        """Let each run go through the steps."""
        instance.quick = False

    def _run(
        self, instance: Instance, args: list[Any], outs: list[Array], values: list[Any]
    ) -> None:
        env = self._values(args, outs)
        with np.errstate(all="ignore"):
            for segment, cost in zip(instance.segments, self.costs, strict=True):
                start = perf_counter_ns()
                if isinstance(segment, HostStep):
                    self._run_host(segment, instance, env)
                elif status := segment.run(values):
                    self._fail(status)
                end = perf_counter_ns()
                for tell in clocks:
                    tell(cost, start, end)
