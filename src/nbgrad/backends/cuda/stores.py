"""Memory of a real card, or of Numba's simulator: by CuPy's pool where CuPy is there, else by Numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.errors import NO_ROOM, DeviceMemoryError

Array = np.ndarray[Any, Any]


def _no_room(nbytes: int, free: str = "") -> DeviceMemoryError:
    return DeviceMemoryError(NO_ROOM.format(bytes=nbytes, free=free))


class NumbaStore:
    """Arrays of Numba's, flat and of one element at least: it has none without elements."""

    computes = False

    def __init__(self, cuda: Any, name: str) -> None:
        self.cuda, self.name = cuda, name
        self._most = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """See ``memory.Store``."""
        size = max(math.prod(shape), 1)
        try:
            made = self.cuda.device_array(size, dtype)
        except Exception as error:  # the driver's class, which the packages name differently
            if "OUT_OF_MEMORY" in str(error).upper().replace(" ", "_"):
                raise _no_room(size * dtype.itemsize) from error
            raise
        self._most = max(self._most, size * dtype.itemsize)
        return made

    def copied_in(self, array: Array) -> Any:
        """See ``memory.Store``."""
        held = self.empty(array.shape, array.dtype)
        if array.size:
            held.copy_to_device(np.ascontiguousarray(array).reshape(-1))
        return held

    def copied_out(self, held: Any, shape: tuple[int, ...]) -> Array:
        """See ``memory.Store``."""
        return np.array(held.copy_to_host()[: math.prod(shape)]).reshape(shape)

    def dense(self, found: Any, dtype: np.dtype[Any]) -> Any:
        """Nothing computes on the card but kernels."""
        raise TypeError("Numba's arrays are not computed with")

    def peak(self) -> int:
        """The largest array; what the driver holds it does not tell."""
        return self._most


class CupyStore:
    """Arrays of CuPy's, in its pool: what is freed is used again without the driver."""

    name = "cupy"
    computes = True

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self._most = 0

    def _noted(self, made: Any) -> Any:
        self._most = max(self._most, self.cupy.get_default_memory_pool().used_bytes())
        return made

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """See ``memory.Store``."""
        try:
            return self._noted(self.cupy.empty(shape, dtype))
        except self.cupy.cuda.memory.OutOfMemoryError as error:
            raise _no_room(math.prod(shape) * dtype.itemsize, f" ({error})") from error

    def copied_in(self, array: Array) -> Any:
        """See ``memory.Store``."""
        held = self.empty(array.shape, array.dtype)
        held.set(np.ascontiguousarray(array).reshape(array.shape))
        return held

    def copied_out(self, held: Any, shape: tuple[int, ...]) -> Array:
        """See ``memory.Store``."""
        return np.asarray(held.get(order="C")).reshape(shape)

    def dense(self, found: Any, dtype: np.dtype[Any]) -> Any:
        """See ``memory.Store``."""
        if not isinstance(found, self.cupy.ndarray):
            raise TypeError("a function of the card's returned an array of NumPy's")
        if found.dtype == dtype and found.flags.c_contiguous and found.base is None:
            return found
        return self.cupy.array(found, dtype=dtype, order="C", copy=True)

    def peak(self) -> int:
        """Most bytes in use when an array was made."""
        return self._most
