"""Which backend serves which device: that of the buffers that a program is run on.

Arrays of NumPy's and numbers are at home; a buffer of another class says where it is by its ``device``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np

from nbgrad.backends import reference
from nbgrad.backends.base import Backend, Entry, Runnable, Work
from nbgrad.core.lazy import LazyModule

HOME: Final = "cpu"

definition: Final[Backend] = reference  # what runs everything, at home
_backends: Final[dict[str, Backend]] = {
    HOME: cast(Backend, LazyModule("nbgrad.backends.cpu.backend"))
}
abroad: Final[set[str]] = set()  # devices beside HOME


def register(device: str, backend: Backend | None) -> Backend | None:
    """Let *backend* serve *device*, or nobody; return who did before.

    What was prepared before stays as it is.
    """
    before = _backends.pop(device, None)
    if backend is not None:
        _backends[device] = backend
    abroad.clear()
    abroad.update(_backends.keys() - {HOME})
    return before


def backend_of(device: str) -> Backend:
    """The backend of *device*.

    Raises
    ------
    TypeError
        If none is registered for it.
    """
    found = _backends.get(device)
    if found is None:
        known = ", ".join(sorted(_backends))
        raise TypeError(f"no backend serves the device {device!r}; there are {known}")
    return found


def device_of(buffers: Iterable[Any]) -> str:
    """Where *buffers* are: at home, or on the one other device that some of them are on.

    Raises
    ------
    TypeError
        If they are on two.
    """
    found = {str(getattr(x, "device", HOME)) for x in buffers} - {HOME}
    if len(found) > 1:
        raise TypeError(
            f"the operands are on the devices {sorted(found)}: move them to one of them first"
        )
    return found.pop() if found else HOME


class Moved:
    """*work* on another device: by its backend, or by the reference on copies at home."""

    def __init__(self, work: Work, device: str, tier: str) -> None:
        self.backend = backend = backend_of(device)
        self.here = tier == "reference" or not backend.accepts(work)
        chosen = definition if self.here else backend
        self.made: Runnable = chosen.prepare(work, "fused" if tier == "auto" else tier)

    def run(self, args: list[Any]) -> list[Any]:
        """Run, after moving what is not where it is wanted; numbers stay numbers."""
        to_host, from_host = self.backend.to_host, self.backend.from_host
        if self.here:
            found = self.made.run([to_host(a) if _is_abroad(a) else a for a in args])
            return [from_host(y) if isinstance(y, np.ndarray) else y for y in found]
        return self.made.run([from_host(a) if isinstance(a, np.ndarray) else a for a in args])

    def entry(self, constants: Sequence[Any], weak: Mapping[int, type]) -> Entry | None:
        """None: there is no faster way."""
        return None


def _is_abroad(x: Any) -> bool:
    return getattr(x, "device", HOME) != HOME
