"""Copies of much between host and card: in pieces, through memory that the card reads and writes itself.

While the card copies one piece the processor copies the next.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np

from nbgrad.backends.cuda.lanes import Lane

Array = np.ndarray[Any, Any]
SMALL: Final = 1 << 16  # bytes up to which the driver's own way is as fast
PIECE: Final = 1 << 22
TO_CARD, TO_HOST = 1, 2


class Driver(Protocol):
    """What copies between addresses, in the order of a stream."""

    def pinned(self, nbytes: int, /) -> Array: ...

    def copy(self, target: int, source: int, nbytes: int, way: int, stream: Any, /) -> None: ...


class _Piece:
    """Pinned memory, and the event behind the copy that uses it."""

    def __init__(self, memory: Array) -> None:
        self.memory, self.event = memory, None

    def free(self) -> Array:
        """The memory, once the card is done with it."""
        event: Any = self.event
        if event is not None:
            event.synchronize()
            self.event = None
        return self.memory


class Staging:
    """Two pieces for each lane that copies much."""

    def __init__(self, driver: Driver, piece: int = PIECE) -> None:
        self.driver, self.piece = driver, piece
        self.pieces: dict[Lane, list[_Piece]] = {}

    def _of(self, lane: Lane) -> list[_Piece]:
        found = self.pieces.get(lane)
        if found is None:
            found = [_Piece(self.driver.pinned(self.piece)) for _ in range(2)]
            self.pieces[lane] = found
        return found

    def inward(self, lane: Lane, target: int, source: Array) -> None:
        """Copy the bytes *source* to an address of the card; they are read when this returns."""
        pieces = self._of(lane)
        for k, start in enumerate(range(0, len(source), self.piece)):
            part = source[start : start + self.piece]
            piece = pieces[k % 2]
            memory = piece.free()
            memory[: len(part)] = part
            self._copy(lane, target + start, memory, len(part), TO_CARD)
            piece.event = lane.stream.record()

    def outward(self, lane: Lane, target: Array, source: int) -> None:
        """Copy from an address of the card to the bytes *target*, which are there when this returns."""
        pieces = self._of(lane)
        starts = range(0, len(target), self.piece)
        for k in range(len(starts) + 1):
            if k < len(starts):
                piece = pieces[k % 2]
                count = len(target[starts[k] : starts[k] + self.piece])
                self._copy(lane, source + starts[k], piece.free(), count, TO_HOST)
                piece.event = lane.stream.record()
            if k:
                part = target[starts[k - 1] : starts[k - 1] + self.piece]
                part[:] = pieces[(k - 1) % 2].free()[: len(part)]

    def _copy(self, lane: Lane, there: int, memory: Array, nbytes: int, way: int) -> None:
        here = memory.ctypes.data
        target, source = (there, here) if way == TO_CARD else (here, there)
        self.driver.copy(target, source, nbytes, way, lane.stream)
