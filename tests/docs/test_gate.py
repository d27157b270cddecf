"""The gate calls slower what is slower three times running, by medians and by the least."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest

from benchmarks import gate


class Side:
    """Answers with given times, again and again."""

    def __init__(self, *times: float) -> None:
        self.times: Iterator[float] = cycle(times)

    def time(self, row: str) -> float:
        return next(self.times)


@pytest.mark.parametrize(
    ("base", "head", "slower"),
    [
        ((1.0,), (1.15,), True),
        ((1.0,), (1.05,), False),
        ((1.0,), (0.5,), False),
        # Interrupted: the median is higher, the least is not.
        ((1.0,), (1.0, 1.5, 1.5), False),
        # One lucky sample of the base.
        ((1.0, 1.0, 1.0, 0.5), (1.0,), False),
    ],
    ids=["slower", "within the limit", "faster", "interrupted", "lucky"],
)
def test_what_is_slower(base: Any, head: Any, slower: bool) -> None:
    found, _ = gate.confirmed(Side(*base), Side(*head), "row", 12)  # type: ignore[arg-type]
    assert found is slower


def test_what_is_slower_once_is_not() -> None:
    once = [1.2] * 12 + [1.0] * 12
    found, last = gate.confirmed(Side(1.0), Side(*once), "row", 12)  # type: ignore[arg-type]
    assert not found and last.ratio == 1.0
