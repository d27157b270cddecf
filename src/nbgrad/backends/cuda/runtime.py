"""Which library serves the card: decided once, by the setting ``cuda``, at the first use of the device."""

from __future__ import annotations

import os
from typing import Any

from nbgrad.backends.cuda.cupy_store import CupyStore
from nbgrad.backends.cuda.emulated import EmulatedStore
from nbgrad.backends.cuda.memory import Store
from nbgrad.backends.cuda.stores import NumbaStore
from nbgrad.config import settings
from nbgrad.core.forks import ThreadLock
from nbgrad.errors import FORKED, DeviceError
from nbgrad.machine import cuda as machine
from nbgrad.machine import targets


class Runtime:
    """The stores that are open, by what the setting chooses."""

    def __init__(self) -> None:
        self.lock = ThreadLock()
        self.stores: dict[str, Store] = {}

    def store(self) -> Store:
        """What keeps elements on the card.

        Raises
        ------
        DeviceError
            If nothing serves it, if it is lost, or if this process is a fork of one that used it.
        """
        name = settings.current.cuda
        found = self.stores.get(name)
        if found is None:
            with self.lock.held:
                found = self.stores.get(name) or self._open(name)
        if found.process != os.getpid():
            raise DeviceError(FORKED)
        if found.lost is not None:
            raise DeviceError(found.lost)
        return found

    def _open(self, name: str) -> Store:
        store: Any = EmulatedStore() if name == "emulator" else _of_a_card(name)
        self.stores[name] = store
        return store  # type: ignore[no-any-return]


def _of_a_card(name: str) -> Store:
    if name == "simulator":
        machine.module(name)
        return EmulatedStore(name, compiler=targets.cuda_kernel)
    # Code of kernels is numba-cuda's, and on disk: it need not be installed where nothing is new.
    cupy = machine.cupy() if name in ("auto", "numba-cuda") else None
    return NumbaStore(machine.module(name), name) if cupy is None else CupyStore(cupy)


runtime = Runtime()
