"""Paired timing: two functions in one process, a sample of each in turn.

Whatever slows the machine for a while slows both, so the median of the ratios is steadier than
the ratio of two medians taken minutes apart.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SAMPLE_SECONDS = 2e-3
MIN_PAIRS, MAX_PAIRS = 11, 201
clock = time.perf_counter  # or ``time.process_time``, where others load the machine


@dataclass(frozen=True)
class Pair:
    """Medians in microseconds, and the median of ours / theirs."""

    ours: float
    theirs: float
    ratio: float


def microseconds(step: Callable[[], Any], number: int) -> float:
    began = clock()
    for _ in range(number):
        step()
    return (clock() - began) / number * 1e6


def calls_in_a_sample(step: Callable[[], Any], seconds: float = SAMPLE_SECONDS) -> int:
    """Warm *step* up until it is fast and steady, then see how often it fits into a sample."""
    best = float("inf")
    deadline = time.perf_counter() + 0.5
    for _ in range(4):
        best = min(best, microseconds(step, 1))
    while time.perf_counter() < deadline:
        best = min(best, microseconds(step, 1))
    return max(1, int(seconds * 1e6 / max(best, 1e-3)))  # the clock of a process may stand still


def compare(ours: Callable[[], Any], theirs: Callable[[], Any], seconds: float = 2.0) -> Pair:
    """Measure A B, B A, A B, ... for about *seconds*."""
    n_ours, n_theirs = calls_in_a_sample(ours), calls_in_a_sample(theirs)
    samples: list[tuple[float, float]] = []
    deadline = time.perf_counter() + seconds
    while len(samples) < MIN_PAIRS or (
        len(samples) < MAX_PAIRS and time.perf_counter() < deadline
    ):
        if len(samples) % 2:
            b, a = microseconds(theirs, n_theirs), microseconds(ours, n_ours)
        else:
            a, b = microseconds(ours, n_ours), microseconds(theirs, n_theirs)
        samples.append((a, b))
    return Pair(
        statistics.median(a for a, _ in samples),
        statistics.median(b for _, b in samples),
        statistics.median(a / b for a, b in samples),
    )


def alone(step: Callable[[], Any], seconds: float = 1.0) -> float:
    """Median microseconds of one function that has no rival."""
    number = calls_in_a_sample(step)
    deadline = time.perf_counter() + seconds
    samples: list[float] = []
    while len(samples) < MIN_PAIRS or (
        len(samples) < MAX_PAIRS and time.perf_counter() < deadline
    ):
        samples.append(microseconds(step, number))
    return statistics.median(samples)
