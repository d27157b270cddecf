"""What the kernels of a run read besides memory: their words, in a table on the card.

Most are known when the table is made. Where arguments and results lie changes from run to run, between a few
places: what kernels read is kept for the last few of those, so that a run whose words are there only launches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.backends.cuda.memory import Call, CudaBuffer, Store
from nbgrad.core.tape import Var
from nbgrad.program.cuda_text import words
from nbgrad.program.text import CudaKernel, Pointer

SLOTS = 4  # a result is often written where the last but one was: two would do


class Slots:
    """The words of launches with nothing between them, as the card has them.

    Parameters
    ----------
    launches : list of (int, CudaKernel, kernel)
        The first of its words among those of all; the kernel, and what the store launches it by.
    whole : callable
        The variable in whose memory a variable is.
    fixed : dict
        Where variables lie that always lie there, counted from *origin*.
    first : int
        The word of the table with which these begin.
    """

    def __init__(
        self,
        store: Store,
        table: CudaBuffer,
        launches: list[tuple[int, CudaKernel, Any]],
        whole: Callable[[Var], Var],
        fixed: dict[Var, int],
        first: int,
    ) -> None:
        self.store, self.table, self.launches, self.first = store, table, launches, first
        self.origin = store.origin(table.held)
        self.size = launches[-1][0] + len(launches[-1][1].args)
        self.words = np.zeros(self.size, np.int64)
        self.moving: list[tuple[int, Var, int, int]] = []  # a word, whose address, and where there
        for at, kernel, _ in launches:
            for k, arg in enumerate(kernel.args, at):
                var = whole(arg.buffer) if isinstance(arg, Pointer) else None
                if isinstance(arg, Pointer) and var is not None and var not in fixed:
                    size = arg.buffer.aval.dtype.itemsize
                    self.moving.append((k, var, arg.offset, size))
                else:
                    self.words[k] = words([arg], lambda v: fixed[whole(v)])[0]
        self.known: dict[bytes, int] = {}
        self.ready: list[list[Callable[[], None]] | None] = [None] * SLOTS
        self.next = 0

    def place(self, env: dict[Var, Any]) -> int:
        """The slot whose words are those of a run on *env*: written if there is none."""
        found: dict[Var, int] = {}
        for k, var, offset, size in self.moving:
            address = found.get(var)
            if address is None:
                address = found[var] = self.store.address(env[var].held) - self.origin
            count, rest = divmod(address + offset, size)
            if rest:
                raise ValueError(f"address {address + offset} is not aligned for {size} bytes")
            self.words[k] = count
        key = self.words.tobytes()
        slot = self.known.get(key)
        if slot is None:
            slot, self.next = self.next, (self.next + 1) % SLOTS
            self.known = {k: s for k, s in self.known.items() if s != slot}
            start = 8 * (self.first + slot * self.size)
            self.store.written(self.table.held, start, self.words.view(np.uint8))
            self.known[key] = slot
        return slot

    def sequences(self, slot: int, apart: bool) -> list[Callable[[], None]]:
        """What launches the kernels with the words of *slot*: all at once, or each *apart*."""
        if apart:
            return [self.store.sequence([call], self.table.held) for call in self._calls(slot)]
        found = self.ready[slot]
        if found is None:
            found = [self.store.sequence(self._calls(slot), self.table.held)]
            self.ready[slot] = found
        return found

    def _calls(self, slot: int) -> list[Call]:
        start = self.store.address(self.table.held) - self.origin
        base = start // 8 + self.first + slot * self.size
        return [
            Call(made, kernel.blocks, kernel.threads, base + at, kernel.views)
            for at, kernel, made in self.launches
        ]

    def fault(self, slot: int, word: int) -> int:
        """What a kernel has left in a word, which is 0 again afterwards."""
        start = 8 * (self.first + slot * self.size + word)
        held = self.store.part(self.table.held, start, (1,), self.words.dtype)
        found = int(self.store.copied_out(held, (1,))[0])
        if found:
            self.store.written(self.table.held, start, np.zeros(8, np.uint8))
        return found
