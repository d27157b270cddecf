"""Elements on the card: buffers, and what is asked of whoever keeps them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nbgrad.backends.cuda.faults import guarded
from nbgrad.backends.cuda.lanes import Lanes, Root
from nbgrad.core.memory import Buffer

Array = np.ndarray[Any, Any]
NAME = "cuda"


@dataclass(frozen=True)
class Call:
    """A kernel, how many blocks of how many threads, the word its arguments begin at, the views it takes."""

    kernel: Any
    blocks: int
    threads: int
    at: int
    views: tuple[str, ...]


class Store(Protocol):
    """What keeps elements on the card, in arrays of a library of its own, and launches kernels there.

    All but ``address`` is asked inside ``faults.guarded``, and put on the stream of the thread that asks.

    Attributes
    ----------
    computes : bool
        Whether NumPy's functions, given arrays of the library, compute on the card.
    launches : bool
        Whether there is a compiler of kernels.
    process : int
        Which one opened it: no other may use it.
    lost : str or None
        Why nothing can be asked of the card any more, once that is so: see ``faults``.
    lanes : Lanes
        The streams of the threads.
    """

    name: str
    computes: bool
    launches: bool
    lost: str | None
    process: int
    lanes: Lanes

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], /) -> Any:
        """An array of the library whose elements are not set, C-contiguous."""

    def copied_in(self, array: Array, /) -> Any:
        """An array of the library with the elements of *array*."""

    def copied_out(self, held: Any, shape: tuple[int, ...], /) -> Array:
        """A new array of NumPy's with the elements of *held*: waits for them."""

    def written(self, held: Any, start: int, array: Array, /) -> None:
        """Copy *array* to the elements of *held* from *start* on; both have one dimension."""

    def again(self, held: Any, /) -> Any:
        """Another array of the same elements."""

    def dense(self, found: Any, dtype: np.dtype[Any], /) -> Any:
        """What a function of the library returned, as a C-contiguous array that is no view."""

    def part(self, held: Any, start: int, shape: tuple[int, ...], dtype: np.dtype[Any], /) -> Any:
        """What lies in *held*, an array of bytes, from *start* on: a view."""

    def raw(self, held: Any, /) -> Any:
        """The memory of *held* as an array of bytes."""

    def address(self, held: Any, /) -> int:
        """The address of the first element, in bytes."""

    def origin(self, table: Any, /) -> int:
        """The address from which kernels count, in bytes, whose words are in *table*."""

    def kernel(self, source: str, name: str, views: tuple[str, ...], /) -> Any:
        """What a ``Call`` needs to launch kernel text."""

    def sequence(self, calls: list[Call], table: Any, /) -> Callable[[], None]:
        """What launches *calls*, whose words are in *table*, one after the other."""

    def adopted(self, x: Any, /) -> tuple[Any, tuple[int, ...], np.dtype[Any]]:
        """What another library keeps on the card, as a C-contiguous array; its shape and dtype."""

    def exported(self, held: Any, options: dict[str, Any], /) -> Any:
        """A capsule of DLPack."""

    def synchronize(self) -> None:
        """Wait until everything that was launched is done."""

    def peak(self) -> int:
        """Most bytes that were held at a time."""


class CudaBuffer(Buffer):
    """A C-contiguous array on the card; ``held`` is that of the library that keeps it."""

    __slots__ = ("dtype", "held", "root", "shape", "store")
    device = NAME

    def __init__(
        self,
        store: Store,
        held: Any,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        root: Root | None = None,
    ) -> None:
        self.store, self.held, self.shape, self.dtype = store, held, shape, dtype
        self.root = Root(held, store.lanes.current()) if root is None else root

    def shaped(self, shape: tuple[int, ...]) -> CudaBuffer:
        """The same elements in another shape."""
        if shape == self.shape:
            return self
        held = self.held.reshape(shape) if self.store.computes else self.held
        return CudaBuffer(self.store, held, shape, self.dtype, self.root)

    def read(self) -> Any:
        """``held``, for what this thread asks of the card next: it comes after what made it."""
        self.store.lanes.current().reads(self.root)
        return self.held

    def apart(self) -> CudaBuffer:
        return guarded(self.store, self._apart)  # type: ignore[no-any-return]

    def _apart(self) -> CudaBuffer:
        return CudaBuffer(self.store, self.store.again(self.read()), self.shape, self.dtype)

    @property
    def interface(self) -> dict[str, Any]:
        """What ``__cuda_array_interface__`` says: the memory itself, which is not to be written to."""
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.store.address(self.held) if math.prod(self.shape) else 0, False),
            "strides": None,
            "version": 3,
            "stream": self.root.lane.stream.handle,
        }

    def exported(self, options: dict[str, Any]) -> Any:
        """A capsule of DLPack, of the memory itself."""
        return guarded(self.store, lambda: self.store.exported(self.read(), options))

    def host(self) -> Array:
        found: Array = guarded(self.store, lambda: self.store.copied_out(self.read(), self.shape))
        return found
