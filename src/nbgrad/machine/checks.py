"""What code that walks objects calls in the build that tests each access: whether a word may be read.

A word may lie on the stack, in memory that was registered here, or in an object of Python's, as its
class describes it. All is looked up by machine code: a test that ran Python would let another
thread in, where what is tested counts on the GIL, and would need the GIL where that has none.
"""

from __future__ import annotations

import bisect
import ctypes
import os
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nbgrad.core.forks import ThreadLock, compiling, in_child
from nbgrad.machine import layout

# Words of the table: what is registered, the process's memory as a file, room for a word of that
# file, and the pages that were there when they were read last.
(REGIONS, MEMORY, ROOM, PAGES), N_PAGES = range(4), 4096
_STACK: Final = 1 << 20


_BASIC, _ITEM, _FLAGS = layout.classes()

# Follows ``place`` to its class ``kind``, and says whether that is one. Memory that is not there is
# found by reading it as a file, once a page.
_CLASS: Final = f"""
    table = known_memory()
    kind, level, fine = place, 0, True
    while level < 3 and fine:
        number = address(kind)
        fine = (number & 7) == 0 and {1 << 16} <= number < {1 << 47}
        last = 2 if level == 0 else {_FLAGS}
        for end in range(2 if fine else 0):
            page = (number + 8 * last * end) >> 12
            slot = {PAGES} + page % {N_PAGES}
            if fine and table[slot] != page and table[{MEMORY}] >= 0:
                room = offset_words(table, {ROOM})
                fine = pread(table[{MEMORY}], room, 8, page << 12) == 8
                if fine:
                    table[slot] = page
        level += 1
        if fine and level < 3:
            kind = load_pointer(kind, 1)
    if fine:
        fine = (kind[{_FLAGS}] & {layout.SUBCLASSES["type"]}) != 0
        kind = load_pointer(place, 1)
"""

_WORD: Final = f"""
def nbgrad_word(place, index, stack, site):
    wanted = address(place) + 8 * index
    if -{_STACK} < wanted - stack < {_STACK}:
        return 0
    regions = load_pointer(known_memory(), {REGIONS})
    low, high = 0, regions[0]
    while low < high:
        middle = (low + high) >> 1
        if regions[1 + 2 * middle] <= wanted:
            low = middle + 1
        else:
            high = middle
    if low > 0 and wanted + 8 <= regions[2 * low]:
        return 0
{_CLASS}
    if fine:
        size, item = kind[{_BASIC}], kind[{_ITEM}]
        fine = 16 <= size < {1 << 20} and 0 <= item < {1 << 12} and index >= 0
        if item != 0:
            size += abs(place[2]) * item
        fine = fine and 8 * (index + 1) <= size
    if not fine:
        nbgrad_no_word(address(place), index, site)
    return 0
"""

# How many items a list or a tuple has, 0 if it is neither.
_COUNT: Final = f"""
def nbgrad_count(place):
{_CLASS}
    if not fine or (kind[{_FLAGS}] & {layout.SUBCLASSES["list"] | layout.SUBCLASSES["tuple"]}) == 0:
        return 0
    return place[2]
"""

_MADE: Final = {
    "nbgrad_word": (_WORD, ("i8*", "i8", "i8", "i8")),
    "nbgrad_count": (_COUNT, ("i8*",)),
}
_table: Final = np.zeros(PAGES + N_PAGES, np.int64)


@in_child
def _open() -> None:
    """Open the process's own memory; -1 where that is no file, and what is wrong is a crash."""
    there = os.path.exists("/proc/self/mem")
    _table[MEMORY] = os.open("/proc/self/mem", os.O_RDONLY) if there else -1


class _Regions:
    """Memory that functions may read and write, by first address, in the order of addresses.

    Threads that have no GIL read it, so each change makes it anew, and those read last are kept.
    """

    def __init__(self) -> None:
        self.lock = ThreadLock()
        self.words: list[int] = []  # first address, address behind the last, ...
        self.kept: deque[np.ndarray[Any, Any]] = deque(maxlen=64)
        self.publish()

    def publish(self) -> None:
        made = np.array([len(self.words) // 2, *self.words], np.int64)
        self.kept.append(made)
        _table[REGIONS] = made.ctypes.data

    def add(self, start: int, stop: int) -> None:
        with self.lock.held:
            at = 2 * bisect.bisect(self.words[::2], start)
            self.words[at:at] = (start, stop)
            self.publish()

    def drop(self, start: int) -> None:
        with self.lock.held:
            at = 2 * bisect.bisect(self.words[::2], start) - 2
            del self.words[at : at + 2]
            self.publish()


_codes: dict[str, Any] = {}  # None for one that is being made
_open()
_regions = _Regions()
# Finalizers that run when modules are emptied already call functions that read these.
for _held in (_table, _regions.kept, _codes):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_held))


def register(array: np.ndarray[Any, Any]) -> None:
    """Let functions read and write *array* for as long as it lives."""
    start = array.ctypes.data
    _regions.add(start, start + array.nbytes)
    weakref.finalize(array, _regions.drop, start).atexit = False


def imports(make: Callable[[str, str, tuple[str, ...]], Any]) -> dict[str, int]:
    """The addresses of the functions here, which *make* compiles, and of the table that they read."""
    with compiling:
        if not _codes:
            _codes.update(dict.fromkeys(_MADE))
            for name, (text, params) in _MADE.items():
                _codes[name] = make(text, name, params)
        made = {name: code.address for name, code in _codes.items() if code is not None}
    return made | {"nbgrad_known": _table.ctypes.data}
