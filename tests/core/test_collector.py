"""Making objects old while they are made, and looking at them after all."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import subprocesses

from nbgrad.core import collector


def test_garbage_among_what_was_made_old_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a long loop makes old is all kept; what others made meanwhile need not be."""
    made: list[Any] = []

    class Cycle:
        def __init__(self) -> None:
            self.me = self

    monkeypatch.setattr(collector, "MOST", 1000)
    for _ in range(2):  # the first look finds out how much there is
        monkeypatch.setattr(collector, "_living", 0)
        made.append(weakref.ref(Cycle()))
        kept = [[k] for k in range(2000)]
        collector.age()
        assert len(kept) == 2000
    assert made[0]() is None and made[1]() is None


def test_garbage_is_looked_for_once_it_is_as_much_as_there_was() -> None:
    """And not as there is, of which garbage is a part."""
    output = subprocesses.run(
        """
        import gc
        from nbgrad.core import collector
        collector.MOST = 10_000
        class Cycle:
            def __init__(self): self.me = self
        peak = 0
        for _ in range(40):
            with collector.paused():
                for _ in range(20_000): Cycle()
            peak = max(peak, len(gc.get_objects()))
        print(peak)
        """
    )
    assert int(output) < 700_000  # of 1,600,000 that were made and dropped
