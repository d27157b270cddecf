"""Programs by the structure that they compute: made once, found again, and forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from nbgrad.core.check import checked
from nbgrad.core.collector import paused
from nbgrad.core.forks import ThreadLock
from nbgrad.core.modes import unrecorded
from nbgrad.core.node import Node
from nbgrad.core.tape import Tape
from nbgrad.engine.tiers import Executable
from nbgrad.transforms.calls import expanded
from nbgrad.transforms.simplify import simplify

Entry = TypeVar("Entry")


class _Slot:
    """An entry of the cache, and whether it was found since it was last considered for removal."""

    __slots__ = ("entry", "used")

    def __init__(self, entry: Any) -> None:
        self.entry = entry
        self.used = False


class ProgramCache:
    """Thread-safe cache by structural key; a second-chance queue stands for least recent use.

    A hit only sets a flag: moving its key to the end would hash the key again, which takes about
    as long as the look-up.
    """

    def __init__(self, capacity: int = 1024) -> None:
        self.capacity = capacity
        self.slots: OrderedDict[Any, _Slot] = OrderedDict()
        self.lock = ThreadLock()

    def __len__(self) -> int:
        return len(self.slots)

    def find(self, key: Any, build: Callable[..., Entry], *args: Any) -> Entry:
        """Return the entry of *key*, made by ``build(*args)`` on the first call."""
        slot = self.slots.get(key)
        if slot is None:
            with unrecorded(), paused():
                entry = build(*args)
            with self.lock.held:
                slot = self.slots.setdefault(key, _Slot(entry))
                self._shrink()
        slot.used = True
        found: Entry = slot.entry
        return found

    def _shrink(self) -> None:
        while len(self.slots) > self.capacity:
            key, slot = self.slots.popitem(last=False)
            if slot.used:
                slot.used = False
                self.slots[key] = slot

    def clear(self) -> None:
        with self.lock.held:
            self.slots.clear()


programs = ProgramCache()


def executable(tape: Tape, constants: Sequence[Node] = ()) -> Executable:
    """Simplify *tape* and make it runnable; *constants* fill its last inputs."""
    with unrecorded(), paused():
        return Executable(simplify(expanded(checked(tape))), [node.value for node in constants])
