"""Memory of a real card by Numba alone, where CuPy is not: see ``cupy_store`` for where it is."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from nbgrad.backends.cuda.lanes import Lanes
from nbgrad.backends.cuda.memory import Call
from nbgrad.errors import NO_ROOM, DeviceMemoryError
from nbgrad.machine import targets
from nbgrad.machine.intrinsics import CASTS

Array = np.ndarray[Any, Any]


def no_room(nbytes: int, free: str = "") -> DeviceMemoryError:
    return DeviceMemoryError(NO_ROOM.format(bytes=nbytes, free=free))


class NumbaStream:
    """A stream of Numba's: there is no current one, each call is given it."""

    def __init__(self, cuda: Any) -> None:
        self.cuda, self.native = cuda, cuda.stream()
        self.handle = int(getattr(self.native, "handle", self.native))
        self.context: Any = nullcontext()

    def begin(self) -> None:
        """Numba makes the card's context current in each call."""

    def record(self, timed: bool = False) -> Any:
        """See ``lanes.Stream``."""
        event = self.cuda.event(timing=timed)
        event.record(self.native)
        return event

    def wait(self, event: Any) -> None:
        """See ``lanes.Stream``."""
        event.wait(self.native)

    def elapsed(self, first: Any, last: Any) -> float:
        """See ``lanes.Stream``."""
        last.synchronize()
        return 1e-3 * float(first.elapsed_time(last))

    def synchronize(self) -> None:
        """See ``lanes.Stream``."""
        self.native.synchronize()


class NumbaStore:
    """Arrays of Numba's, flat and of one element at least: it has none without elements.

    Kernels are launched by Numba, one by one, and compiled by each process.
    """

    launches, computes = True, False

    def __init__(self, cuda: Any, name: str) -> None:
        self.cuda, self.name = cuda, name
        self.lost: str | None = None
        self.process = os.getpid()
        self.lanes = Lanes(lambda: NumbaStream(cuda))
        self._most = 0

    def _stream(self) -> Any:
        return self.lanes.current().stream.native  # type: ignore[attr-defined]

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """See ``memory.Store``."""
        size = max(math.prod(shape), 1)
        try:
            made = self.cuda.device_array(size, dtype, stream=self._stream())
        except Exception as error:  # the driver's class, which the packages name differently
            if "OUT_OF_MEMORY" in str(error).upper().replace(" ", "_"):
                raise no_room(size * dtype.itemsize) from error
            raise
        self._most = max(self._most, size * dtype.itemsize)
        return made

    def copied_in(self, array: Array) -> Any:
        """See ``memory.Store``; waits, as Numba's copies do not keep what they read."""
        held = self.empty(array.shape, array.dtype)
        if array.size:
            held.copy_to_device(np.ascontiguousarray(array).reshape(-1), stream=self._stream())
            self._stream().synchronize()
        return held

    def copied_out(self, held: Any, shape: tuple[int, ...]) -> Array:
        """See ``memory.Store``."""
        found = held.copy_to_host(stream=self._stream())
        self._stream().synchronize()
        return np.array(found[: math.prod(shape)]).reshape(shape)

    def again(self, held: Any) -> Any:
        """See ``memory.Store``."""
        made = self.empty(held.shape, np.dtype(held.dtype))
        made.copy_to_device(held, stream=self._stream())
        return made

    def dense(self, found: Any, dtype: np.dtype[Any]) -> Any:
        """Nothing computes on the card but kernels."""
        raise TypeError("Numba's arrays are not computed with")

    def written(self, held: Any, start: int, array: Array) -> None:
        """See ``memory.Store``."""
        part = held[start : start + len(array)]
        part.copy_to_device(array, stream=self._stream())
        self._stream().synchronize()

    def address(self, held: Any) -> int:
        """See ``memory.Store``."""
        return int(held.__cuda_array_interface__["data"][0])

    def origin(self, table: Any) -> int:
        """That of *table*: Numba has no array that begins at address 0, and unsigned indices reach all."""
        return self.address(table)

    def part(self, held: Any, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """See ``memory.Store``."""
        nbytes = max(math.prod(shape), 1) * dtype.itemsize
        return held[start : start + nbytes].view(dtype)

    def raw(self, held: Any) -> Any:
        """See ``memory.Store``."""
        return held.view(np.uint8)

    def kernel(self, source: str, name: str, views: tuple[str, ...]) -> Any:
        """See ``memory.Store``."""
        return targets.cuda_kernel(source, name)

    def sequence(self, calls: list[Call], table: Any) -> Callable[[], None]:
        """See ``memory.Store``."""
        codes = {code for call in calls for code in call.views}
        views = {code: table.view(CASTS[code]) for code in codes}

        def launch() -> None:
            stream = self._stream()
            for call in calls:
                given = [views[code] for code in call.views]
                call.kernel[call.blocks, call.threads, stream](call.at, *given)

        return launch

    def adopted(self, x: Any) -> tuple[Any, tuple[int, ...], np.dtype[Any]]:
        """See ``memory.Store``."""
        found = self.cuda.as_cuda_array(x)
        shape, dtype = tuple(found.shape), np.dtype(found.dtype)
        if not found.is_c_contiguous() or not found.size:
            return self.copied_in(found.copy_to_host()), shape, dtype
        return found.reshape(-1), shape, dtype

    def exported(self, held: Any, options: dict[str, Any]) -> Any:
        """See ``memory.Store``."""
        raise BufferError(
            "DLPack of a tensor on the card needs CuPy (pip install cupy-cuda13x); without it use "
            "what takes __cuda_array_interface__"
        )

    def synchronize(self) -> None:
        """See ``memory.Store``."""
        self.cuda.synchronize()

    def peak(self) -> int:
        """The largest array; what the driver holds it does not tell."""
        return self._most
