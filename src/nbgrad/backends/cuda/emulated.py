"""A card that is not there: arrays that keep their elements from NumPy, as a card's do.

For tests without a card: what would copy to the host in silence raises, and copies are counted.
NumPy's functions take these arrays and scalars, and nothing else, as CuPy's arrays do.
"""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from nbgrad.errors import NO_ROOM, DeviceMemoryError

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


class Emulated(NDArrayOperatorsMixin):
    """An array on the emulated card."""

    __slots__ = ("__weakref__", "_elements", "_owned")

    def __init__(self, elements: Array, owned: bool = True) -> None:
        self._elements, self._owned = elements, owned

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
        return _wrapped(getattr(ufunc, method)(*_open(inputs), **_open(kwargs)))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        # NumPy's code calls its own functions again, on the elements.
        return _wrapped(func(*_open(args), **_open(kwargs)))

    def __getattr__(self, name: str) -> Any:
        if name in _VIEWS:
            return _wrapped(getattr(self._elements, name))
        if name not in _METHODS:
            raise AttributeError(f"arrays on the emulated card have no {name}")
        return lambda *args, **kwargs: _wrapped(
            getattr(self._elements, name)(*_open(args), **_open(kwargs))
        )

    def __getitem__(self, index: Any) -> Any:
        return _wrapped(self._elements[_open(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._elements[_open(index)] = _open(value)


def _open(x: Any) -> Any:
    if isinstance(x, Emulated):
        return x._elements
    if isinstance(x, (tuple, list)):
        return type(x)([_open(item) for item in x])
    if isinstance(x, dict):
        return {key: _open(value) for key, value in x.items()}
    if isinstance(x, np.ndarray):
        raise TypeError("an array of NumPy's among arrays on the card: move it there first")
    return x


def _wrapped(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return Emulated(x, owned=False)
    if isinstance(x, tuple):
        return tuple([_wrapped(item) for item in x])
    return Emulated(np.asarray(x), owned=False) if isinstance(x, _SCALARS) else x


class EmulatedStore:
    """Keeps elements apart, in memory of the host's; counts the copies in and out.

    Attributes
    ----------
    counts : Counter
        Copies "in" and "out", and arrays "made".
    room : int or None
        Bytes that fit; None: any number.
    """

    name = "emulator"
    computes = True

    def __init__(self, room: int | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.room = room
        self.bytes = self.most = 0

    def _kept(self, elements: Array) -> Emulated:
        made = Emulated(elements)
        self.counts["made"] += 1
        self.bytes += elements.nbytes
        self.most = max(self.most, self.bytes)
        weakref.finalize(made, self._freed, elements.nbytes)
        return made

    def _freed(self, nbytes: int) -> None:
        self.bytes -= nbytes

    def _fit(self, nbytes: int) -> None:
        if self.room is not None and self.bytes + nbytes > self.room:
            free = f" (of {self.room}, {self.room - self.bytes} are free)"
            raise DeviceMemoryError(NO_ROOM.format(bytes=nbytes, free=free))

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Emulated:
        """See ``memory.Store``."""
        self._fit(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        return self._kept(np.empty(shape, dtype))

    def copied_in(self, array: Array) -> Emulated:
        """See ``memory.Store``."""
        self._fit(array.nbytes)
        self.counts["in"] += 1
        return self._kept(np.array(array, order="C"))

    def copied_out(self, held: Emulated, shape: tuple[int, ...]) -> Array:
        """See ``memory.Store``."""
        self.counts["out"] += 1
        return held._elements.copy()

    def dense(self, found: Any, dtype: np.dtype[Any]) -> Emulated:
        """See ``memory.Store``."""
        elements = _open(found)
        if not isinstance(found, Emulated):
            raise TypeError("a function of the card's returned an array of NumPy's")
        if found._owned and elements.dtype == dtype and elements.flags.c_contiguous:
            return found
        self._fit(elements.size * dtype.itemsize)
        return self._kept(np.array(elements, dtype, order="C"))

    def peak(self) -> int:
        """Most bytes that were held at a time."""
        return self.most
