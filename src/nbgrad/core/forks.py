"""What a fork waits for, and what a forked child gets anew: the one place that says so.

A child of ``fork`` has one thread, the one that forked. What another was about stays half done
there, and a lock that it held is never released. So there are two kinds of locks, and no others:

- A *quiet* lock is taken by who forks before the process is copied: nobody is then in what it
  guards, which a child could not go on with. They are taken in the order of ``ORDER``, in which they
  are nested, and they guard what comes to an end by itself.
- A ``ThreadLock`` is not waited for. What it guards is right at any moment, or only of use to the
  thread that holds it, and the child gets a new one.

Whoever forks must not hold other locks while it waits for these: to import a module may take that
of ``logging``. Hooks run in the reverse order of registration, so ours must be registered after that
one's. It is, before one of our own locks is first taken beside another thread: ``logging`` takes as
long to import as a tenth of nbgrad. Until then there is nothing to wait for but for what a library
is about, as when somebody uses Numba without nbgrad.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

# registering: our hooks are registered anew; compiling: a kernel is compiled or linked; starting: a
# process or a pool of threads is started; importing: a module is imported. The rest belong to
# libraries: "compiler" is held by who compiles with Numba, "pool" by who starts its threads, "llvm"
# by who is in LLVM, "blas" by machine code of ours in a routine of BLAS or LAPACK.
ORDER: Final = (
    "registering", "compiling", "starting", "importing", "compiler", "pool", "llvm", "blas",
)  # fmt: skip


class QuietLock:
    """A lock that forks wait for: ``with lock:``. It is re-entrant."""

    __slots__ = ("acquire", "release")

    def __init__(self) -> None:
        lock = threading.RLock()
        self.acquire, self.release = lock.acquire, lock.release

    def __enter__(self) -> None:
        _be_first()
        self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()


compiling = QuietLock()
starting = QuietLock()
importing = QuietLock()
_registering = threading.RLock()

_quiet: dict[str, Callable[[], Any]] = {
    "registering": lambda: _registering,
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
_GRACE = 1.0  # seconds


class _Forking(threading.local):
    """The locks that this thread has taken because it forks."""

    def __init__(self) -> None:
        self.taken: list[Any] = []


_forking = _Forking()


def _before() -> None:
    """Take all quiet locks, unless the hook that comes first has.

    If the hook of ``logging`` came before ours, who holds a lock of a library may want the one that
    this hook has taken. It is not waited for for ever; no lock of our own is held then.
    """
    if _forking.taken:
        return
    limit = -1.0 if _first or "logging" not in sys.modules else _GRACE
    interrupted = None
    for name in ORDER:
        lock = _quiet[name]() if name in _quiet else None
        while lock is not None:
            try:
                if lock.acquire(True, limit):
                    _forking.taken.append(lock)
            except BaseException as error:  # a signal's handler raised it: the fork goes on
                interrupted = error
            else:
                break
    if interrupted is not None:
        raise interrupted  # Python reports it: there is nobody to catch it


def _in_parent() -> None:
    while _forking.taken:
        _forking.taken.pop().release()


def _in_child() -> None:
    if not _forking.taken:
        return
    _in_parent()
    for lock in _all:
        lock.held = threading.RLock()
    for renew in _renewals:
        renew()


def _register() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)


def _be_first() -> None:
    """Have our hook called before that of ``logging``."""
    global _first
    if not _first and threading.active_count() > 1:
        with _registering:
            if not _first:
                importlib.import_module("logging")
                _register()
                _first = True


_first = hasattr(sys.modules.get("logging"), "captureWarnings")  # its last name: it is all there
_register()
