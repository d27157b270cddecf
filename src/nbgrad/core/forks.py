"""What a fork waits for, and what a forked child gets anew: the one place that says so.

A child of ``fork`` has one thread, the one that forked. What another was about stays half done
there, and a lock that it held is never released. So there are two kinds of locks, and no others:

- A *quiet* lock is taken by who forks before the process is copied: nobody is then in what it
  guards, which a child could not go on with. They are taken in the order of ``ORDER``, in which they
  are nested, and they guard what comes to an end by itself.
- A ``ThreadLock`` is not waited for. What it guards is right at any moment, or only of use to the
  thread that holds it, and the child gets a new one.

Whoever forks must not hold other locks while it waits for these: to import a module may take that
of ``logging``. Hooks run in the reverse order of registration, so ours comes after that one's.
"""

from __future__ import annotations

import logging  # noqa: F401 - registers its hooks before ours
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from nbgrad.core.lazy import importing

# compiling: a kernel is compiled or linked; starting: a process or a pool of threads is started;
# importing: a module is imported. The rest belong to libraries: "compiler" is held by who compiles
# with Numba, "pool" by who starts its threads, "llvm" by who is in LLVM.
ORDER: Final = ("compiling", "starting", "importing", "compiler", "pool", "llvm")

compiling = threading.RLock()
starting = threading.RLock()

_quiet: dict[str, Callable[[], Any]] = {
    "compiling": lambda: compiling,
    "starting": lambda: starting,
    "importing": lambda: importing,
}


def waits_for(name: str, find: Callable[[], Any]) -> None:
    """Let forks wait for the lock of a library, which *find* returns; None if it is not loaded."""
    assert name in ORDER
    _quiet[name] = find


def in_child(renew: Callable[[], None]) -> Callable[[], None]:
    """Call *renew* in each forked child: it makes anew what belongs to the parent. A decorator."""
    _renewals.append(renew)
    return renew


class ThreadLock:
    """A lock for the threads of one process: ``with lock.held:``.

    It is re-entrant, because the collector may run a finalizer that comes back.
    """

    __slots__ = ("__weakref__", "held")

    def __init__(self) -> None:
        self.held = threading.RLock()
        _all.add(self)


_all: weakref.WeakSet[ThreadLock] = weakref.WeakSet()
_renewals: list[Callable[[], None]] = []
_taken: list[Any] = []  # by the thread that forks now


def _before() -> None:
    interrupted = None
    for name in ORDER:
        lock = _quiet[name]() if name in _quiet else None
        while lock is not None:
            try:
                lock.acquire()
            except BaseException as error:  # a signal's handler raised it: the fork goes on
                interrupted = error
            else:
                _taken.append(lock)
                break
    if interrupted is not None:
        raise interrupted  # Python reports it: there is nobody to catch it


def _in_parent() -> None:
    while _taken:
        _taken.pop().release()


def _in_child() -> None:
    _in_parent()
    for lock in _all:
        lock.held = threading.RLock()
    for renew in _renewals:
        renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
