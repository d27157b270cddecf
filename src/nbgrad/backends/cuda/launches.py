"""Launching machine code by the driver's call: parameters packed once, and several launches as one graph.

What a kernel is given never changes: addresses and numbers are in the table. So its parameters are packed
once, and what is launched a second time is captured as a graph, which one call of the driver's runs again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np

from nbgrad.backends.cuda.faults import code_of
from nbgrad.backends.cuda.memory import Call
from nbgrad.machine.intrinsics import CASTS
from nbgrad.machine.targets import PARAMS

EXTENT: Final = 1 << 60  # bytes of a view: it has no end
CAPTURED: Final = 3  # launches from which a graph is quicker
# The driver captures nothing there: another thread of a library is in the way, or it cannot at all.
REFUSALS: Final = frozenset({801, *range(900, 911)})


class Driver(Protocol):
    """What launches kernels."""

    launch: Callable[..., None]

    def captured(self, play: Callable[[int], None], /) -> Callable[[Any], None]: ...


def packed(call: Call) -> np.ndarray[Any, Any]:
    """The parameters of a kernel as 64-bit words: ``at``, and of each view what numba-cuda passes."""
    words = [call.at]
    for code in call.views:
        size = np.dtype(CASTS[code]).itemsize
        # owner, parent, items, bytes of an item, address, extent, stride
        words += [0, 0, EXTENT // size, size, 0, EXTENT // size, size]
    assert len(words) == 1 + PARAMS * len(call.views)
    return np.array(words, np.int64)


class Launches:
    """Kernels that are launched one after the other, by one thread at a time."""

    def __init__(self, driver: Driver, calls: list[Call]) -> None:
        self.driver, self.calls = driver, calls
        self.words = [packed(call) for call in calls]
        # The driver takes the addresses of the parameters.
        self.params = [w.ctypes.data + 8 * np.arange(len(w)) for w in self.words]
        self.given = [
            (call.kernel.ptr, call.blocks, 1, 1, call.threads, 1, 1, 0, where.ctypes.data)
            for call, where in zip(calls, self.params, strict=True)
        ]
        self.runs = 0
        self.graph: Callable[[Any], None] | None = None
        self.capturing = len(calls) >= CAPTURED

    def run(self, stream: Any) -> None:
        """Launch all on *stream*."""
        if self.graph is not None:
            self.graph(stream.native)
            return
        self.runs += 1
        if self.capturing and self.runs > 1 and self._capture():
            self.run(stream)
            return
        self.play(stream.handle)

    def play(self, handle: int) -> None:
        """Launch all, one call of the driver's each."""
        launch = self.driver.launch
        for *shape, params in self.given:
            launch(*shape, handle, params, 0)

    def _capture(self) -> bool:
        """Make a graph of all; nothing is run by that."""
        try:
            self.graph = self.driver.captured(self.play)
        except Exception as error:
            if code_of(error) not in REFUSALS:
                raise
            self.capturing = False
        return self.graph is not None
