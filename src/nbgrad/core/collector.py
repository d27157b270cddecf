"""Pausing the garbage collector while many objects are made that are all kept.

A tape of 10^5 equations is half a million objects without a cycle among them. The collector would
look at all of them again and again as they are made, which doubles what planning takes; and once
more at the end, as young ones, which takes another third of it: so they are made old at once. So are
nodes while a long loop is recorded that is to be differentiated: all are kept, and each time their
number has grown by a quarter, the collector would go through all objects there are.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from nbgrad.core.forks import ThreadLock, in_child

MANY = 20_000  # objects made in a pause; of fewer the collector takes a millisecond or two

_lock = ThreadLock()
_pauses: list[bool] = []  # one for each pause that is open; the first says what to go back to


@contextmanager
def paused() -> Iterator[None]:
    """Let nothing be collected meanwhile; pauses of several threads may overlap.

    Examples
    --------
    >>> with paused():
    ...     gc.isenabled()
    False
    """
    with _lock.held:
        _pauses.append(gc.isenabled() if not _pauses else _pauses[0])
        gc.disable()
    try:
        yield
    finally:
        with _lock.held:
            if _pauses.pop() and not _pauses:
                _age()
                gc.enable()


def _age() -> None:
    """Make all objects old, if many are new."""
    if gc.get_count()[0] > MANY:
        age()


def age() -> None:
    """Make all objects old: the next collection of old ones looks at them, and is not hastened."""
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()


@in_child
def _resume() -> None:
    """In a forked child only this thread goes on: the pauses of others never end there."""
    if _pauses and _pauses[0]:
        gc.enable()
    _pauses.clear()
