"""``jit(f, device=...)``: the arguments of a function that runs on one device, whatever it is given."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.memory import named
from nbgrad.core.tree import flatten, unflatten
from nbgrad.tensors.creation import tensor
from nbgrad.tensors.tensor import Tensor


def on(device: str, call: tuple[Any, ...]) -> Any:
    """The arguments of *call* with their arrays and tensors on *device*.

    Raises
    ------
    DeviceError
        If there is no such device.
    """
    named(device)
    leaves, structure = flatten(call)
    return unflatten(structure, [_there(x, device) for x in leaves])


def _there(x: Any, device: str) -> Any:
    if isinstance(x, np.ndarray) and x.dtype.kind in "biufc":
        return tensor(x, device=device)
    return x.to(device=device) if isinstance(x, Tensor) else x
