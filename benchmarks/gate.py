"""Two commits in turn: ``python -m benchmarks.gate BASE [HEAD]`` fails where HEAD is slower.

    python -m benchmarks.gate HEAD~1                # the working tree beside the commit before
    python -m benchmarks.gate v0.1 main --only jit  # two commits, some rows
    python -m benchmarks.gate HEAD --quick          # hot paths alone

A process each, from this tree's benchmarks and either tree's nbgrad, both on one core, is asked for samples in turn
(A B B A ...). What a round of them finds is a vote; processes are new in each round, since one may be slow for where its
memory lies. Three votes decide, of five at most: a row fails if three rounds found it slower by more than the limit.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Halfway between what is the same and what is slower by 15 %, which must be found.
LIMIT, VOTES = 1.075, 3
SAME = 1.03  # once so near by all estimates is enough; a head far faster may be a base that was slow for once
PAIRS, QUICK_PAIRS, FEWEST_PAIRS = 41, 25, 9
SECONDS = 4.0  # of a row in a round, after the fewest pairs
ONE_THREAD = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Side:
    """The process that times one of the trees."""

    def __init__(self, tree: Path, cache: Path, options: Sequence[str], core: int) -> None:
        cache.mkdir(mode=0o700, exist_ok=True)
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
        # Both sides on one core: a neighbour outside may slow another core, and one side for a whole round.
        with contextlib.suppress(AttributeError):  # of Linux alone
            os.sched_setaffinity(self.process.pid, {core})
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


Sides = tuple[Side, Side]


@dataclass(frozen=True)
class Compared:
    """Medians of either side in microseconds; how many times as long the second takes, by three *estimates*."""

    base: float
    head: float
    estimates: tuple[float, float, float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.estimates)

    @property
    def same(self) -> bool:
        return min(self.estimates) >= 1.0 / SAME and max(self.estimates) <= SAME

    @classmethod
    def of(cls, samples: Sequence[tuple[float, float]]) -> Compared:
        """Three estimates, each deceived by other noise: the one in the middle counts.

        The median of the ratios of neighbours is off where one side was interrupted more often, the ratio of the
        medians where the machine changed its pace, that of the lower quartiles where a side had some lucky samples.
        The least of each side, one sample, would be off more often than any of them.
        """
        bases, heads = (sorted(s[k] for s in samples) for k in (0, 1))
        quarter = len(samples) // 4
        base, head = statistics.median(bases), statistics.median(heads)
        neighbours = statistics.median(b / a for a, b in samples)
        return cls(base, head, (neighbours, head / base, heads[quarter] / bases[quarter]))


def slower(rounds: Sequence[Compared]) -> bool | None:
    """What the rounds of a row say together; None if another is needed."""
    if rounds[0].same:
        return False
    votes = [found.ratio > LIMIT for found in rounds]
    return next((vote for vote in (True, False) if votes.count(vote) >= VOTES), None)


def compare(base: Side, head: Side, row: str, pairs: int) -> Compared:
    """Time *row* on both sides, in turn."""
    samples: list[tuple[float, float]] = []
    until = time.perf_counter() + SECONDS
    while len(samples) < FEWEST_PAIRS or (len(samples) < pairs and time.perf_counter() < until):
        if len(samples) % 2:
            b, a = head.time(row), base.time(row)
        else:
            a, b = base.time(row), head.time(row)
        samples.append((a, b))
    return Compared.of(samples)


def decided(
    rows: Sequence[str],
    started: Callable[[], contextlib.AbstractContextManager[Sides]],
    pairs: int,
) -> Iterator[tuple[str, bool, list[Compared]]]:
    """Each row, whether it is slower, and what its rounds found; processes are *started* for each round."""
    found: dict[str, list[Compared]] = {row: [] for row in rows}
    while found:
        with started() as sides:
            for row, rounds in list(found.items()):
                rounds.append(compare(*sides, row, pairs))
                verdict = slower(rounds)
                if verdict is not None:
                    yield row, verdict, found.pop(row)


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
        cores = itertools.cycle(sorted(getattr(os, "sched_getaffinity", lambda _: {0})(0)))

        @contextlib.contextmanager
        def started() -> Iterator[Sides]:
            with contextlib.ExitStack() as running:
                sides, core = [], next(cores)
                for tree, cache, slow in zip(paths, "ab", (0.0, options.slower), strict=True):
                    words = [*common, "--slower", str(slow)]
                    sides.append(Side(tree, folder / f"cache-{cache}", words, core))
                    running.callback(sides[-1].end)
                yield sides[0], sides[1]

        with started() as (base, head):
            rows = [r for r in base.rows if r in head.rows and re.search(options.only, r)]
        return report(decided(rows, started, pairs))


def report(found: Iterator[tuple[str, bool, list[Compared]]]) -> int:
    """Print the rows as they are decided; the status of the command."""
    failed = []
    print("| row | base, µs | head, µs | ratio of each round |\n| --- | --- | --- | --- |")
    for row, verdict, rounds in found:
        last, ratios = rounds[-1], ", ".join(f"{r.ratio:.2f}" for r in rounds)
        mark = " SLOWER" * verdict
        print(f"| {row} | {last.base:.3g} | {last.head:.3g} | {ratios}{mark} |", flush=True)
        failed += [row] * verdict
    print(f"{len(failed)} rows slower by more than {LIMIT - 1:.1%}", *failed, sep="\n  ")
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
