"""Memory of large results, handed out again once nobody holds it.

The system fills what it gives with zeros, which for large results takes longer than writing them. A program
that gives such again and again, as in a loop, keeps the memory of the last, and of as many as fit.
"""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.memory import FREE_THREADED
from nbgrad.core.tape import Var
from nbgrad.machine.heap import Memory

Array = np.ndarray[Any, Any]
# Bytes from which the C library gives memory back to the system at once: see machine/heap.py.
LARGE = 32 << 20
# Bytes that are kept, for one program, that which ran last.
KEEP = 256 << 20
# Results that were dropped before memory is kept.
DROPPED = 2
# References to memory that nobody else holds: a list's and that of the argument of a call. Of what a variable holds,
# Pythons differ in what they count.
_ALONE = 2

_last: deque[weakref.ref[Results]] = deque()


def is_large(var: Var) -> bool:
    """Whether the memory of a result may be used again."""
    return var.aval.nbytes >= LARGE


class Results:
    """Makes the results of a program, of these shapes and dtypes."""

    def __init__(self, specs: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]) -> None:
        self.specs = specs
        self.given: list[weakref.ref[Any]] = []
        self.dropped = 0
        self.kept: dict[int, list[Memory]] = {}

    def make(self) -> list[Array]:
        """Fresh arrays, whose elements are anything."""
        self._look()
        return [self._one(shape, dtype) for shape, dtype in self.specs]

    def _look(self) -> None:
        """Count what was dropped since, while nothing is kept."""
        if self.dropped < DROPPED:
            alive = [r for r in self.given if r() is not None]
            self.dropped += len(alive) < len(self.given)
            self.given = alive

    def _one(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        size = dtype.itemsize * int(np.prod(shape))
        if size < LARGE:
            return np.empty(shape, dtype)
        memory = self._free(size)
        if memory is None:
            memory = Memory(size, np.uint8)
            if self.dropped < DROPPED:
                self.given.append(weakref.ref(memory))
            elif not FREE_THREADED:  # there a count is not that of all threads
                self._keep(size, memory)
        return np.ndarray(shape, dtype, memory)

    def _free(self, size: int) -> Memory | None:
        """Memory of so many bytes that is kept and that nobody holds."""
        kept = self.kept.get(size, [])
        for _ in range(len(kept)):
            try:
                taken = [kept.pop(0)]  # which no other thread has now
            except IndexError:
                return None
            alone = sys.getrefcount(taken[0]) == _ALONE
            kept += taken
            if alone:
                return taken[0]
        return None

    def _keep(self, size: int, memory: Memory) -> None:
        if sum(n * len(found) for n, found in self.kept.items()) + size > KEEP:
            return
        self.kept.setdefault(size, []).append(memory)
        _last.append(weakref.ref(self))
        while len(_last) > 1:
            before = _last.popleft()()
            if before is not None and before is not self:
                before.kept.clear()
