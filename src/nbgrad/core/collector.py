"""Pausing the garbage collector while many objects are made that are all kept.

A tape of 10^5 equations is half a million objects without a cycle among them. The collector would
look at all of them again and again as they are made, which doubles what planning takes; and once
more at the end, as young ones, which takes another third of it: so they are made old at once. So are
nodes while a long loop is recorded that is to be differentiated: all are kept, and each time their
number has grown by a quarter, the collector would go through all objects there are.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nbgrad.core.forks import ThreadLock, in_child

MANY = 20_000  # objects made in a pause; of fewer the collector takes a millisecond or two
MOST = 2_000_000  # objects made old without a look at them; a collection of these takes 0.2 s
_aged = 0  # since the last such look
_living = 0  # blocks of memory in use after it

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
            ended = _pauses.pop() and not _pauses
            if ended:
                _age()
                gc.enable()
        if ended:  # finalizers run without the lock
            _collect()


def _age() -> None:
    """Make all objects old, if many are new."""
    if gc.get_count()[0] > MANY:
        _made_old()


def age() -> None:
    """Make all objects old: the next collection of old ones looks at them, and is not hastened.

    It comes by itself once as many objects were made old as there were: there is garbage
    among them, of others' making.
    """
    _made_old()
    _collect()


def age_kept() -> None:
    """The same for those that a long chain keeps as it is recorded, unless nothing is collected.

    Young ones would be looked at twice before they were old: a quarter of what recording takes.
    """
    if gc.isenabled():
        age()


def _made_old() -> None:
    global _aged
    if not gc.get_freeze_count():
        young, middle, old = gc.get_count()
        first, second, _ = gc.get_threshold()
        _aged += young + first * (middle + second * old)
        gc.freeze()
        gc.unfreeze()


def _collect() -> None:
    global _aged, _living
    if _aged > max(MOST, _living):
        _aged = 0
        gc.collect()
        _living = sys.getallocatedblocks()


@in_child
def _resume() -> None:
    """In a forked child only this thread goes on: the pauses of others never end there."""
    if _pauses and _pauses[0]:
        gc.enable()
    _pauses.clear()
