"""Placeholders in the place of values that somebody else may read: whose they are, and waiting for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from nbgrad.core.forks import ThreadLock
from nbgrad.core.node import Node

PATIENCE = 60.0  # seconds that a trace waits for that of another thread
standing: dict[Node, int] = {}  # placeholders, and the thread that traces with each
_turn = ThreadLock()  # one trace at a time has placeholders in the place of tensors


@contextmanager
def turn() -> Iterator[bool]:
    """Wait until no other thread has placeholders in the place of tensors; whether it came so far.

    It does not where a traced function waits for another thread that traces.
    """
    held = _turn.held
    reached = held.acquire(timeout=PATIENCE)
    try:
        yield reached
    finally:
        if reached:
            held.release()


def awaited(leaf: Node) -> bool:
    """Whether *leaf* stood for a value in the trace of another thread, and is a copy of it now."""
    tracer = standing.get(leaf)
    if tracer is None or tracer == threading.get_ident():
        return leaf.sig is not None
    with turn() as reached:
        return reached
