"""``jit(f, device=...)``: the arguments of a function that runs on one device, whatever it is given."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core.memory import named
from nbgrad.core.tree import flatten, unflatten
from nbgrad.core.values import value_of
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


def there(jitted: Any, args: Any, kwargs: Any) -> tuple[Any] | None:
    """The result of a call by arrays alone where the setting ``device`` says, as arrays unless they require grad.

    Tensors, if that is what it returns whatever it is given: it reads some that require grad. None if there are tensors, which say where it runs.
    """
    leaves, _ = flatten((args, kwargs))
    if any(isinstance(x, Tensor) for x in leaves) or not any(map(_is_array, leaves)):
        return None
    args, kwargs = on(str(settings.device), (args, kwargs))
    found = jitted(*args, **kwargs)
    given = {id(x) for x in flatten((args, kwargs))[0]}
    leaves, entry = jitted.traces.find(settings.current, args, kwargs)
    results, structure = flatten(found)
    read = any(isinstance(x, Tensor) and id(x) not in given for x in leaves)
    if entry is None or read or any(isinstance(x, Tensor) and x.requires_grad for x in results):
        return (found,)
    return (unflatten(structure, [_home(x) for x in results]),)


def _home(x: Any) -> Any:
    """A result as an array, or as a scalar of NumPy's."""
    return value_of(x._node)[()] if isinstance(x, Tensor) else x


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind in "biufc"


def _there(x: Any, device: str) -> Any:
    if _is_array(x):
        return tensor(x, device=device)
    return x.to(device=device) if isinstance(x, Tensor) else x
