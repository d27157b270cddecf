"""Elements on the card: buffers, and the four things that are asked of whoever keeps them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from nbgrad.core.memory import Buffer

Array = np.ndarray[Any, Any]
NAME = "cuda"


class Store(Protocol):
    """What keeps elements on the card, in arrays of a library of its own."""

    name: str
    computes: bool  # whether NumPy's functions, given arrays of the library, compute on the card

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any], /) -> Any:
        """An array of the library whose elements are not set, C-contiguous."""

    def copied_in(self, array: Array, /) -> Any:
        """An array of the library with the elements of *array*."""

    def copied_out(self, held: Any, shape: tuple[int, ...], /) -> Array:
        """A new array of NumPy's with the elements of *held*."""

    def dense(self, found: Any, dtype: np.dtype[Any], /) -> Any:
        """What a function of the library returned, as a C-contiguous array that is no view."""

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

    def host(self) -> Array:
        return self.store.copied_out(self.held, self.shape)
