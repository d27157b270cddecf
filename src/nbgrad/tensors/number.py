"""Arguments of a function being traced that are numbers, whose values are not known yet."""

from __future__ import annotations

from typing import Any

from nbgrad.core.node import Node
from nbgrad.ops.basis import strong
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
        found = super().__array_ufunc__(ufunc, method, *inputs, **kwargs)
        if isinstance(found, tuple):
            return tuple(as_array(y) for y in found)
        return as_array(found)


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
    return Tensor(strong(x._node)) if isinstance(x, Number) else x
