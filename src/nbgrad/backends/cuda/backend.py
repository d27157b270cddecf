"""CUDA as a backend: what ``engine`` knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from nbgrad.backends.base import Ends, Entry, Runnable, Work
from nbgrad.backends.cuda.faults import guarded
from nbgrad.backends.cuda.memory import NAME, CudaBuffer, Store
from nbgrad.backends.cuda.program import CudaProgram, release
from nbgrad.backends.cuda.runtime import runtime
from nbgrad.backends.cuda.stepping import Stepping
from nbgrad.backends.cuda.timed import noted, timed
from nbgrad.backends.timing import Whole
from nbgrad.config import TIMED, settings
from nbgrad.core.collector import paused
from nbgrad.errors import DeviceMemoryError, ForeignError

MAX_COMPILED = 4000  # equations: planning and compiling more takes minutes
Array = np.ndarray[Any, Any]
name: Final = NAME


def accepts(work: Work) -> bool:
    """Everything: what has no kernel is run by the card's library, or at home."""
    return True


def prepare(work: Work, tier: str) -> Runnable:
    """Make *work* runnable: compiled, unless it is too long or the tier is "reference"."""
    return ByStore(work, tier)


class ByStore:
    """What runs *work*, by the store in use: the setting may change between runs."""

    def __init__(self, work: Work, tier: str) -> None:
        self.work = work
        self.compiled = tier != "reference" and len(work.tape) <= MAX_COMPILED
        self.made: dict[Store, Runnable] = {}

    def run(self, args: list[Any]) -> list[Any]:
        """See ``base.Runnable``; where there is no room, once more without the memory of idle runs."""
        store = runtime.store()
        try:
            return guarded(store, self._run, store, args)  # type: ignore[no-any-return]
        except DeviceMemoryError:
            if not release():
                raise
        return guarded(store, self._run, store, args)  # type: ignore[no-any-return]

    def _run(self, store: Store, args: list[Any]) -> list[Any]:
        found = self.made.get(store)
        if found is None:
            with paused():
                kind = CudaProgram if self.compiled and store.launches else Stepping
                found = self.made[store] = kind(self.work.tape, store)
        if settings.current.tier != TIMED:
            return found.run(args)
        if isinstance(found, CudaProgram):
            return timed(found, args)
        results = Whole(lambda: found, self.work.tape).run(args)
        noted(store)
        return results

    def entry(self, constants: Sequence[Any], ends: Ends) -> Entry | None:
        """None: there is no faster way."""
        return None


def price(work: Work, fresh: bool) -> float:
    return 0.0


def to_host(buffer: CudaBuffer) -> Array:
    return buffer.host()


def adopt(x: Any) -> CudaBuffer:
    """The memory that *x*, an array of another library, is on the card: nothing is copied.

    It must not be written to by others as long as a tensor has it.
    """
    store = runtime.store()
    return guarded(store, _adopted, store, x)  # type: ignore[no-any-return]


def _adopted(store: Store, x: Any) -> CudaBuffer:
    held, shape, dtype = store.adopted(x)
    if dtype.kind not in "biufc":
        raise ForeignError(f"nbgrad holds numbers and booleans, not {dtype}")
    return CudaBuffer(store, held, shape, dtype)


def from_host(array: Array) -> CudaBuffer:
    store = runtime.store()
    made = lambda: CudaBuffer(store, store.copied_in(array), array.shape, array.dtype)
    return guarded(store, made)  # type: ignore[no-any-return]
