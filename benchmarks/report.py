"""Every figure of docs/performance.md, as Markdown: ``python -m benchmarks.report``.

Timings run in one child process per number of threads, paired with each rival that is installed;
start-up and memory run in fresh processes. ``--only REGEX`` selects cases, ``--threads 1 2`` the
numbers of threads; rivals are installed with ``pip install -e ".[bench,peers]"``.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import fresh, kept
from benchmarks.paired import alone, compare

Row = dict[str, str]
COUNTED = {1: "one thread", 2: "two threads"}
VERSIONS = ("nbgrad", "numba", "llvmlite", "numpy", "scipy", "torch", "jax", "autograd")


def main() -> None:
    options = parse()
    if options.timings is not None:
        print(json.dumps(list(timings(options.timings, options.only))))
        return
    print(f"{machine()}\n")
    sections = {
        COUNTED.get(n, f"{n} threads"): functools.partial(timings_in_a_child, n)
        for n in options.threads
    }
    for name, measure in {**sections, "start-up": start_up, "memory": memory}.items():
        rows = list(measure(options.only))
        print_table(name, rows)
        if rows and options.write:
            kept.keep(name, rows, machine())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--only", default="", metavar="REGEX", help="cases whose name matches")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, cores}))
    parser.add_argument("--write", action="store_true", help="into docs/performance.md, too")
    parser.add_argument("--timings", type=int, metavar="THREADS", help=argparse.SUPPRESS)
    return parser.parse_args()


def machine() -> str:
    found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processor = found.group(1) if found else platform.machine()
    versions = [f"Python {platform.python_version()}"]
    for name in VERSIONS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{processor}, {len(os.sched_getaffinity(0))} cores; {', '.join(versions)}."


def timings_in_a_child(threads: int, only: str) -> list[Row]:
    """Thread pools are sized once in a process, from its environment."""
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads))
    if threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        environment["XLA_FLAGS"] = flags
    command = [sys.executable, "-m", "benchmarks.report", "--timings", str(threads)]
    done = subprocess.run(
        [*command, "--only", only], env=environment, cwd=fresh.ROOT, stdout=subprocess.PIPE
    )
    done.check_returncode()
    rows: list[Row] = json.loads(done.stdout)
    return rows


def timings(threads: int, only: str) -> Iterator[Row]:
    from benchmarks.cases import cases  # starts numba, which the parent must not

    for case in cases(threads):
        if not re.search(only, case.name):
            continue
        print(f"  {case.name}", file=sys.stderr)
        ours, met = case.ours(), False
        for rival, build in case.rivals.items():
            try:
                theirs = build()
            except ImportError:
                continue
            pair, met = compare(ours, theirs), True
            us, their_us = pair.ours / case.per, pair.theirs / case.per
            yield row(case.name, us, rival, number(their_us), f"{pair.ratio:.2f}", case.aim)
        if not met:
            yield row(case.name, alone(ours) / case.per, aim=case.aim)


def row(
    name: str, us: float, rival: str = "", rival_us: str = "", ratio: str = "", aim: str = ""
) -> Row:
    columns = {"case": name, "nbgrad, µs": number(us), "rival": rival, "rival, µs": rival_us}
    return columns | {"nbgrad / rival": ratio, "aim, at most": aim}


def start_up(only: str) -> Iterator[Row]:
    if re.search(only, "import nbgrad"):
        seconds = statistics.median(fresh.in_fresh_process("import")["seconds"] for _ in range(5))
        yield {"case": "`import nbgrad`", "seconds": f"{seconds:.3f}", "aim, at most": "0.2"}
    for how, aims in (("backward", ("0.08", "0.08")), ("jit", ("0.6", "0.12"))):
        for cache, aim in zip(("empty", "warm"), aims, strict=True):
            name = f"first gradient by {how}, {cache} cache, import included"
            if re.search(only, name):
                samples = [fresh.first_gradient_seconds(how, cache == "warm") for _ in range(3)]
                seconds = statistics.median(samples)
                yield {"case": name, "seconds": f"{seconds:.3f}", "aim, at most": aim}


def memory(only: str) -> Iterator[Row]:
    for how in ("backward", "jit"):
        name = f"gradient of a chain of 20 over 10^7 float64 by {how}"
        if re.search(only, name):
            ratio = fresh.in_fresh_process(f"memory-{how}")["ratio"]
            figure = f"{ratio:.3f} x (input + gradient)"
            yield {"case": name, "peak or growth": figure, "aim, at most": "1.10 x"}
    for what in ("training", "forward"):
        name = f"10^5 {what} steps after warm-up"
        if re.search(only, name):
            grown = fresh.in_fresh_process(f"growth-{what}")["megabytes"]
            yield {"case": name, "peak or growth": f"{grown:+.2f} MB", "aim, at most": "5 MB"}


def number(value: float) -> str:
    """Three significant digits, no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def print_table(title: str, rows: list[Row]) -> None:
    if not rows:
        return
    names = list(rows[0])
    print(f"## {title.capitalize()}\n\n| {' | '.join(names)} |\n|{' --- |' * len(names)}")
    for line in rows:
        print(f"| {' | '.join(line.values())} |")
    print(flush=True)


if __name__ == "__main__":
    main()
