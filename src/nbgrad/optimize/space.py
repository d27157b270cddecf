"""Nested parameters as one vector of float64, as SciPy's solvers take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.api.trees import Unravel, ravel
from nbgrad.core.foreign import numbers_of
from nbgrad.core.tree import LEAF, flatten, unflatten
from nbgrad.tensors.tensor import Tensor

Func = Callable[..., Any]
F8 = np.dtype(np.float64)


class Space:
    """How parameters are nested, and lie in one vector.

    Parameters
    ----------
    x0 : object
        Nested data of arrays and numbers. A number, or a list of such, is an array of one axis, as in SciPy.
    where : str
        Whose argument it is.
    """

    def __init__(self, x0: Any, where: str) -> None:
        self.where = where
        nest = _floats(x0, where)
        self.start: Any
        if nest.__class__ is np.ndarray and nest.ndim == 1 and nest.dtype == F8:
            self.start, self.unravel = nest.copy(), Unravel(LEAF, [(nest.shape, F8)])
        else:
            self.start, unravel = ravel(nest)
            self.unravel = unravel  # type: ignore[assignment]
        if isinstance(self.start, Tensor):
            self.start = self.start.detach()
        shape, dtype = self.unravel.avals[0] if self.unravel.avals else ((), F8)
        one = self.unravel.held is LEAF or self.unravel.held == LEAF
        self.plain = one and len(shape) == 1 and dtype == F8
        self.size = self.unravel.size
        if not self.size:
            raise ValueError(f"{where}: x0 holds no numbers; there is nothing to look for")

    @property
    def x0(self) -> Any:
        """Where to start, as an array."""
        value = self.start.numpy() if isinstance(self.start, Tensor) else self.start
        return np.array(value, F8)

    def nested(self, flat: Any) -> Any:
        """A vector, nested as the parameters are; of an array a copy."""
        if self.plain:
            return flat if isinstance(flat, Tensor) else np.array(flat, F8)
        return self.unravel(flat)

    def packed(self, nest: Any, name: str) -> Any:
        """What is nested as the parameters are, or one vector already, as an array of float64."""
        if isinstance(nest, np.ndarray) and nest.shape == (self.size,) and nest.dtype == F8:
            return nest
        try:
            flat = ravel(_floats(nest, self.where))[0]
        except (TypeError, ValueError) as error:
            raise TypeError(f"{self.where}: {name} is no data of numbers: {error}") from None
        found = np.asarray(flat.numpy() if isinstance(flat, Tensor) else flat, F8)
        if found.shape != (self.size,):
            raise ValueError(
                f"{self.where}: {name} holds {found.size} numbers, and x0 has {self.size}: it must be "
                "nested and shaped as x0, or one vector of all"
            )
        return found

    def filled(self, nest: Any, name: str) -> Any:
        """The same, of which a number stands for all, and None for what is left to *name*."""
        if nest is None or isinstance(nest, (int, float)):
            return np.full(self.size, np.nan if nest is None else float(nest))
        return self.packed(nest, name)

    def over(self, fun: Func) -> Func:
        """*fun* as a function of a vector, and of what else it takes."""
        if self.plain:
            return fun
        unravel = self.unravel

        def flat(x: Any, *args: Any) -> Any:
            return fun(unravel(x), *args)

        return flat


def is_numbers(x: Any) -> bool:
    """Whether *x* is a number, or a list or tuple of numbers alone."""
    if isinstance(x, (int, float, np.number)) and not isinstance(x, bool):
        return True
    return x.__class__ in (list, tuple) and bool(x) and all(map(_is_number, x))


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float, np.number)) or is_numbers(x)


def _floats(nest: Any, where: str) -> Any:
    """*nest*, whose integers are floats: they are to be varied."""
    if nest.__class__ is np.ndarray and nest.dtype.kind == "f":
        return nest
    if is_numbers(nest):
        return np.atleast_1d(np.asarray(numbers_of(nest), float))
    leaves, held = flatten(nest)
    made = []
    for x in leaves:
        array = x if isinstance(x, Tensor) else np.asarray(numbers_of(x))
        kind = array.dtype.kind
        if kind == "c":
            raise TypeError(
                f"{where}: x0 is complex: take real and imaginary parts as parameters of their own"
            )
        if kind not in "biuf":
            raise TypeError(f"{where}: a {type(x).__name__} in x0 is no array of numbers")
        made.append(array if kind == "f" else array.astype(float))
    return unflatten(held, made)
