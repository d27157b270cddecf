"""Memory of a card that is not there: one array, of which it knows what is allocated."""

from __future__ import annotations

import math
from bisect import insort
from typing import Any

import numpy as np

from nbgrad.backends.cuda.emulated_streams import Watch
from nbgrad.core.forks import ThreadLock
from nbgrad.machine.intrinsics import CASTS

Array = np.ndarray[Any, Any]
ALIGNED = 256  # as what a driver allocates
MEMORY = 1 << 28  # bytes of the emulated card; pages are taken when they are written to


def _spaced(nbytes: int) -> int:
    return -(-(nbytes + 1) // ALIGNED) * ALIGNED


class Memory:
    """The memory of the card as one array, and which bytes of it are allocated."""

    def __init__(self, size: int) -> None:
        raw = np.empty(size + ALIGNED, np.uint8)
        start = -raw.ctypes.data % ALIGNED
        self.bytes = raw[start : start + size]
        self.live = np.zeros(size, np.bool_)
        self.free: list[tuple[int, int]] = [(ALIGNED, size - ALIGNED)]  # nothing is at address 0
        self.given: list[int] = []
        self.sizes: dict[int, int] = {}
        self.used = self.most = 0
        self.lock = ThreadLock()
        self.watch = Watch()
        self.views = {code: _View(self, code) for code in CASTS if code[0] != "c"}

    def take(self, nbytes: int, room: int) -> int | None:
        """The address of so many bytes, none of which is in use, if there are such in *room*."""
        wanted = _spaced(nbytes)
        with self.lock.held:
            self.settle()
            for k, (start, length) in enumerate(self.free):
                if length >= wanted and self.used + nbytes <= room:
                    rest = [(start + wanted, length - wanted)] if length > wanted else []
                    self.free[k : k + 1] = rest
                    self.live[start : start + max(nbytes, 1)] = True
                    self.used += nbytes
                    self.sizes[start] = nbytes
                    self.most = max(self.most, self.used)
                    return start
        return None

    def settle(self) -> None:
        """Take back what was given up: the collector does that at any moment, in any thread."""
        with self.lock.held:
            while self.given:
                start = self.given.pop()
                nbytes = self.sizes.pop(start)
                self.used -= nbytes
                self.live[start : start + max(nbytes, 1)] = False
                insort(self.free, (start, _spaced(nbytes)))
            merged = self.free[:1]
            for begin, length in self.free[1:]:
                if sum(merged[-1]) == begin:
                    merged[-1] = (merged[-1][0], merged[-1][1] + length)
                else:
                    merged.append((begin, length))
            self.free = merged

    def array(self, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """The elements at an address, as NumPy sees them."""
        nbytes = math.prod(shape) * dtype.itemsize
        return self.bytes[start : start + nbytes].view(dtype).reshape(shape)


class _View:
    """All memory as elements of one dtype, for kernels: an access to what is not allocated raises."""

    def __init__(self, memory: Memory, code: str) -> None:
        self.memory = memory
        self.elements: Array = memory.bytes.view(CASTS[code])

    def place(self, k: Any, write: bool) -> int:
        k, size = int(k), self.elements.itemsize
        if not (0 <= k < len(self.elements) and self.memory.live[k * size]):
            raise IndexError(f"a kernel would access address {k * size}, which is not allocated")
        if self.memory.watch.on:
            self.memory.watch.touch(k * size, size, write)
        return int(k)

    def __getitem__(self, k: Any) -> Any:
        return self.elements[self.place(k, False)]

    def __setitem__(self, k: Any, value: Any) -> None:
        self.elements[self.place(k, True)] = value
