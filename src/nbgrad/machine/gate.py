"""A gate before routines of BLAS and LAPACK, which forks close and wait at until nobody is inside.

OpenBLAS takes memory for most of its routines under a lock of its own, which a child of ``fork`` finds taken for
ever if another thread was about to: it has no hook for that. So machine code counts itself in and out, and forks
wait as for any quiet lock (``core/forks.py``). It counts in one of a few places, by where the stack of its
thread is, so that threads do not write to the same line of the cache: two atomic additions, some 10 ns.

Who finds the gate closed waits in Python, asleep: a function of Numba's holds the lock of the interpreter,
which the thread that forks may need until it has forked.
"""

from __future__ import annotations

import ctypes
import time
from typing import Any, Final

from nbgrad.core import forks

# Words of the gate: not 0 while it is closed, and the function to call until it opens. Then one counter a line.
CLOSED, WAIT = 0, 1
COUNTERS: Final = 8
STACK_BITS: Final = 23  # stacks are usually 8 MB apart
_WORDS: Final = 8  # of a line of the cache

_memory = (ctypes.c_int64 * (_WORDS * (COUNTERS + 2)))()
_start = -ctypes.addressof(_memory) % (8 * _WORDS) // 8


class Gate:
    """The lock that forks take."""

    def acquire(self, blocking: bool = True, timeout: float = -1.0) -> bool:
        """Close the gate, and wait until nobody is inside: what a routine computes may take its time."""
        until = time.monotonic() + timeout
        _memory[_start + CLOSED] = 1
        time.sleep(0)  # the kernel's call lets all processors see it
        while inside():
            if not blocking or (timeout >= 0 and time.monotonic() > until):
                self.release()
                return False
            time.sleep(1e-5)
        return True

    def release(self) -> None:
        """Open it."""
        _memory[_start + CLOSED] = 0


def inside() -> int:
    """How many threads are in a routine."""
    return sum(_memory[_start + _WORDS * (k + 1)] for k in range(COUNTERS))


_gate: Final = Gate()
_records: dict[int, Any] = {}


def guarded(routine: int) -> int:
    """The address of two words, of a routine of Fortran's and of the gate: what ``call_gemm`` and others take."""
    if routine not in _records:
        _records[routine] = (ctypes.c_int64 * 2)(routine, ctypes.addressof(_memory) + 8 * _start)
    return ctypes.addressof(_records[routine])


def _asleep() -> int:
    time.sleep(1e-4)
    return 0


_wait: Final = ctypes.CFUNCTYPE(ctypes.c_int)(_asleep)
_memory[_start + WAIT] = ctypes.cast(_wait, ctypes.c_void_p).value or 0
forks.waits_for("blas", lambda: _gate)
