"""Where values lie: the one door to memory that is not NumPy's.

The value of a node is an array of NumPy's at home, a ``Buffer`` on another device. Nobody above the
backends looks into a buffer: they ask ``host`` for its elements and ``place`` to put some there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from nbgrad.core.ports import ports
from nbgrad.errors import ON_DEVICE

Array = np.ndarray[Any, Any]
HOME = "cpu"
# Whether Python was built without a lock: then a count of references is not that of all threads.
FREE_THREADED: Final = "free-threading" in sys.version


class Buffer:
    """C-contiguous elements on another device, which nobody writes to once a node has them.

    There is no way to an array but ``host``: what would copy in silence is an error.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    device : str
    """

    __slots__ = ()
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    device: str

    def apart(self) -> Buffer:
        """The same elements in memory that nobody else has."""
        raise NotImplementedError

    def host(self) -> Array:
        """The elements as an array of NumPy's, which nobody else has."""
        raise NotImplementedError

    base = HOME  # as an array has one that does not own its memory: it is not the host's

    def copy(self) -> Array:
        """The same, as of an array."""
        return self.host()

    def view(self) -> Array:
        """What an array has, and this has not."""
        raise ValueError(ON_DEVICE.format(device=self.device))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        raise TypeError(
            f"a buffer on {self.device!r} becomes an array by host(), and not in silence"
        )

    def __repr__(self) -> str:
        return f"<Buffer {self.dtype.name}{list(self.shape)} on {self.device!r}>"


def host(value: Any) -> Any:
    """The elements of *value*, at home: an array, or several."""
    if value.__class__ is np.ndarray:
        return value
    if isinstance(value, Buffer):
        return value.host()
    return tuple([host(one) for one in value]) if value.__class__ is tuple else value


def place(value: Any, device: str | None) -> Any:
    """*value* on *device*, None for home: itself if it is there."""
    if device is None:
        return host(value)
    if isinstance(value, Buffer) and value.device == device:
        return value
    return ports.memory(device).from_host(np.ascontiguousarray(host(value)).reshape(value.shape))


def named(device: Any) -> str | None:
    """The name of *device* as avals have it: None for home.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    if device is None or device == HOME:
        return None
    text = str(device).removesuffix(":0") if str(device) != HOME + ":0" else HOME
    if text == HOME:
        return None
    ports.memory(text)
    return text


def devices_of(xs: Sequence[Any]) -> set[str | None]:
    """The devices of the nodes among *xs*."""
    return {x.aval.device for x in xs if hasattr(x, "aval")}
