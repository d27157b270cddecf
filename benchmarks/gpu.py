"""Everything that needs a card, in one command: ``python -m benchmarks.gpu``.

It runs the tests of devices on the card, then times programs beside PyTorch, JAX and CuPy, each where it is
installed and finds the card, and prints one table; ``--write`` puts that into docs/performance.md. All of it
takes less than 8 minutes: each library is a process of its own (``gpu_worker``), each row has its seconds, and a
process that does not answer in time is ended and goes on behind that row. ``--small`` takes tiny sizes:
``NBGRAD_CUDA=emulator python -m benchmarks.gpu --small``. No figure of it was measured yet: there was no card
where it was written.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.gpu_rows import ROWS, Row

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- gpu: begin -->\n", "<!-- gpu: end -->\n"
TESTS = ("tests/backends/test_on_card.py", "tests/backends/test_device_tensors.py")
MORE_TESTS = ("tests/backends/test_cuda_packages.py", "tests/backends/test_device_operations.py")
LIBRARIES = ("nbgrad", "PyTorch", "PyTorch compiled", "JAX", "CuPy")
LIMIT, TESTING, STARTING = 8 * 60, 150, 40  # seconds: all, the tests, a library's start
COMMAND = [sys.executable, "-m", "benchmarks.gpu_worker"]
Found = dict[str, dict[str, Any]]  # by row, then what was measured


@dataclass
class Clock:
    """What is left of the whole time."""

    ends: float

    def left(self, most: float) -> float:
        return max(0.0, min(most, self.ends - time.monotonic()))


class Worker:
    """A library in a process of its own, which answers row by row."""

    def __init__(self, library: str, rows: Iterable[str], small: bool) -> None:
        # A library must not take all memory of the card for itself, nor another one's words for the answer.
        env = dict(os.environ, XLA_PYTHON_CLIENT_PREALLOCATE="false", PYTHONUNBUFFERED="1")
        self.process = subprocess.Popen(
            [*COMMAND, library, *rows, *["--small"] * small],
            cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.words: list[str] = []
        self.readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._listen, daemon=True),
        ]
        for reader in self.readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.words = [*self.words[-20:], line.strip()]

    def answer(self, seconds: float) -> dict[str, Any] | None:
        """What it says next; None if it has ended. ``queue.Empty`` if it says nothing in time."""
        ends = time.monotonic() + seconds
        while True:
            line = self.lines.get(timeout=max(0.01, ends - time.monotonic()))
            if line is None or line.startswith("{"):
                return None if line is None else json.loads(line)

    def end(self) -> str:
        """End it, if it has not; its last word."""
        self.process.kill()
        self.process.wait()
        for reader, pipe in zip(
            self.readers, (self.process.stdout, self.process.stderr), strict=True
        ):
            reader.join(timeout=5)
            assert pipe is not None
            pipe.close()
        return next((word for word in reversed(self.words) if word), "no word")


def measured(library: str, rows: list[Row], small: bool, clock: Clock) -> Found:
    """What *library* takes for each row; why not, where it does not say."""
    found: Found = {}
    left = list(rows)
    while left and clock.left(1.0) > 0:
        worker = Worker(library, [row.name for row in left], small)
        try:
            head = worker.answer(clock.left(STARTING))
            if head is None or "missing" in head:
                found[""] = {"missing": worker.end() if head is None else head["missing"]}
                return found
            found[""] = head
            left = _answered(worker, left, found, clock)
        except queue.Empty:
            return found | {"": {"missing": "it did not start in time"}}
        finally:
            worker.end()
    found.update({row.name: {"failed": "no time left"} for row in left})
    return found


def _answered(worker: Worker, rows: list[Row], found: Found, clock: Clock) -> list[Row]:
    """Take its answers, as long as there are some; the rows that another one is to be asked for."""
    for k, row in enumerate(rows):
        budget = clock.left(row.budget)
        try:
            said = worker.answer(budget)
        except queue.Empty:
            found[row.name] = {"failed": f"not within {budget:.0f} s"}
            return rows[k + 1 :]
        found[row.name] = {"failed": worker.end()} if said is None else said
        if said is None or said.get("lost"):
            return rows[k + 1 :]
    return []


def tested(small: bool, seconds: float) -> str:
    """Run the tests of devices on the card; what pytest says of them."""
    env = dict(os.environ, NBGRAD_TEST_CUDA=os.environ.get("NBGRAD_CUDA", "auto"))
    chosen = [MORE_TESTS[0]] if small else [*TESTS, *MORE_TESTS]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *chosen]
    if find_spec("xdist") is None:
        del command[4:6]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        return f"not through within {seconds:.0f} s; so far: {said.strip()[-80:]}"
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]]
    failed = [f"- {line}" for line in lines if line.startswith(("FAILED", "ERROR"))]
    return "\n".join([lines[-1].strip("= "), *failed])


def table(found: dict[str, Found], rows: list[Row]) -> list[str]:
    """The table: a row a program, with its aim and whether it is met."""
    ours = found["nbgrad"]
    rate = ours.get("copy", {}).get("gbs")
    lines = [
        "| program | nbgrad | of the bound | " + " | ".join(LIBRARIES[1:]) + " | aim | met |",
        "| --- | ---: | ---: |" + " ---: |" * len(LIBRARIES[1:]) + " --- | --- |",
    ]
    for row in rows:
        mine = ours.get(row.name, {"failed": "not measured"})
        rivals = [found.get(name, {}).get(row.name, {}) for name in LIBRARIES[1:]]
        bound = row.bound(mine, rate, found)
        met = row.met(mine, bound, dict(zip(LIBRARIES[1:], rivals, strict=True)))
        cells = [shown(mine), "" if bound is None else f"{100 * bound:.0f} %"]
        cells += [shown(r) if r else "" for r in rivals]
        lines.append(f"| {row.title} | {' | '.join(cells)} | {row.aim} | {met} |")
    return lines


def shown(said: dict[str, Any]) -> str:
    """What was measured, as a cell."""
    if "failed" in said:
        return re.sub(r"[|\n]", " ", str(said["failed"]))[:60]
    if "text" in said:
        return str(said["text"])
    seconds = float(said["seconds"])
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    return ""


def report(options: argparse.Namespace) -> list[str]:
    """The lines of the page: tests, card and versions, the table."""
    began = time.monotonic()
    clock = Clock(began + LIMIT)
    parts = [] if options.skip_tests else [f"Tests: {tested(options.small, TESTING)}", ""]
    print(*parts, sep="\n", flush=True)
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    found: dict[str, Found] = {}
    for library in LIBRARIES:
        wanted = [row for row in rows if library == "nbgrad" or library in row.rivals]
        found[library] = measured(library, wanted, options.small, clock) if wanted else {}
    heads = [f"{k} {_version(v)}" for k, v in found.items() if "" in v]
    card = found["nbgrad"].get("", {}).get("card", "no card")
    took = time.monotonic() - began
    lines = [f"{card}; {', '.join(heads)}; {time.strftime('%d %B %Y')}; {took:.0f} s in all.", ""]
    if options.small:
        lines.insert(0, "Tiny sizes: these times say nothing.\n")
    lines += table(found, rows)
    print(*lines, sep="\n", flush=True)
    return [*parts, *lines]


def _version(found: Found) -> str:
    head = found[""]
    return str(head["version"]) if "version" in head else f"not measured ({head['missing']})"


def write(lines: list[str], page: Path) -> None:
    """Put the lines between the marks of *page*, or behind all, with marks."""
    text = page.read_text() if page.exists() else ""
    if BEGIN not in text:
        text += f"\n## On a card\n\n{BEGIN}{END}"
    before, _, rest = text.partition(BEGIN)
    page.write_text(before + BEGIN + "\n".join([*lines, ""]) + END + rest.partition(END)[2])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--small", action="store_true", help="tiny sizes, for the emulator")
    parser.add_argument("--skip-tests", action="store_true", help="the figures alone")
    parser.add_argument(
        "--rows", nargs="*", metavar="ROW", help=f"some of: {' '.join(r.name for r in ROWS)}"
    )
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="into another page")
    options = parser.parse_args(arguments)
    lines = report(options)
    if options.write:
        write(lines, options.page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
