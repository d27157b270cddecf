"""Two commits in turn: ``python -m benchmarks.gate BASE [HEAD]`` fails where HEAD is slower.

    python -m benchmarks.gate HEAD~1                # the working tree beside the commit before
    python -m benchmarks.gate v0.1 main --only jit  # two commits, some rows
    python -m benchmarks.gate HEAD --quick          # hot paths alone

A process each, from this tree's benchmarks and either tree's nbgrad, is asked for samples in turn (A B B A ...). A
row fails if the median of the ratios is above the limit three times running; the least of either side must agree,
so that what interrupts one of them is no regression.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIMIT, CONFIRMATIONS = 1.10, 3
PAIRS, QUICK_PAIRS = 25, 11
ONE_THREAD = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Side:
    """The process that times one of the trees."""

    def __init__(self, tree: Path, cache: Path, options: Sequence[str]) -> None:
        cache.mkdir(mode=0o700)
        environment = os.environ | dict.fromkeys(ONE_THREAD, "1")
        environment |= {"PYTHONPATH": str(tree / "src"), "NBGRAD_CACHE_DIR": str(cache)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gate_worker", *options],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        found = self._read()
        if not Path(found["file"]).is_relative_to(tree):
            raise SystemExit(f"gate: {found['file']} was imported, which is not of {tree}")
        self.rows: list[str] = found["rows"]

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"gate: a worker ended with status {self.process.wait()}")
        return json.loads(line)

    def time(self, row: str) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(row) + "\n")
        self.process.stdin.flush()
        return float(self._read())

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@dataclass(frozen=True)
class Compared:
    """Medians in microseconds; the median of the ratios, and the ratio of the least."""

    base: float
    head: float
    ratio: float
    least: float

    @property
    def slower(self) -> bool:
        return min(self.ratio, self.least) > LIMIT


def compare(base: Side, head: Side, row: str, pairs: int) -> Compared:
    """Time *row* on both sides, in turn."""
    samples = []
    for k in range(pairs):
        if k % 2:
            b, a = head.time(row), base.time(row)
        else:
            a, b = base.time(row), head.time(row)
        samples.append((a, b))
    bases, heads = ([s[k] for s in samples] for k in (0, 1))
    ratio = statistics.median(b / a for a, b in samples)
    return Compared(
        statistics.median(bases), statistics.median(heads), ratio, min(heads) / min(bases)
    )


def confirmed(base: Side, head: Side, row: str, pairs: int) -> tuple[bool, Compared]:
    """Whether *row* is slower each of three times, and what was found last."""
    for _ in range(CONFIRMATIONS):
        found = compare(base, head, row, pairs)
        if not found.slower:
            return False, found
    return True, found


@contextlib.contextmanager
def trees(base: str, head: str | None, folder: Path) -> Iterator[tuple[Path, Path]]:
    """The two trees; without *head* the second is the working tree."""
    made = []
    try:
        for name, commit in (("base", base), ("head", head)):
            if commit is not None:
                git("worktree", "add", "--quiet", "--detach", str(folder / name), commit)
                made.append(folder / name)
        yield made[0], made[1] if head is not None else ROOT
    finally:
        for tree in made:
            git("worktree", "remove", "--force", str(tree))


def git(*words: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *words], check=True)


def main() -> int:
    options = parse()
    pairs = QUICK_PAIRS if options.quick else PAIRS
    common = ["--quick"] if options.quick else []
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        paths = stack.enter_context(trees(options.base, options.head, folder))
        sides = []
        for tree, cache, slower in zip(paths, ("a", "b"), (0.0, options.slower), strict=True):
            sides.append(Side(tree, folder / cache, [*common, "--slower", str(slower)]))
            stack.callback(sides[-1].end)
        shared = [row for row in sides[0].rows if row in sides[1].rows]
        failed = []
        print(
            "| row | base, µs | head, µs | ratio | of the least |\n| --- | --- | --- | --- | --- |"
        )
        for row in (row for row in shared if re.search(options.only, row)):
            slower, found = confirmed(*sides, row, pairs)
            mark = " SLOWER" if slower else ""
            times = f"{found.base:.3g} | {found.head:.3g} | {found.ratio:.2f} | {found.least:.2f}{mark}"
            print(f"| {row} | {times} |", flush=True)
            failed += [row] if slower else []
    print(
        f"{len(failed)} rows slower by more than {LIMIT - 1:.0%}"
        + "".join(f"\n  {row}" for row in failed)
    )
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("base")
    parser.add_argument("head", nargs="?", help="the working tree, if it is not given")
    parser.add_argument("--only", default="", metavar="REGEX")
    parser.add_argument("--quick", action="store_true", help="hot paths alone, fewer samples")
    parser.add_argument("--slower", type=float, default=0.0, help="a deliberate slowdown of HEAD")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
