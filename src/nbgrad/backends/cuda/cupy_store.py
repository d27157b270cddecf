"""Memory and launches of a real card by CuPy: its pool, its streams, and the driver's entry points.

What is freed is used again without the driver, on the stream that it was allocated on. Kernels are machine
code (``kernels``) launched by the driver's call, so Numba is not asked, nor imported where nothing is compiled.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nbgrad.backends.cuda.kernels import Images
from nbgrad.backends.cuda.lanes import Lanes
from nbgrad.backends.cuda.launches import Launches
from nbgrad.backends.cuda.memory import Call
from nbgrad.backends.cuda.staging import SMALL, Staging
from nbgrad.backends.cuda.stores import no_room
from nbgrad.errors import DeviceError

Array = np.ndarray[Any, Any]
TO_CARD, TO_HOST = 1, 2  # the driver's numbers of the ways of a copy
OTHER: Final = (
    "this thread uses the card {found}, and nbgrad the card {ours} of this process: leave cupy.cuda.Device as "
    "it was, or start a process a card, with CUDA_VISIBLE_DEVICES"
)


class CupyStream:
    """A stream that the default one waits for, and that waits for it: libraries that use that are in order."""

    def __init__(self, cupy: Any, card: int) -> None:
        self.cupy, self.card = cupy, card
        self.native = cupy.cuda.Stream(non_blocking=False)
        self.handle, self.context = int(self.native.ptr), self.native

    def begin(self) -> None:
        """Make the card's context that of this thread: launches do not."""
        runtime = self.cupy.cuda.runtime
        found = int(runtime.getDevice())
        if found != self.card:
            raise DeviceError(OTHER.format(found=found, ours=self.card))
        runtime.setDevice(found)

    def record(self, timed: bool = False) -> Any:
        """See ``lanes.Stream``."""
        event = self.cupy.cuda.Event(disable_timing=not timed)
        event.record(self.native)
        return event

    def wait(self, event: Any) -> None:
        """See ``lanes.Stream``."""
        self.native.wait_event(event)

    def elapsed(self, first: Any, last: Any) -> float:
        """See ``lanes.Stream``."""
        last.synchronize()
        return 1e-3 * float(self.cupy.cuda.get_elapsed_time(first, last))

    def synchronize(self) -> None:
        """See ``lanes.Stream``."""
        self.native.synchronize()


class CupyDriver:
    """The driver, as far as launches and copies ask it."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.launch = cupy.cuda.driver.launchKernel
        self.modules: dict[bytes, Any] = {}

    def function(self, image: bytes, entry: str) -> Any:
        """The kernel *entry* of machine code."""
        module = self.cupy.cuda.function.Module()
        module.load(image)
        return module.get_function(entry)

    def captured(self, play: Callable[[int], None]) -> Callable[[Any], None]:
        """What *play* launches on a stream, as one graph, which is launched on a stream of CuPy's."""
        stream = self.cupy.cuda.Stream(non_blocking=True)
        stream.begin_capture()
        try:
            play(stream.ptr)
        finally:
            graph = stream.end_capture()
        return lambda native: graph.launch(native)

    def pinned(self, nbytes: int) -> Array:
        """Memory of the host that the card reads and writes itself."""
        return np.frombuffer(self.cupy.cuda.alloc_pinned_memory(nbytes), np.uint8, nbytes)

    def copy(self, target: int, source: int, nbytes: int, way: int, stream: Any) -> None:
        """Copy bytes between addresses, on a stream."""
        self.cupy.cuda.runtime.memcpyAsync(target, source, nbytes, way, stream.handle)


class CupyStore:
    """Arrays of CuPy's, in its pool."""

    name = "cupy"
    computes, launches = True, True

    def __init__(self, cupy: Any, images: Images | None = None) -> None:
        self.cupy, self.driver = cupy, CupyDriver(cupy)
        self.lost: str | None = None
        self.process = os.getpid()
        self.card = int(cupy.cuda.runtime.getDevice())
        self.lanes = Lanes(lambda: CupyStream(cupy, self.card))
        self.staging = Staging(self.driver)
        text = str(cupy.cuda.Device(self.card).compute_capability)
        self.images = Images((int(text[:-1]), int(text[-1]))) if images is None else images
        self.functions: dict[tuple[str, str], Any] = {}
        self._most = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """See ``memory.Store``."""
        try:
            made = self.cupy.empty(shape, dtype)
        except self.cupy.cuda.memory.OutOfMemoryError as error:
            raise no_room(math.prod(shape) * dtype.itemsize, f" ({error})") from error
        self._most = max(self._most, self.cupy.get_default_memory_pool().used_bytes())
        return made

    def copied_in(self, array: Array) -> Any:
        """See ``memory.Store``."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        held = self.empty(array.shape, array.dtype)
        if array.nbytes <= SMALL:
            held.set(array)
        else:
            flat = array.reshape(-1).view(np.uint8)
            self.staging.inward(self.lanes.current(), self.address(held), flat)
        return held

    def copied_out(self, held: Any, shape: tuple[int, ...]) -> Array:
        """See ``memory.Store``."""
        if held.nbytes <= SMALL or not held.flags.c_contiguous:
            return np.asarray(held.get(order="C")).reshape(shape)
        made = np.empty(shape, held.dtype)
        flat = made.reshape(-1).view(np.uint8)
        self.staging.outward(self.lanes.current(), flat, self.address(held))
        return made

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
        """See ``memory.Store``: the driver has its own copy of so few bytes when it returns."""
        held[start : start + len(array)].set(array)

    def address(self, held: Any) -> int:
        """See ``memory.Store``."""
        return int(held.data.ptr)

    def origin(self, table: Any) -> int:
        """0: kernels are given arrays that begin there."""
        return 0

    def part(self, held: Any, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """See ``memory.Store``."""
        nbytes = math.prod(shape) * dtype.itemsize
        return held[start : start + nbytes].view(dtype).reshape(shape)

    def raw(self, held: Any) -> Any:
        """See ``memory.Store``."""
        return held.reshape(-1).view(np.uint8)

    def kernel(self, source: str, name: str, views: tuple[str, ...]) -> Any:
        """See ``memory.Store``."""
        found = self.functions.get((source, name))
        if found is None:
            found = self.driver.function(*self.images.get(source, name, views))
            self.functions[source, name] = found
        return found

    def sequence(self, calls: list[Call], table: Any) -> Callable[[], None]:
        """See ``memory.Store``."""
        launches = Launches(self.driver, calls)
        return lambda: launches.run(self.lanes.current().stream)

    def adopted(self, x: Any) -> tuple[Any, tuple[int, ...], np.dtype[Any]]:
        """See ``memory.Store``."""
        by_pointer = hasattr(x, "__cuda_array_interface__")
        found = self.cupy.asarray(x) if by_pointer else self.cupy.from_dlpack(x)
        if int(found.device.id) != self.card:
            raise DeviceError(OTHER.format(found=found.device.id, ours=self.card))
        found = self.cupy.ascontiguousarray(found)
        return found, tuple(found.shape), np.dtype(found.dtype)

    def exported(self, held: Any, options: dict[str, Any]) -> Any:
        """See ``memory.Store``."""
        return held.__dlpack__(**options)

    def synchronize(self) -> None:
        """See ``memory.Store``."""
        self.cupy.cuda.runtime.deviceSynchronize()

    def peak(self) -> int:
        """Most bytes in use when an array was made."""
        return self._most
