"""A card that is not there: arrays that keep their elements from NumPy, as a card's do.

For tests without a card: what would copy to the host in silence raises, copies are counted, and an access
outside of what is allocated raises. NumPy's functions take these arrays and scalars, and nothing else, as
CuPy's arrays do. Kernels run as plain Python, one thread of one block, or in Numba's simulator.
"""

from __future__ import annotations

import math
import weakref
from bisect import insort
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from nbgrad.backends.cuda.emulated_streams import EmulatedStream, Watch
from nbgrad.backends.cuda.lanes import Lanes
from nbgrad.backends.cuda.memory import Call
from nbgrad.errors import NO_ROOM, DeviceMemoryError
from nbgrad.machine import targets
from nbgrad.machine.intrinsics import CASTS

Array = np.ndarray[Any, Any]
_SCALARS = (bool, int, float, complex, np.generic)
_VIEWS = frozenset({"T", "real", "imag"})
_METHODS = frozenset(
    {
        "astype",
        "copy",
        "reshape",
        "transpose",
        "sum",
        "conj",
        "cumsum",
        "max",
        "min",
        "mean",
        "any",
    }
    | {"all", "ravel", "swapaxes", "squeeze", "prod", "argmax", "argmin", "conjugate", "dot"}
)
ALIGNED = 256  # as what a driver allocates
MEMORY = 1 << 28  # bytes of the emulated card; pages are taken when they are written to
THREADS, BLOCKS = 8, 2  # of a launch in the simulator, which makes a thread of the host of each


class Memory:
    """The memory of the card as one array, and which bytes of it are allocated."""

    def __init__(self, size: int) -> None:
        raw = np.empty(size + ALIGNED, np.uint8)
        start = -raw.ctypes.data % ALIGNED
        self.bytes = raw[start : start + size]
        self.live = np.zeros(size, np.bool_)
        self.free: list[tuple[int, int]] = [(ALIGNED, size - ALIGNED)]  # nothing is at address 0
        self.watch = Watch()
        self.views = {code: _View(self, code) for code in CASTS if code[0] != "c"}

    def take(self, nbytes: int) -> int | None:
        """The address of so many bytes, none of which is in use, if there are such."""
        wanted = -(-(nbytes + 1) // ALIGNED) * ALIGNED
        for k, (start, length) in enumerate(self.free):
            if length >= wanted:
                self.free[k : k + 1] = (
                    [(start + wanted, length - wanted)] if length > wanted else []
                )
                self.live[start : start + max(nbytes, 1)] = True
                return start
        return None

    def give(self, start: int, nbytes: int) -> None:
        """Take back what ``take`` gave."""
        self.live[start : start + max(nbytes, 1)] = False
        insort(self.free, (start, -(-(nbytes + 1) // ALIGNED) * ALIGNED))
        merged = self.free[:1]
        for begin, length in self.free[1:]:
            if sum(merged[-1]) == begin:
                merged[-1] = (merged[-1][0], merged[-1][1] + length)
            else:
                merged.append((begin, length))
        self.free = merged

    def array(self, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """The elements at an address, as NumPy sees them."""
        nbytes = math.prod(shape) * dtype.itemsize
        return self.bytes[start : start + nbytes].view(dtype).reshape(shape)


class _View:
    """All memory as elements of one dtype, for kernels: an access to what is not allocated raises."""

    def __init__(self, memory: Memory, code: str) -> None:
        self.memory = memory
        self.elements: Array = memory.bytes.view(CASTS[code])

    def place(self, k: Any, write: bool) -> int:
        k, size = int(k), self.elements.itemsize
        if not (0 <= k < len(self.elements) and self.memory.live[k * size]):
            raise IndexError(f"a kernel would access address {k * size}, which is not allocated")
        if self.memory.watch.on:
            self.memory.watch.touch(k * size, size, write)
        return int(k)

    def __getitem__(self, k: Any) -> Any:
        return self.elements[self.place(k, False)]

    def __setitem__(self, k: Any, value: Any) -> None:
        self.elements[self.place(k, True)] = value


# What kernel text asks of Numba, for one thread of one block.
def _add(view: Any, k: Any, value: Any) -> None:
    view[k] += value


_ONE = SimpleNamespace(x=1, y=1, z=1)
_FIRST = SimpleNamespace(x=0, y=0, z=0)
ALONE = SimpleNamespace(
    grid=lambda n: 0,
    gridsize=lambda n: 1,
    blockDim=_ONE,
    gridDim=_ONE,
    blockIdx=_FIRST,
    threadIdx=_FIRST,
    syncthreads=lambda: None,
    atomic=SimpleNamespace(add=_add),
    shared=SimpleNamespace(array=lambda shape, dtype: np.empty(shape, dtype)),
)


class Emulated(NDArrayOperatorsMixin):
    """An array on the emulated card."""

    __slots__ = ("__weakref__", "_elements", "_keep", "start", "watch")

    def __init__(
        self, elements: Array, keep: Any = None, start: int = -1, watch: Watch | None = None
    ) -> None:
        # Whose memory it is: its own, at an address, or that of what it keeps.
        self._elements, self._keep, self.start, self.watch = elements, keep, start, watch

    def opened(self) -> Array:
        """The elements, which are read, or written as a part of an array that nobody else has."""
        owner = self
        while owner._keep.__class__ is Emulated:
            owner = owner._keep
        if owner.watch is not None and owner.watch.on:
            owner.watch.touch(owner.start, owner._elements.nbytes, False)
        return self._elements

    @property
    def shape(self) -> tuple[int, ...]:
        return self._elements.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._elements.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        return self._elements.ndim

    @property
    def size(self) -> int:
        return self._elements.size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise TypeError("implicit conversion of an array on the card to one of NumPy's")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _wrapped(getattr(ufunc, method)(*_open(inputs), **_open(kwargs)), inputs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        # NumPy's code calls its own functions again, on the elements.
        return _wrapped(func(*_open(args), **_open(kwargs)), args)

    def __getattr__(self, name: str) -> Any:
        if name in _VIEWS:
            return _wrapped(getattr(self._elements, name), self)
        if name not in _METHODS:
            raise AttributeError(f"arrays on the emulated card have no {name}")
        return lambda *args, **kwargs: _wrapped(
            getattr(self.opened(), name)(*_open(args), **_open(kwargs)), self
        )

    def __getitem__(self, index: Any) -> Any:
        return _wrapped(self.opened()[_open(index)], self)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._elements[_open(index)] = _open(value)


def _open(x: Any) -> Any:
    if isinstance(x, Emulated):
        return x.opened()
    if isinstance(x, (tuple, list)):
        return type(x)([_open(item) for item in x])
    if isinstance(x, dict):
        return {key: _open(value) for key, value in x.items()}
    if isinstance(x, np.ndarray):
        raise TypeError("an array of NumPy's among arrays on the card: move it there first")
    return x


def _wrapped(x: Any, keep: Any) -> Any:
    if isinstance(x, np.ndarray):
        return Emulated(x, keep)
    if isinstance(x, tuple):
        return tuple([_wrapped(item, keep) for item in x])
    return Emulated(np.asarray(x), keep) if isinstance(x, _SCALARS) else x


class EmulatedStore:
    """Keeps elements apart, in memory of the host's; counts the copies in and out.

    Parameters
    ----------
    room : int, optional
        Bytes that fit.
    compiler : callable, optional
        ``compiler(source, name)`` makes a kernel that is launched in the simulator; without, kernels
        run as Python.

    Attributes
    ----------
    counts : Counter
        Copies "in" and "out", arrays "made", words "written", and "launches".
    asked : callable, optional
        Is told of each before it happens, and may raise what a driver would.
    """

    launches = True

    def __init__(self, name: str = "emulator", room: int = MEMORY, compiler: Any = None) -> None:
        self.name, self.compiler = name, compiler
        self.computes = compiler is None  # the simulator's arrays are not computed with
        self.counts: Counter[str] = Counter()
        self.memory, self.room = Memory(MEMORY), room
        self.used = self.most = 0
        self.lost: str | None = None
        self.streams: list[EmulatedStream] = []
        self.lanes = Lanes(self._stream)
        self.asked: Callable[[str], None] | None = None

    def _stream(self) -> EmulatedStream:
        self.streams.append(EmulatedStream(self.memory.watch, len(self.streams)))
        return self.streams[-1]

    def _touch(self, held: Emulated, write: bool) -> None:
        """Elements of an array are read or written, on the stream that is entered."""
        if self.memory.watch.on:
            start = self.address(held)
            if (
                0 <= start < len(self.memory.bytes)
            ):  # others are the host's, of a function that computes
                self.memory.watch.touch(start, held._elements.nbytes, write)

    def count(self, what: str) -> None:
        """One more of *what* is asked of the driver."""
        if self.asked is not None:
            self.asked(what)
        self.counts[what] += 1

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Emulated:
        """See ``memory.Store``."""
        nbytes = math.prod(shape) * dtype.itemsize
        self.count("made")
        start = self.memory.take(nbytes) if self.used + nbytes <= self.room else None
        if start is None:
            free = f" (of {self.room}, {self.room - self.used} are free)"
            raise DeviceMemoryError(NO_ROOM.format(bytes=nbytes, free=free))
        watch = self.memory.watch
        if watch.on:
            watch.taken(start, nbytes)
        made = Emulated(self.memory.array(start, shape, dtype), None, start, watch)
        self.used += nbytes
        self.most = max(self.most, self.used)
        weakref.finalize(made, self._freed, start, nbytes)
        return made

    def _freed(self, start: int, nbytes: int) -> None:
        self.used -= nbytes
        self.memory.give(start, nbytes)

    def copied_in(self, array: Array) -> Emulated:
        """See ``memory.Store``."""
        made = self.empty(array.shape, array.dtype)
        self.count("in")
        self._touch(made, True)
        made._elements[...] = array
        return made

    def copied_out(self, held: Emulated, shape: tuple[int, ...]) -> Array:
        """See ``memory.Store``."""
        self.count("out")
        self._touch(held, False)
        return held._elements.reshape(shape).copy()

    def written(self, held: Emulated, start: int, array: Array) -> None:
        """See ``memory.Store``."""
        self.count("written")
        self._touch(Emulated(held._elements[start : start + len(array)]), True)
        held._elements[start : start + len(array)] = array

    def address(self, held: Emulated) -> int:
        """See ``memory.Store``."""
        return held._elements.ctypes.data - self.memory.bytes.ctypes.data

    def part(self, held: Emulated, start: int, shape: tuple[int, ...], dtype: Any) -> Emulated:
        """See ``memory.Store``."""
        return Emulated(self.memory.array(held.start + start, shape, dtype), held)

    def raw(self, held: Emulated) -> Emulated:
        """See ``memory.Store``."""
        start, nbytes = self.address(held), held._elements.nbytes
        return Emulated(self.memory.array(start, (nbytes,), np.dtype(np.uint8)), held, start)

    def again(self, held: Emulated) -> Emulated:
        """See ``memory.Store``."""
        made = self.empty(held.shape, held.dtype)
        self._touch(held, False)
        self._touch(made, True)
        made._elements[...] = held._elements
        return made

    def dense(self, found: Any, dtype: np.dtype[Any]) -> Emulated:
        """See ``memory.Store``."""
        if not isinstance(found, Emulated):
            raise TypeError("a function of the card's returned an array of NumPy's")
        elements = found._elements
        if found.start >= 0 and elements.dtype == dtype and elements.flags.c_contiguous:
            return found
        made = self.empty(elements.shape, dtype)
        self._touch(made, True)
        made._elements[...] = elements
        return made

    def origin(self, table: Emulated) -> int:
        """See ``memory.Store``: addresses are those in the one array that is the memory."""
        return 0

    def adopted(self, x: Any) -> tuple[Emulated, tuple[int, ...], np.dtype[Any]]:
        """See ``memory.Store``."""
        says = x.__cuda_array_interface__
        shape, dtype, start = tuple(says["shape"]), np.dtype(says["typestr"]), says["data"][0]
        flat = self.memory.bytes[start:]
        strides = says.get("strides")
        found: Any = np.ndarray(shape, dtype, flat, strides=strides)
        held = Emulated(found, x)
        if not found.flags.c_contiguous or not found.size:
            held = self.dense(held, dtype)
        return held, shape, dtype

    def exported(self, held: Emulated, options: dict[str, Any]) -> Any:
        """There is no DLPack of a card that is not there."""
        raise BufferError("the emulated card exports no DLPack")

    def kernel(self, source: str, name: str, views: tuple[str, ...]) -> Callable[..., None]:
        """See ``memory.Store``."""
        if self.compiler is not None:
            made = self.compiler(source, name)
            return lambda blocks, threads, *args: made[min(blocks, BLOCKS), min(threads, THREADS)](
                *args
            )
        alone = targets.plain_kernel(source, name, ALONE)
        return lambda blocks, threads, *args: alone(*args)

    def sequence(self, calls: list[Call], table: Emulated) -> Callable[[], None]:
        """See ``memory.Store``."""

        def launch() -> None:
            for call in calls:
                self.count("launches")
                views = [self.memory.views[code] for code in call.views]
                with np.errstate(all="ignore"):
                    call.kernel(call.blocks, call.threads, call.at, *views)

        return launch

    def synchronize(self) -> None:
        """Nothing is under way."""
        self.count("waits")

    def peak(self) -> int:
        """Most bytes that were held at a time."""
        return self.most
