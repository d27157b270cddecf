"""Memory of a real card, or of Numba's simulator: by CuPy's pool where CuPy is there, else by Numba."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.errors import NO_ROOM, DeviceMemoryError
from nbgrad.machine import targets
from nbgrad.machine.intrinsics import CASTS

Array = np.ndarray[Any, Any]


def _no_room(nbytes: int, free: str = "") -> DeviceMemoryError:
    return DeviceMemoryError(NO_ROOM.format(bytes=nbytes, free=free))


_VIEWS = tuple(code for code in CASTS if code[0] != "c")


class _Launching:
    """Launching kernels that Numba compiles."""

    launches, relative = True, True
    lost: str | None = None

    def exported(self, held: Any, options: dict[str, Any]) -> Any:
        """See ``memory.Store``."""
        if not hasattr(held, "__dlpack__"):
            raise BufferError(
                "DLPack of a tensor on the card needs CuPy (pip install cupy-cuda13x); without it use "
                "what takes __cuda_array_interface__"
            )
        return held.__dlpack__(**options)

    def kernel(self, source: str, name: str) -> Callable[..., None]:
        """See ``memory.Store``."""
        made = targets.cuda_kernel(source, name)
        return lambda blocks, threads, *args: made[blocks, threads](*args)


class NumbaStore(_Launching):
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

    def again(self, held: Any) -> Any:
        """See ``memory.Store``."""
        made = self.empty(held.shape, np.dtype(held.dtype))
        made.copy_to_device(held)
        return made

    def dense(self, found: Any, dtype: np.dtype[Any]) -> Any:
        """Nothing computes on the card but kernels."""
        raise TypeError("Numba's arrays are not computed with")

    def written(self, held: Any, start: int, array: Array) -> None:
        """See ``memory.Store``."""
        held[start : start + len(array)].copy_to_device(array)

    def address(self, held: Any) -> int:
        """See ``memory.Store``."""
        return int(held.__cuda_array_interface__["data"][0])

    def part(self, held: Any, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """See ``memory.Store``."""
        nbytes = max(math.prod(shape), 1) * dtype.itemsize
        return held[start : start + nbytes].view(dtype)

    def views(self, held: Any) -> dict[str, Any]:
        """See ``memory.Store``."""
        return {code: held.view(CASTS[code]) for code in _VIEWS}

    def adopted(self, x: Any) -> tuple[Any, tuple[int, ...], np.dtype[Any]]:
        """See ``memory.Store``."""
        found = self.cuda.as_cuda_array(x)
        shape, dtype = tuple(found.shape), np.dtype(found.dtype)
        if not found.is_c_contiguous() or not found.size:
            return self.copied_in(found.copy_to_host()), shape, dtype
        return found.reshape(-1), shape, dtype

    def synchronize(self) -> None:
        """See ``memory.Store``."""
        self.cuda.synchronize()

    def peak(self) -> int:
        """The largest array; what the driver holds it does not tell."""
        return self._most


class CupyStore(_Launching):
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

    def again(self, held: Any) -> Any:
        """See ``memory.Store``."""
        return held.copy()

    def dense(self, found: Any, dtype: np.dtype[Any]) -> Any:
        """See ``memory.Store``."""
        if not isinstance(found, self.cupy.ndarray):
            raise TypeError("a function of the card's returned an array of NumPy's")
        if found.dtype == dtype and found.flags.c_contiguous and found.base is None:
            return found
        return self.cupy.array(found, dtype=dtype, order="C", copy=True)

    def written(self, held: Any, start: int, array: Array) -> None:
        """See ``memory.Store``."""
        held[start : start + len(array)].set(array)

    def address(self, held: Any) -> int:
        """See ``memory.Store``."""
        return int(held.data.ptr)

    def part(self, held: Any, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """See ``memory.Store``."""
        nbytes = math.prod(shape) * dtype.itemsize
        return held[start : start + nbytes].view(dtype).reshape(shape)

    def views(self, held: Any) -> dict[str, Any]:
        """As arrays of Numba's: one of CuPy's would be converted, and waited for, at each launch."""
        convert = targets.cuda().as_cuda_array
        return {code: convert(held.view(CASTS[code])) for code in _VIEWS}

    def adopted(self, x: Any) -> tuple[Any, tuple[int, ...], np.dtype[Any]]:
        """See ``memory.Store``."""
        by_pointer = hasattr(x, "__cuda_array_interface__")
        found = self.cupy.asarray(x) if by_pointer else self.cupy.from_dlpack(x)
        found = self.cupy.ascontiguousarray(found)
        return found, tuple(found.shape), np.dtype(found.dtype)

    def synchronize(self) -> None:
        """See ``memory.Store``."""
        self.cupy.cuda.Device().synchronize()

    def peak(self) -> int:
        """Most bytes in use when an array was made."""
        return self._most
