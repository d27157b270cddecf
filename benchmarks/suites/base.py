"""How asv runs a case: built once a process, warm before it is timed, skipped where a library is missing.

Names with an underscore are not benchmarks to asv; a module of a theme derives its own from them.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from asv_runner.benchmarks.mark import SkipNotImplemented

import nbgrad as ng
from benchmarks.compilers import need
from benchmarks.libraries import Step
from benchmarks.paired import compare

ng.configure(deterministic=True)  # machine code is waited for, whoever imported nbgrad first
LIBRARIES: tuple[str, ...] = ("nbgrad", "by hand", "torch", "jax")
# Calls, and seconds after which there are no more: machine code around a program is installed after a few.
WARM_UP, WARM_SECONDS = 5, 2.0
PAIRED_SECONDS = 0.5


class _Timed:
    """Few short samples, of one process: 1 s a case, warmed up by hand."""

    rounds = 1
    repeat = (3, 8, 1.0)
    sample_time = 0.005
    warmup_time = 0.05
    timeout = 120
    version = "1"


def or_skip(build: Callable[[], Any]) -> Any:
    """What *build* makes; a missing package skips the benchmark that asked for it."""
    try:
        return build()
    except ImportError as error:
        raise SkipNotImplemented(str(error)) from error


@cache
def warm(build: Callable[[], Step]) -> Step:
    """The step, ready to be timed; asv asks for it before each sample."""
    step: Step = or_skip(build)
    until = time.perf_counter() + WARM_SECONDS
    for _ in range(WARM_UP):
        step()
        if time.perf_counter() > until:
            break
    return step


@cache
def rows(themes: tuple[str, ...]) -> Mapping[str, Any]:
    """The workloads of these themes, by name."""
    modules = [importlib.import_module(f"benchmarks.workloads.{theme}") for theme in themes]
    return {row.name: row for module in modules for row in module.WORKLOADS}


@cache
def sides(themes: tuple[str, ...], row: str) -> Any:
    return rows(themes)[row].build()


@cache
def builder(themes: tuple[str, ...], row: str, library: str) -> Callable[[], Step]:
    or_skip(lambda: need(library))  # before the others are built
    made = sides(themes, row)
    found = {"nbgrad": lambda: made.ours, "by hand": lambda: made.hand} | dict(made.peers)
    if library not in found or (library == "by hand" and made.hand is None):
        raise SkipNotImplemented(f"{row} is not written for {library}")
    return found[library]


class _Workloads(_Timed):
    """Value and gradients of the workloads of some themes, by nbgrad, by hand and by other libraries."""

    themes: tuple[str, ...] = ()
    libraries = LIBRARIES
    param_names = ("row", "library")
    params: Any = ()

    def __init_subclass__(cls) -> None:
        cls.params = (list(rows(cls.themes)), list(cls.libraries))

    def setup(self, row: str, library: str) -> None:
        self.step = warm(builder(self.themes, row, library))

    def time_row(self, row: str, library: str) -> None:
        self.step()


class _Counts:
    """Of the same: the ratio to the adjoint by hand, in pairs, and what nbgrad's program is made of."""

    themes: tuple[str, ...] = ()
    param_names = ("row",)
    params: Any = ()
    timeout = 120
    version = "1"

    def __init_subclass__(cls) -> None:
        cls.params = list(rows(cls.themes))

    def setup(self, row: str) -> None:
        self.sides = sides(self.themes, row)

    def track_ratio_to_by_hand(self, row: str) -> float:
        if self.sides.hand is None:
            raise SkipNotImplemented(f"{row} is not written by hand")
        return compare(self.sides.ours, self.sides.hand, PAIRED_SECONDS).ratio

    def track_kernels(self, row: str) -> int:
        return int(self._stats(row)["kernels"])

    def track_bytes_moved_over_necessary(self, row: str) -> float:
        """Necessary are those of arguments and results, each once."""
        stats = self._stats(row)
        return float(stats["bytes_moved"] / (stats["input_bytes"] + stats["output_bytes"]))

    def _stats(self, row: str) -> Any:
        if not hasattr(self.sides.ours, "stats"):
            raise SkipNotImplemented(f"{row} is not one program")
        return self.sides.ours.stats()
