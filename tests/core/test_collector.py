"""Making objects old while they are made, and looking at them after all."""

from __future__ import annotations

import sys
import weakref

from nbgrad.core import collector


def test_garbage_among_what_was_made_old_is_collected() -> None:
    """What a long loop makes old is all kept; what others made meanwhile need not be."""
    made = []

    class Cycle:
        def __init__(self) -> None:
            self.me = self

    before = collector.MOST
    collector.MOST = 1000
    try:
        for _ in range(30):
            cycle = Cycle()
            made.append(weakref.ref(cycle))
            del cycle
            kept = [[k] for k in range(sys.getallocatedblocks() // 20)]
            collector.age()
            assert len(kept) > 0
    finally:
        collector.MOST = before
    assert sum(ref() is not None for ref in made) < 30
