"""An emulated card of a test's own, whose driver fails when the test says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nbgrad as ng
from nbgrad.backends.cuda.emulated import EmulatedStore
from nbgrad.backends.cuda.runtime import runtime


class CUDADriverError(Exception):
    """As the classes of that name in the packages are: ``status`` is the driver's number."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


CUDADriverError.__module__ = "cupy_backends.cuda.api.driver"


class Card(EmulatedStore):
    """Fails at the request number ``at``, and from then on if the device is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.requests, self.at, self.dead = 0, -1, False
        self.error: Any = None
        self.asked = self._asked

    def fail(self, at: int, error: Any) -> None:
        """Raise *error* at the request that comes after *at* others."""
        self.requests, self.at, self.error = 0, at, error

    def _asked(self, what: str) -> None:
        self.requests += 1
        if self.dead or self.requests - 1 == self.at:
            self.dead = isinstance(self.error, CUDADriverError)
            raise self.error


@contextmanager
def fresh_card() -> Iterator[Card]:
    """Use a card of one's own as the emulator."""
    before = runtime.stores.pop("emulator", None)
    with ng.configure(cuda="emulator"):
        card = runtime.stores["emulator"] = Card()
        try:
            yield card
        finally:
            runtime.stores.pop("emulator")
            if before is not None:
                runtime.stores["emulator"] = before
