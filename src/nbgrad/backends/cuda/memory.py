"""Elements on the card: buffers, and the four things that are asked of whoever keeps them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from nbgrad.backends.cuda.faults import guarded
from nbgrad.core.memory import Buffer

Array = np.ndarray[Any, Any]
NAME = "cuda"


class Store(Protocol):
    """What keeps elements on the card, in arrays of a library of its own, and launches kernels there.

    Attributes
    ----------
    computes : bool
        Whether NumPy's functions, given arrays of the library, compute on the card.
    launches : bool
        Whether there is a compiler of kernels.
    relative : bool
        Whether views may count from any address on: see ``views``.
    lost : str or None
        Why nothing can be asked of the card any more, once that is so: see ``faults``.
    """

    name: str
    computes: bool
    launches: bool
    relative: bool
    lost: str | None

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], /) -> Any:
        """An array of the library whose elements are not set, C-contiguous."""

    def copied_in(self, array: Array, /) -> Any:
        """An array of the library with the elements of *array*."""

    def copied_out(self, held: Any, shape: tuple[int, ...], /) -> Array:
        """A new array of NumPy's with the elements of *held*."""

    def written(self, held: Any, start: int, array: Array, /) -> None:
        """Copy *array* to the elements of *held* from *start* on; both have one dimension."""

    def again(self, held: Any, /) -> Any:
        """Another array of the same elements."""

    def dense(self, found: Any, dtype: np.dtype[Any], /) -> Any:
        """What a function of the library returned, as a C-contiguous array that is no view."""

    def part(self, held: Any, start: int, shape: tuple[int, ...], dtype: np.dtype[Any], /) -> Any:
        """What lies in *held*, an array of bytes, from *start* on: a view."""

    def address(self, held: Any, /) -> int:
        """The address of the first element, in bytes."""

    def views(self, held: Any, /) -> dict[str, Any]:
        """All memory as arrays of each dtype, by its code, counted from the first element of *held* on.

        That is an array of bytes. If the store is not ``relative``, they count from address 0 on.
        """

    def kernel(self, source: str, name: str, /) -> Callable[..., None]:
        """What launches kernel text: ``kernel(blocks, threads, at, *views)``."""

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

    __slots__ = ("dtype", "held", "shape", "store")
    device = NAME

    def __init__(
        self, store: Store, held: Any, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.store, self.held, self.shape, self.dtype = store, held, shape, dtype

    def shaped(self, shape: tuple[int, ...]) -> CudaBuffer:
        """The same elements in another shape."""
        if shape == self.shape:
            return self
        held = self.held.reshape(shape) if self.store.computes else self.held
        return CudaBuffer(self.store, held, shape, self.dtype)

    def apart(self) -> CudaBuffer:
        held = guarded(self.store, self.store.again, self.held)
        return CudaBuffer(self.store, held, self.shape, self.dtype)

    @property
    def interface(self) -> dict[str, Any]:
        """What ``__cuda_array_interface__`` says: the memory itself, which is not to be written to."""
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.store.address(self.held) if math.prod(self.shape) else 0, False),
            "strides": None,
            "version": 3,
            "stream": 1,
        }

    def exported(self, options: dict[str, Any]) -> Any:
        """A capsule of DLPack, of the memory itself."""
        return guarded(self.store, self.store.exported, self.held, options)

    def host(self) -> Array:
        found: Array = guarded(self.store, self.store.copied_out, self.held, self.shape)
        return found
