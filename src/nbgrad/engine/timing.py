"""``profile``: how long each compiled kernel takes, how many bytes a second it moves, and whose line it is.

While one is open programs run on the tier "timed": compiled as ever, but step by step. Structures are
planned anew, since operations are recorded with the lines of the user's code then.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from time import perf_counter_ns
from typing import Any

from nbgrad.backends.timing import clocks, peaks
from nbgrad.config import TIMED, configure
from nbgrad.core.forks import ThreadLock
from nbgrad.core.modes import lines
from nbgrad.engine.demand import habits
from nbgrad.engine.profiler import (
    Event,
    KernelTime,
    aligned,
    open_profiles,
    thread_number,
    write_chrome_trace,
)
from nbgrad.engine.programs import programs
from nbgrad.program.traffic import Traffic

SORTED = ("time", "calls", "mean", "gb_per_s", "share")
MAX_NAME, MAX_LINE = 44, 48


class _Timing:
    """What is set while profiles are open, in whichever threads, and comes back with the last one.

    What is planned meanwhile has lines; what was planned before is found again afterwards.
    """

    def __init__(self) -> None:
        self.lock = ThreadLock()
        self.before: Any = None

    def begin(self) -> None:
        with self.lock.held:
            if not lines.timed:
                self.before = configure(tier=TIMED), programs.slots, habits.slots
                programs.slots, habits.slots = OrderedDict(), OrderedDict()
                self.before[0].__enter__()
            lines.on += 1
            lines.timed += 1

    def end(self) -> None:
        with self.lock.held:
            lines.timed -= 1
            lines.on -= 1
            if not lines.timed:
                block, programs.slots, habits.slots = self.before
                block.__exit__()


_timing = _Timing()


class profile:
    """Context that times each compiled kernel, and tells which line of yours it is for.

    Programs run as they always do, compiled and fused, but with a clock between their steps; what
    is met for the first time is planned and compiled, which no kernel's time contains. Programs of
    other threads are timed as well, and settings that :func:`configure` changes inside end with the
    block. Of operations one by one, not fused, tells :class:`nbgrad.autograd.profiler.profile`.

    Attributes
    ----------
    wall : float
        Seconds from entry to exit.
    device_peak : int
        Most bytes that a device has held at a time so far, 0 if no program ran on one.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> f = ng.jit(lambda x: (np.sin(x) * x).sum())
    >>> with ng.profile() as p:
    ...     for _ in range(3):
    ...         y = f(np.ones(100))
    >>> [(row.kind, row.name, row.calls, row.bytes) for row in p.rows()]
    [('kernel', 'sin+multiply+sum', 3, 2424)]
    """

    def __init__(self) -> None:
        self.wall = 0.0
        self.device_peak = 0
        self.events: list[tuple[Traffic, int, int, int]] = []
        self.labels: list[Event] = []
        self._inside = [0]
        self._start = 0

    def __enter__(self) -> profile:
        if self._start:
            raise RuntimeError("this profile is open already: make one for each block")
        _timing.begin()
        clocks.append(self._tell)
        open_profiles.profiles.append(self)
        self._start = perf_counter_ns()
        return self

    def __exit__(self, *exc: object) -> None:
        self.wall += (perf_counter_ns() - self._start) / 1e9
        self._start = 0
        self.device_peak = max(peaks.values(), default=0)
        open_profiles.profiles.remove(self)
        clocks.remove(self._tell)
        _timing.end()

    def _tell(self, step: Traffic, start: int, end: int) -> None:
        self.events.append((step, start, end, thread_number()))

    def _add(self, event: Event) -> None:
        self.labels.append(event)

    def rows(self, sort_by: str = "time") -> list[KernelTime]:
        """Return one row for each kernel and line, largest first.

        Parameters
        ----------
        sort_by : {"time", "calls", "mean", "gb_per_s", "share"}

        Raises
        ------
        ValueError
            For something else to sort by.

        Examples
        --------
        >>> import nbgrad as ng
        >>> with ng.profile() as p:
        ...     y = (ng.ones(10) * 2).sum().item()
        >>> p.rows("calls")[0].calls
        1
        """
        if sort_by not in SORTED:
            raise ValueError(f"sort_by must be one of {SORTED}, not {sort_by!r}")
        groups: dict[Any, list[tuple[Traffic, int]]] = {}
        for step, start, end, _ in list(self.events):
            key = step.kind, step.name, step.line
            groups.setdefault(key, []).append((step, end - start))
        found = [
            KernelTime(
                kind,
                name,
                len(runs),
                sum(ns for _, ns in runs) / 1e9,
                sum(step.moved for step, _ in runs),
                sum(step.flops for step, _ in runs),
                line,
            )
            for (kind, name, line), runs in groups.items()
        ]
        word = "time" if sort_by == "share" else sort_by
        return sorted(found, key=lambda row: -float(getattr(row, word)))

    def table(self, sort_by: str = "time", row_limit: int = 30) -> str:
        r"""Return the rows as text: calls, times, bytes a second, share of all kernels, line.

        Parameters
        ----------
        sort_by : {"time", "calls", "mean", "gb_per_s", "share"}
        row_limit : int
            The others are one row more.

        Examples
        --------
        >>> import nbgrad as ng
        >>> with ng.profile() as p:
        ...     y = (ng.ones(10) * 2).sum().item()
        >>> print(p.table().split("\n")[1].split()[:4])
        ['Kernel', 'Kind', 'Calls', 'Time']
        """
        rows = self.rows(sort_by)
        total = sum(row.time for row in rows)
        cells = [["Kernel", "Kind", "Calls", "Time", "Mean", "GB/s", "GFLOP/s", "Share", "Line"]]
        cells += [_cells(row, total) for row in rows[:row_limit]]
        if rest := rows[row_limit:]:
            time = sum(row.time for row in rest)
            share = f"{100 * time / (total or 1):.1f}%"
            count = str(sum(row.calls for row in rest))
            cells.append([f"{len(rest)} more", "", count, _seconds(time), "", "", "", share, ""])
        other = (
            f"kernels {_seconds(total)} of {_seconds(self.wall)}; the rest is Python, recording,"
        )
        held = (
            f"\ndevice memory {self.device_peak / 1e6:.3g} MB at most" if self.device_peak else ""
        )
        return f"{aligned(cells)}\n{other} planning and compiling{held}"

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"<nbgrad.profile of {len(self.events)} runs of {len(self.rows())} kernels>"

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write each run as a file for ``chrome://tracing`` or Perfetto.

        Blocks that :class:`nbgrad.autograd.profiler.record_function` labels are in it.

        Examples
        --------
        >>> import nbgrad as ng, os, tempfile
        >>> with ng.profile() as p:
        ...     y = ng.ones(10).sum().item()
        >>> path = os.path.join(tempfile.mkdtemp(), "trace.json")
        >>> p.export_chrome_trace(path)
        >>> os.path.getsize(path) > 100
        True
        """
        write_chrome_trace(path, self._shown())

    def _shown(self) -> Iterator[tuple[str, int, int, int, dict[str, Any]]]:
        for step, start, end, thread in list(self.events):
            args = {"kind": step.kind, "bytes": step.moved, "flops": step.flops, "line": step.line}
            yield step.name, start, end, thread, args
        for label in self.labels:
            yield label.name, label.start, label.end, label.thread, {}

    def plot(self, ax: Any = None, row_limit: int = 15) -> Any:
        """Draw the times of the kernels as bars, with matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Made if it is not given.
        row_limit : int

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if ax is None:
            try:
                import matplotlib.pyplot as plt
            except ImportError:
                raise ImportError(
                    "profile.plot needs matplotlib: pip install matplotlib, or print(profile)"
                ) from None
            _, ax = plt.subplots(figsize=(8, 0.6 + 0.3 * min(row_limit, len(self.rows()))))
        rows = self.rows()[:row_limit][::-1]
        bars = ax.barh(range(len(rows)), [row.time * 1e3 for row in rows])
        ax.set_yticks(
            range(len(rows)), [_cut(f"{row.name} x{row.calls}", MAX_NAME) for row in rows]
        )
        ax.bar_label(bars, [f"{row.gb_per_s:.3g} GB/s" for row in rows], padding=3, fontsize=8)
        ax.set_xlabel("milliseconds in all")
        return ax


def _cells(row: KernelTime, total: float) -> list[str]:
    rate = f"{row.flops / row.time / 1e9:.3g}" if row.time and row.flops else ""
    return [
        _cut(row.name, MAX_NAME),
        row.kind,
        str(row.calls),
        _seconds(row.time),
        _seconds(row.mean),
        f"{row.gb_per_s:.3g}",
        rate,
        f"{100 * row.time / (total or 1):.1f}%",
        _cut(row.line or "", MAX_LINE, end=True),
    ]


def _cut(text: str, most: int, end: bool = False) -> str:
    if len(text) <= most:
        return text
    return f"...{text[3 - most :]}" if end else f"{text[: most - 3]}..."


def _seconds(x: float) -> str:
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if x * factor >= 1:
            return f"{x * factor:.3g}{unit}"
    return f"{x * 1e9:.0f}ns"


__all__ = ["profile"]
