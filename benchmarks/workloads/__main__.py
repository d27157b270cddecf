"""The table of workloads, paired with adjoints by hand; with ``--peers`` beside the libraries that are installed."""

from __future__ import annotations

import argparse
import importlib
import re
import signal
import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks import kept, paired
from benchmarks.libraries import Step
from benchmarks.paired import alone, compare
from benchmarks.report import machine, number
from benchmarks.workloads.base import Sides, Workload, flat

PEER_SECONDS = 1.0
THEMES = (
    "small",
    "elementwise",
    "rows",
    "mixtures",
    "networks",
    "linear_algebra",
    "higher",
    "gathers",
    "stencils",
    "loops",
    "sparse",
)


def workloads(only: str = "", themes: tuple[str, ...] = THEMES) -> Iterator[tuple[str, Workload]]:
    """Theme and workload, in order."""
    for theme in themes:
        for row in importlib.import_module(f"benchmarks.workloads.{theme}").WORKLOADS:
            if re.search(only, f"{theme}: {row.name}"):
                yield theme, row


def check(sides: Sides) -> None:
    """By hand computes the same."""
    if sides.hand is not None and sides.same:
        for a, b in zip(flat(sides.ours()), flat(sides.hand()), strict=True):
            few = 1e-3 if np.asarray(b).dtype == np.float32 else 1e-7
            np.testing.assert_allclose(a, b, rtol=few, atol=few * float(np.abs(b).max()))


def columns(row: Workload) -> dict[str, str]:
    """One row of the table."""
    sides = row.build()
    check(sides)
    cells = {"case": row.name}
    if sides.hand is not None:
        pair = compare(sides.ours, sides.hand)
        cells |= {"nbgrad, µs": number(pair.ours), "by hand, µs": number(pair.theirs)}
        cells |= {"nbgrad / by hand": f"{pair.ratio:.2f}"}
    else:
        cells["nbgrad, µs"] = number(alone(sides.ours))
    cells["aim"] = "" if row.aim is None else str(row.aim)
    return cells


def beside(row: Workload, peers: str, limit: int) -> dict[str, str]:
    """The same of other libraries, those whose names *peers* finds: times as multiples of nbgrad's.

    One that has not compiled and run after *limit* seconds is given up.
    """
    sides = row.build()
    cells = {"case": row.name, "nbgrad, µs": number(alone(sides.ours))}
    for name in sides.peers:
        if not re.search(peers, name):
            continue
        try:
            cells[f"{name} / nbgrad"] = (
                f"{within(limit, lambda name=name: multiple(sides, name)):.2g}"
            )
        except ImportError:
            continue
        except Late:
            cells[f"{name} / nbgrad"] = f"none in {limit} s"
    return cells


def multiple(sides: Sides, name: str) -> float:
    step = sides.peers[name]()
    agree(sides, step)
    return 1 / compare(sides.ours, step, PEER_SECONDS).ratio


class Late(BaseException):
    """Time is up; no ``Exception``, which compilers catch."""


def within(seconds: int, work: Callable[[], float]) -> float:
    """What *work* returns, or ``Late``."""

    def stop(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        return work()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def agree(sides: Sides, step: Step) -> None:
    """Another library computes the same, also when it is called again."""
    for _ in range(2 if sides.same else 0):
        found = [np.asarray(getattr(a, "detach", lambda a=a: a)()) for a in flat(step())]
        for a, b in zip(flat(sides.ours()), found, strict=True):
            few = 1e-3 if np.float32 in (np.asarray(a).dtype, b.dtype) else 1e-7
            scale = float(np.abs(a).max())
            np.testing.assert_allclose(np.ravel(b), np.ravel(a), rtol=few, atol=few * scale)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workloads", description=__doc__)
    parser.add_argument("--only", default="", metavar="REGEX")
    parser.add_argument(
        "--peers", nargs="?", const="", metavar="REGEX", help="beside other libraries"
    )
    parser.add_argument(
        "--processor", action="store_true", help="processor time, on a busy machine"
    )
    parser.add_argument("--limit", type=int, default=180, help="seconds a peer has for a row")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md, too")
    options = parser.parse_args()
    if options.processor:
        paired.clock = time.process_time
    where = machine().rstrip(".")
    if options.processor:
        where += "; processor time of one thread, under load"
    print(f"{where}.\n", flush=True)
    shown: list[str] = []
    rows: list[dict[str, str]] = []
    for _, row in workloads(options.only):
        cells = (
            columns(row) if options.peers is None else beside(row, options.peers, options.limit)
        )
        if len(cells) < 3:
            continue
        if list(cells) != shown:
            shown = list(cells)
            print(f"\n| {' | '.join(shown)} |\n|{' --- |' * len(shown)}")
        print(f"| {' | '.join(cells.values())} |", flush=True)
        rows.append(cells)
    if rows and options.write:
        section = "workloads" if options.peers is None else "peers"
        kept.keep(section, rows, where, whole=not options.peers)


if __name__ == "__main__":
    main()
