"""Functions that are compiled if they can be traced, and what they return as numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.api.jit import jit
from nbgrad.core.modes import modes
from nbgrad.errors import ConcretizationError
from nbgrad.tensors.tensor import Tensor

Func = Callable[..., Any]
F8 = np.dtype(np.float64)


class Swept:
    """*eager* by :func:`nbgrad.jit`; as it is, once it asked for a number that a trace has not."""

    __slots__ = ("call", "eager")

    def __init__(self, eager: Func) -> None:
        self.eager = eager
        self.call: Func = jit(eager)

    def __call__(self, *args: Any) -> Any:
        try:
            return self.call(*args)
        except ConcretizationError:
            if modes.tracing or self.call is self.eager:
                raise
            self.call = self.eager
        return self.eager(*args)


def requires_grad(*results: Any) -> bool:
    """Whether one of them has a history."""
    return any(isinstance(x, Tensor) and x.requires_grad for x in results)


def number_of(x: Any) -> Any:
    """A result as a number of NumPy's."""
    found = array_of(x)
    if found.size != 1:
        raise ValueError(f"a function of one value was asked for, and it has shape {found.shape}")
    return found.reshape(())[()]


def array_of(x: Any) -> Any:
    """A result as an array of float64 that nobody else holds."""
    if x.__class__ is np.ndarray and x.dtype is F8:
        return x
    return np.array(x.detach().numpy() if isinstance(x, Tensor) else x, F8)
