"""A card that is not there: arrays that keep their elements from NumPy, as a card's do.

For tests without a card: what would copy to the host in silence raises, copies are counted, and an access
outside of what is allocated raises. NumPy's functions take these arrays and scalars, and nothing else, as
CuPy's arrays do. Kernels run as plain Python, one thread of one block, or in Numba's simulator.
"""

from __future__ import annotations

import math
import os
import weakref
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from nbgrad.backends.cuda.emulated_memory import MEMORY, Memory
from nbgrad.backends.cuda.emulated_streams import EmulatedStream, Watch
from nbgrad.backends.cuda.lanes import Lanes
from nbgrad.backends.cuda.memory import Call
from nbgrad.errors import NO_ROOM, DeviceMemoryError
from nbgrad.machine import targets

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
THREADS, BLOCKS = 8, 2  # of a launch in the simulator, which makes a thread of the host of each


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

    __slots__ = ("_elements", "_keep", "start", "watch")

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
        ``compiler(source, name)`` makes a kernel for the simulator; without, kernels run as Python.

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
        self.lost: str | None = None
        self.process = os.getpid()
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
        start = self.memory.take(nbytes, self.room)
        if start is None:
            free = f" (of {self.room}, {self.room - self.used} are free)"
            raise DeviceMemoryError(NO_ROOM.format(bytes=nbytes, free=free))
        watch = self.memory.watch
        if watch.on:
            watch.taken(start, nbytes)
        made = Emulated(self.memory.array(start, shape, dtype), None, start, watch)
        # The collector knows no arrays of NumPy's: they go after all finalizers, as a driver's memory does.
        weakref.finalize(made._elements, self.memory.given.append, start)
        return made

    @property
    def used(self) -> int:
        """Bytes that are held."""
        self.memory.settle()
        return self.memory.used

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
            self.memory.settle()
            for call in calls:
                self.count("launches")
                views = [self.memory.views[code] for code in call.views]
                with np.errstate(all="ignore"):
                    call.kernel(call.blocks, call.threads, call.at, *views)

        return launch

    def synchronize(self) -> None:
        self.count("waits")  # and nothing is under way

    def peak(self) -> int:
        """Most bytes that were held at a time."""
        return self.memory.most
