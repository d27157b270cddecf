"""Programs by the structure that they compute: made once, found again, and forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from nbgrad.config import settings
from nbgrad.core.aval import make_aval
from nbgrad.core.check import checked
from nbgrad.core.collector import paused
from nbgrad.core.forks import ThreadLock
from nbgrad.core.linearize import linearize
from nbgrad.core.modes import unrecorded
from nbgrad.core.node import Node, placeholder
from nbgrad.core.ports import ports
from nbgrad.core.primitive import bind
from nbgrad.core.results import results_of
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

    def renew(self, key: Any, build: Callable[..., Entry], *args: Any) -> Entry:
        """Make the entry of *key* anew."""
        with self.lock.held:
            self.slots.pop(key, None)
        return self.find(key, build, *args)

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


def executable(
    tape: Tape, constants: Sequence[Node] = (), given: frozenset[int] = frozenset()
) -> Executable:
    """Simplify *tape* and make it runnable; *constants* fill its last inputs.

    The inputs numbered *given* may be overwritten.
    """
    with unrecorded(), paused():
        simple = simplify(expanded(checked(tape)))
        return Executable(simple, [node.value for node in constants], given)


def natively(prim: Any, xs: Sequence[Any], params: dict[str, Any], made: bool) -> list[Any] | None:
    """See ``core.ports.Natively``."""
    if settings.current.tier != "auto":
        return None
    arrays = [np.asarray(x, order="C") for x in xs]
    avals = tuple([make_aval(x.shape, x.dtype) for x in arrays])
    key = (prim, avals, tuple(params.items()))
    if not made and key not in programs.slots:
        return None
    exe: Executable | None = programs.find(key, _alone, prim, avals, params)
    return None if exe is None else exe.compile().run(arrays)


def _alone(prim: Any, avals: Sequence[Any], params: dict[str, Any]) -> Executable | None:
    """The program of one operation; None if it calls that in Python."""
    nodes = [placeholder(aval) for aval in avals]
    tape = linearize(results_of(bind(prim, *nodes, **params)), nodes)[0]
    exe = Executable(tape)
    return exe if exe.program().stats()["host_calls"] == 0 else None


ports.natively = natively
