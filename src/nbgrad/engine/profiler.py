"""Profiler: which operations are called, how often, on which shapes, and for how long.

While a profile is open each operation is computed by its NumPy reference at once, on its own, so
that its time can be told. Nothing is fused and no kernel is compiled then: the times rank the
operations of a program, they do not predict how fast its compiled kernels run.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from nbgrad.core.aval import is_several
from nbgrad.core.modes import lines, modes
from nbgrad.core.node import Node
from nbgrad.engine.demand import demand
from nbgrad.errors import ConcretizationError

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One computed operation, or one block labelled by :class:`record_function`.

    Times are in nanoseconds; ``self_time`` is what the operations inside a block leave of it.
    """

    name: str
    start: int
    end: int
    self_time: int
    shapes: Shapes
    line: str | None
    thread: int


@dataclass(frozen=True, slots=True)
class Average:
    """All events of one name (and, if asked for, one set of input shapes)."""

    key: str
    input_shapes: Shapes | None
    count: int
    self_cpu_time_total: float
    cpu_time_total: float

    @property
    def cpu_time(self) -> float:
        """Mean time of a call in microseconds."""
        return self.cpu_time_total / self.count


@dataclass(frozen=True, slots=True)
class KernelTime:
    """All runs of one step: a row of :meth:`nbgrad.profile.rows`.

    Attributes
    ----------
    kind : str
        ``kernel``, ``library`` (BLAS, LAPACK and the like), ``host`` (a call of NumPy's), ``loop``,
        or ``program``: one that is too long to be compiled, as a whole.
    name : str
        The operations in it.
    calls : int
    time : float
        Seconds in all.
    bytes, flops : int
        By count, in all: see :meth:`TapeView.cost`.
    line : str or None
        Where the user called what it ends with.
    """

    kind: str
    name: str
    calls: int
    time: float
    bytes: int
    flops: int
    line: str | None

    @property
    def mean(self) -> float:
        """Seconds of a run."""
        return self.time / self.calls

    @property
    def gb_per_s(self) -> float:
        """Gigabytes read and written a second."""
        return self.bytes / self.time / 1e9 if self.time else 0.0


class Averages(Sequence[Average]):
    """What :meth:`profile.key_averages` returns; print :meth:`table`."""

    def __init__(self, rows: Sequence[Average]) -> None:
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def __iter__(self) -> Iterator[Average]:
        return iter(self._rows)

    def table(self, sort_by: str | None = None, row_limit: int = 100) -> str:
        """Return the averages as text.

        Parameters
        ----------
        sort_by : str, optional
            A field of :class:`Average`, largest first: ``self_cpu_time_total``,
            ``cpu_time_total``, ``cpu_time`` or ``count``. In order of first call by default.
        row_limit : int

        Raises
        ------
        ValueError
            For a field that is not there.
        """
        rows = self._rows
        if sort_by is not None:
            if sort_by not in ("self_cpu_time_total", "cpu_time_total", "cpu_time", "count"):
                raise ValueError(f"cannot sort by {sort_by!r}: it is not a column of the table")
            rows = sorted(rows, key=lambda row: getattr(row, sort_by), reverse=True)
        total = sum(row.self_cpu_time_total for row in rows) or 1.0
        cells = [["Name", "Self CPU %", "Self CPU", "CPU total", "CPU time avg", "# of Calls"]]
        shaped = any(row.input_shapes is not None for row in rows)
        if shaped:
            cells[0].append("Input Shapes")
        for row in rows[:row_limit]:
            times = (row.self_cpu_time_total, row.cpu_time_total, row.cpu_time)
            share = f"{100 * row.self_cpu_time_total / total:.2f}%"
            cells.append([row.key, share, *(f"{t:.3f}us" for t in times), str(row.count)])
            if shaped:
                cells[-1].append(str([list(s) for s in row.input_shapes or ()]))
        return aligned(cells) + f"\nSelf CPU time total: {total:.3f}us"


def aligned(cells: list[list[str]]) -> str:
    """Columns of equal width; the first is flush left, the others flush right."""
    widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
    ruler = "  ".join("-" * width for width in widths)
    text = [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in cells
    ]
    return "\n".join([ruler, text[0], ruler, *text[1:], ruler])


class profile:
    """Context that records and times every operation of this thread, one at a time.

    Parameters
    ----------
    enabled : bool
        False makes the context do nothing.
    record_shapes : bool
        Show the shapes of the operands in the Chrome trace as well.

    Notes
    -----
    Operations are computed when they are recorded, by their NumPy references, and not fused.
    Compile and launch times of kernels do not appear.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.ones(3, requires_grad=True)
    >>> with ng.autograd.profiler.profile() as p:
    ...     y = (x * 2 / 3).sum()
    >>> [(row.key, row.count) for row in p.key_averages()]
    [('multiply', 1), ('divide', 1), ('sum', 1)]
    """

    def __init__(self, enabled: bool = True, *, record_shapes: bool = False) -> None:
        self.enabled = enabled
        self.record_shapes = record_shapes
        self.events: list[Event] = []
        self._before: tuple[Any, Any] = ((), None)
        self._inside = [0]

    def __enter__(self) -> profile:
        if self.enabled:
            self._before = (modes.observers, modes.recorded)
            modes.observers = (*modes.observers, self._observe)
            modes.recorded = _compute
            open_profiles.profiles.append(self)
            lines.on += 1
        return self

    def __exit__(self, *exc: object) -> None:
        if self.enabled:
            modes.observers, modes.recorded = self._before
            open_profiles.profiles.remove(self)
            lines.on -= 1

    def _observe(self, node: Node, start: int, end: int) -> None:
        shapes = tuple(x.shape if x.__class__ is Node else () for x in node.inputs)
        self._add(
            Event(node.sig.prim.name, start, end, end - start, shapes, node.line, thread_number())
        )

    def _add(self, event: Event) -> None:
        self.events.append(event)
        self._inside[-1] += event.end - event.start

    def key_averages(self, group_by_input_shape: bool = False) -> Averages:
        """Return the events added up by name, or by name and shapes of the operands.

        Times are in microseconds.
        """
        groups: dict[Any, list[Event]] = {}
        for event in self.events:
            shapes = event.shapes if group_by_input_shape else None
            groups.setdefault((event.name, shapes), []).append(event)
        return Averages(
            [
                Average(
                    name,
                    shapes,
                    len(events),
                    sum(e.self_time for e in events) / 1e3,
                    sum(e.end - e.start for e in events) / 1e3,
                )
                for (name, shapes), events in groups.items()
            ]
        )

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the events as a file for ``chrome://tracing`` or Perfetto."""
        write_chrome_trace(path, self._shown())

    def _shown(self) -> Iterator[tuple[str, int, int, int, dict[str, Any]]]:
        for event in self.events:
            args: dict[str, Any] = {"line": event.line} if event.line else {}
            if self.record_shapes:
                args["Input Dims"] = [list(shape) for shape in event.shapes]
            yield event.name, event.start, event.end, event.thread, args


def write_chrome_trace(
    path: str | os.PathLike[str], events: Iterable[tuple[str, int, int, int, dict[str, Any]]]
) -> None:
    """Write names, beginnings and ends in nanoseconds, threads and what else there is to say."""
    trace = [
        {
            "name": name,
            "ph": "X",
            "ts": start / 1e3,
            "dur": (end - start) / 1e3,
            "pid": os.getpid(),
            "tid": thread,
            "args": args,
        }
        for name, start, end, thread, args in events
    ]
    Path(path).write_text(json.dumps({"traceEvents": trace, "displayTimeUnit": "ns"}))


class record_function:
    """Context that labels a block of code in the open profiles.

    Parameters
    ----------
    name : str

    Examples
    --------
    >>> import nbgrad as ng
    >>> profiler = ng.autograd.profiler
    >>> with profiler.profile() as p, profiler.record_function("loss"):
    ...     y = ng.ones(3).sum()
    >>> [row.key for row in p.key_averages()]
    ['sum', 'loss']
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._start = 0
        self._profiles: list[Any] = []

    def __enter__(self) -> record_function:
        self._profiles = list(open_profiles.profiles)
        for one in self._profiles:
            one._inside.append(0)
        self._start = perf_counter_ns()
        return self

    def __exit__(self, *exc: object) -> None:
        end = perf_counter_ns()
        for one in self._profiles:
            inside = one._inside.pop()
            own = end - self._start - inside
            one._add(Event(self.name, self._start, end, own, (), None, thread_number()))


class _Open(threading.local):
    """The profiles that are open in this thread."""

    def __init__(self) -> None:
        self.profiles: list[Any] = []


open_profiles = _Open()


def thread_number() -> int:
    return threading.get_ident()


def _compute(node: Node) -> None:
    """Compute an operation as soon as it is recorded; a traced one cannot be.

    One with several results is computed with the first of them.
    """
    if is_several(node.aval):
        return
    try:
        demand([node])
    except ConcretizationError:
        return


__all__ = ["Average", "Averages", "Event", "KernelTime", "profile", "record_function"]
