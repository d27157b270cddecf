"""Arguments of a function being traced that are numbers, whose values are not known yet."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.boxes import nested
from nbgrad.core.node import Node
from nbgrad.ops.basis import cast, strong
from nbgrad.tensors.tensor import Tensor


class Scalar(Tensor):
    """A 0-d tensor that stands for NumPy's scalar.

    It cannot be changed: an operator in place binds the name anew, and no other name of it.
    """

    __slots__ = ()

    def __new__(cls, node: Node) -> Any:
        return Tensor(node) if node.aval.ndim else object.__new__(cls)

    def __iadd__(self, other: Any) -> Any:
        return self + other

    def __isub__(self, other: Any) -> Any:
        return self - other

    def __imul__(self, other: Any) -> Any:
        return self * other

    def __itruediv__(self, other: Any) -> Any:
        return self / other

    def __ifloordiv__(self, other: Any) -> Any:
        return self // other

    def __imod__(self, other: Any) -> Any:
        return self % other

    def __ipow__(self, other: Any) -> Any:
        return self**other


class Number(Scalar):
    """A 0-d tensor that promotes as Python's numbers do (NEP 50): beside arrays it takes their dtype.

    Operators on numbers give numbers, as Python's do; NumPy's functions of them give scalars.
    """

    __slots__ = ()

    def __new__(cls, node: Node) -> Any:
        if node.aval.weak:
            return object.__new__(cls)
        return Tensor(node) if node.aval.ndim else Scalar(node)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _as_arrays(super().__array_ufunc__(ufunc, method, *inputs, **kwargs))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func in (np.real, np.imag) and args and isinstance(args[0], Number):
            return getattr(args[0], func.__name__)  # which is all that they do
        return _as_arrays(super().__array_function__(func, types, args, kwargs))

    def _part(self, function: Any) -> Any:
        node = super()._part(function)._node
        return Number(cast(node, dtype=node.dtype, weak=True))


class Whole(Number):
    """A number made of an integer, which may be asked for its value where no number is computed."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(self.item())  # as a key: not known while tracing

    def __repr__(self) -> str:
        return repr(self.item())

    def __str__(self) -> str:
        return str(self.item())


def as_array(x: Any) -> Any:
    """*x*, as an array to promotion if it is a number."""
    return Tensor(strong(x._node)) if isinstance(x, Tensor) and x._node.aval.weak else x


def _as_arrays(found: Any) -> Any:
    return nested(found, as_array) if isinstance(found, (tuple, list)) else as_array(found)
