"""The gate calls slower what most rounds find slower, whatever a busy machine does to single samples."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gate

RUNS = 40


class Machine:
    """A busy one: jitter, slow spells that both sides share, interruptions and luck that hit one."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.pace = 1.0

    def takes(self, seconds: float) -> float:
        rng = self.rng
        if rng.random() < 0.05:
            self.pace = rng.choice((1.0, 1.2, 1.6))
        interrupted = rng.choice((1.0, rng.uniform(1.1, 3.0)), p=(0.8, 0.2))
        lucky = rng.choice((1.0, 0.9), p=(0.97, 0.03))
        return float(seconds * self.pace * interrupted * lucky * np.exp(rng.normal(0.0, 0.04)))


class Side:
    def __init__(self, machine: Machine, seconds: float) -> None:
        # Where memory lies in this process, which is rarely far from where it should.
        luck = np.exp(machine.rng.normal(0.0, 0.01)) * machine.rng.choice(
            (1.0, 2.0), p=(0.98, 0.02)
        )
        self.machine, self.seconds = machine, seconds * luck

    def time(self, row: str) -> float:
        return self.machine.takes(self.seconds)


def found(seed: int, factor: float, pairs: int = gate.QUICK_PAIRS) -> bool:
    """What the gate says of a head that takes *factor* times as long."""
    machine = Machine(seed)

    @contextlib.contextmanager
    def started() -> Iterator[Any]:
        yield Side(machine, 1.0), Side(machine, factor)

    ((_, verdict, _),) = gate.decided(["row"], started, pairs)
    return verdict


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.02])
def test_what_is_not_slower_passes(factor: float) -> None:
    assert not any(found(seed, factor) for seed in range(RUNS))


@pytest.mark.parametrize("factor", [1.15, 1.5, 3.0])
def test_what_is_slower_fails(factor: float) -> None:
    assert all(found(seed, factor) for seed in range(RUNS))


def test_one_lucky_sample_of_a_side_decides_nothing() -> None:
    """The least of either side says 1.1 where the medians say 1.4: a slowdown of half went by."""
    samples = [(1.0, 1.4)] * 10 + [(1.0, 1.09)]
    assert gate.Compared.of(samples).ratio == 1.4
    assert gate.Compared.of([(0.5, 1.0)] + [(1.0, 1.0)] * 10).ratio == 1.0


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((1.0,), False),
        ((1.2,), None),
        ((1.2, 1.0, 1.2, 1.0), None),
        ((1.2, 1.0, 1.2, 1.0, 1.2), True),
        ((1.2, 1.0, 1.0, 1.2, 1.0), False),
    ],
)
def test_three_votes_of_five_decide(ratios: tuple[float, ...], verdict: bool | None) -> None:
    assert gate.slower([gate.Compared(1.0, r, (r, r, r)) for r in ratios]) is verdict


def test_one_round_decides_only_where_all_estimates_agree() -> None:
    assert gate.slower([gate.Compared(1.0, 1.0, (1.0, 1.0, 1.1))]) is None


def test_one_slow_process_of_the_base_decides_nothing() -> None:
    """A base that took twice its time for a whole round hid a slowdown of 30 %."""
    slow, usual = gate.Compared(2.0, 1.3, (0.65,) * 3), gate.Compared(1.0, 1.3, (1.3,) * 3)
    assert gate.slower([slow]) is None
    assert gate.slower([slow, usual, usual, usual]) is True


def test_only_rows_that_are_undecided_are_timed_again() -> None:
    asked: list[str] = []

    class Given:
        def __init__(self, times: dict[str, float]) -> None:
            self.times = times

        def time(self, row: str) -> float:
            asked.append(row)
            return self.times[row]

    @contextlib.contextmanager
    def started() -> Iterator[Any]:
        yield Given({"a": 1.0, "b": 1.0}), Given({"a": 1.0, "b": 1.2})

    verdicts = {row: verdict for row, verdict, _ in gate.decided(["a", "b"], started, 9)}
    assert verdicts == {"a": False, "b": True}
    assert asked.count("b") == 3 * asked.count("a")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux alone says on which core")
def test_both_sides_run_on_the_core_that_a_round_has(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    side = gate.Side(gate.ROOT, tmp_path / "cache", ["--quick"], core)
    try:
        assert os.sched_getaffinity(side.process.pid) == {core}
    finally:
        side.end()
