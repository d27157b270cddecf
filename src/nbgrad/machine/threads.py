"""Numba's thread pool, used directly: no parallel code is compiled, tasks are C functions.

Numba is imported at the first parallel run, no thread starts before it. That takes 0.4 to 0.9 s, so
a thread does it while runs stay serial, which changes no bit of what they compute. What is guarded
against:
the workqueue layer aborts the process when two threads enter it or one enters it twice; a child
forked after GNU OpenMP started its threads is killed when it enters a parallel region.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core import forks
from nbgrad.core.lazy import load

Launch = tuple[int, int]
NUMBA_POOL = "numba.np.ufunc.parallel"


class _State:
    """What is known of the pool. One per process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # a child has another state, with a lock of its own
        self.importer: threading.Thread | None = None
        self.count = 0  # threads asked for; 0: not asked
        self.address = 0  # of numba_parallel_for; 0: not launched
        self.limit = 0  # threads that Numba started
        self.layer = ""
        self.serial_only = False


_state = _State()


@forks.in_child
def _after_fork() -> None:
    global _state
    child = _State()
    child.count, child.limit = _state.count, _state.limit
    child.address, child.layer = _state.address, _state.layer
    # libgomp's threads do not exist in the child, and Numba kills a child that asks for them. Who
    # started them may have been a function of the user's own.
    child.serial_only = _state.serial_only or _started_layer() == "omp"
    _state = child


def _started_layer() -> str:
    """The layer of Numba's pool of threads, if anybody in this process has started it."""
    return str(getattr(sys.modules.get(NUMBA_POOL), "_threading_layer", None) or "")


def _compiler_lock() -> Any:
    lock = _lock_of("numba.core.compiler_lock", "global_compiler_lock")
    return getattr(lock, "_lock", None)  # it takes a time limit, and nobody is told


forks.waits_for("compiler", _compiler_lock)
forks.waits_for("pool", lambda: _lock_of(NUMBA_POOL, "_backend_init_thread_lock"))


def _lock_of(module: str, name: str) -> Any:
    """A lock of Numba's, once that is loaded; not part of its interface, so it may be gone."""
    return getattr(sys.modules.get(module), name, None)


def _available() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _from_environment(name: str, default: int) -> int:
    # OMP_NUM_THREADS may be a list, one number a nesting level.
    text = os.environ.get(name, "").split(",")[0].strip()
    return int(text) if text.isdigit() and int(text) > 0 else default


def max_threads() -> int:
    """Return ``NUMBA_NUM_THREADS``, or how many processors this process may use."""
    return _from_environment("NUMBA_NUM_THREADS", _available())


def get_num_threads() -> int:
    """Return the number of threads that large kernels use.

    Returns
    -------
    int
        What :func:`set_num_threads` was given; before that ``OMP_NUM_THREADS`` or
        ``NUMBA_NUM_THREADS``, or how many processors this process may use. Always 1 in a process forked after OpenMP threads were started.

    Examples
    --------
    >>> get_num_threads() >= 1
    True
    """
    if _state.serial_only:
        return 1
    if not _state.count:
        limit = max_threads()
        _state.count = min(limit, _from_environment("OMP_NUM_THREADS", limit))
    return _state.count


def set_num_threads(n: int) -> None:
    """Set the number of threads that large kernels use, for the whole process.

    Results are the same bits for any number.

    Parameters
    ----------
    n : int
        From 1 to ``NUMBA_NUM_THREADS``, or to how many processors this process may use.

    Raises
    ------
    ValueError
        If *n* is out of that range.

    Examples
    --------
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    """
    given: Any = n
    if not isinstance(given, (int, np.integer)) or isinstance(given, bool):
        raise TypeError(f"the number of threads must be an integer, not {n!r}")
    if not 1 <= n <= max_threads():
        raise ValueError(
            f"the number of threads must be between 1 and {max_threads()}, not {n}. The upper "
            "bound is NUMBA_NUM_THREADS, to be set in the environment before Python starts."
        )
    _state.count = int(n)


def threading_layer() -> str:
    """Return ``"tbb"``, ``"omp"`` or ``"workqueue"``; empty before the first parallel run."""
    return _state.layer


def _importing(state: _State) -> bool:
    """Whether to go on without threads, because Numba is not imported yet."""
    if state.importer is None:
        if settings.current.deterministic or NUMBA_POOL in sys.modules:
            return False
        state.importer = threading.Thread(target=load, args=(NUMBA_POOL,))
        state.importer.start()
    return state.importer.is_alive()


def _launch(state: _State) -> None:
    """Start Numba's threads and find the function that gives them work."""
    parallel: Any = load(NUMBA_POOL)
    parallel._launch_threads()
    binding = load("llvmlite.binding")
    state.layer = parallel.threading_layer()
    state.limit = int(parallel.NUM_THREADS)
    state.address = int(binding.address_of_symbol("numba_parallel_for") or 0)


def _launched(state: _State) -> bool:
    """Whether the threads are there, which another thread may have started meanwhile."""
    with state.lock:
        if not state.address and not _importing(state):
            with forks.starting:
                _launch(state)
        return state.address != 0


@contextmanager
def pool() -> Iterator[Launch]:
    """Give ``(address of numba_parallel_for, threads to use)`` for the length of one run.

    ``(0, 1)`` asks for a serial run: there is one thread, or the pool can serve one caller at a
    time and is busy. Waiting for it would be slower than going ahead on the caller's own thread.
    """
    state = _state
    count = get_num_threads()
    if count < 2:
        yield 0, 1
        return
    if not state.address and not _launched(state):
        yield 0, 1
        return
    # NUMBA_NUM_THREADS may have been changed since Numba was imported.
    count = min(count, state.limit)
    if state.layer != "workqueue":
        yield state.address, count
    elif state.lock.acquire(blocking=False):
        try:
            yield state.address, count
        finally:
            state.lock.release()
    else:
        yield 0, 1
