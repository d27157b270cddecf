"""NumPy's functions that read values and give no array: they save them or make a text of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.modes import modes, user_line
from nbgrad.core.values import value_of
from nbgrad.errors import SAVED_WITH_GRAD, AutogradError

# Whether what they make stands for the array later on: a file is read again, and the gradient is
# lost. A text is read by people, as that of print() is, and a tracked tensor may become one.
EXITS: dict[Callable[..., Any], bool] = {
    np.save: True,
    np.savez: True,
    np.savez_compressed: True,
    np.savetxt: True,
    np.array2string: False,
    np.array_repr: False,
    np.array_str: False,
}


def leave(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Call one of :data:`EXITS` with the values of tensors.

    Raises
    ------
    RuntimeError
        If it saves a tensor that requires grad, while gradients are recorded.
    """
    refuses = EXITS[function] and modes.grad

    def plain(x: Any) -> Any:
        kind = x.__class__
        if hasattr(kind, "_node"):
            if refuses and x._node.requires_grad:
                where = user_line()
                raise AutogradError(
                    SAVED_WITH_GRAD.format(name=function.__name__, where=where and f" ({where})")
                )
            return value_of(x._node)
        return kind([plain(item) for item in x]) if kind is tuple or kind is list else x

    given = {key: plain(x) for key, x in kwargs.items()}
    return function(*plain(tuple(args)), **given)
