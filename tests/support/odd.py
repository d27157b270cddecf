"""Arguments that are not what they look like: subclasses, layouts, dtypes, scalars."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

import nbgrad as ng


class Subclass(np.ndarray):
    pass


class Liar(np.ndarray):
    shape = property(lambda self: (10**9,))  # type: ignore[assignment]
    dtype = property(lambda self: np.dtype(np.int8))  # type: ignore[assignment]


class Float(float):
    pass


class Double(np.float64):
    pass


class Integer(int):
    pass


class Derived(ng.Tensor):
    __slots__ = ()


def subclassed(a: Any, kind: Any = Subclass) -> Any:
    return np.asarray(a).view(kind)


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a: np.ndarray) -> np.ndarray:
    out = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


def mapped(a: np.ndarray, folder: Path) -> Any:
    if not a.size:
        return a
    name = f"{a.dtype.str[1:]}.{'x'.join(map(str, a.shape))}"
    out = np.memmap(folder / name, a.dtype, "w+", shape=a.shape or (1,))
    out[...] = a
    return out if a.shape else out.reshape(())


def field(a: np.ndarray) -> Any:
    records = np.zeros(a.shape, [("skip", "i1"), ("value", a.dtype)])
    records["value"] = a
    return records["value"]


def strided(a: np.ndarray) -> np.ndarray:
    return np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a


def with_metadata(a: np.ndarray) -> np.ndarray:
    return a.astype(np.dtype(a.dtype, metadata={"unit": "m"}))


def forms(folder: Path) -> dict[str, Any]:
    """What can be done to an array that leaves its numbers as they are."""
    return {
        "plain": lambda a: a,
        "subclass": subclassed,
        "liar": lambda a: subclassed(a, Liar),
        "recarray": lambda a: a.view(np.recarray),
        "memmap": lambda a: mapped(a, folder),
        "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder(">")),
        "metadata": with_metadata,
        "unpickled": lambda a: pickle.loads(pickle.dumps(a)),
        "read-only": read_only,
        "unaligned": unaligned,
        "backwards": lambda a: a[..., ::-1] if a.ndim else a,
        "strided": strided,
        "transposed": lambda a: a.T,
        "Fortran": np.asfortranarray,
        "field": field,
        "repeated": lambda a: np.broadcast_to(a, (2, *a.shape)),
        "empty": lambda a: a[:0] if a.ndim else a,
        "scalar": lambda a: a.reshape(-1)[0] if a.size else a,
        "tensor": ng.tensor,
        "tensor subclass": lambda a: Derived(ng.tensor(a)._node),
    }
