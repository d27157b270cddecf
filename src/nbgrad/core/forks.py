"""Locks that a forked child finds free, whichever thread held them in the parent."""

from __future__ import annotations

import os
import threading
import weakref


class ThreadLock:
    """A lock for the threads of one process: ``with lock.held:``.

    A child of ``fork`` has one thread, so whoever held the lock in the parent will not release it
    there: the child gets a new one. It is re-entrant, because the collector may run a finalizer
    that comes back.
    """

    __slots__ = ("__weakref__", "held")

    def __init__(self) -> None:
        self.held = threading.RLock()
        _all.add(self)


_all: weakref.WeakSet[ThreadLock] = weakref.WeakSet()


def _renew() -> None:
    for lock in _all:
        lock.held = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
