"""Operators of Tensor: each records one primitive; the in-place forms bind the tensor anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive, as_operand, bind
from nbgrad.ops import arithmetic, comparison, composite, products
from nbgrad.recording import OPERANDS, Method, binary, pair, static, unary


def _reflected(prim: Primitive) -> Method:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, OPERANDS):
            return NotImplemented
        return self.__class__(bind(prim, other, self._node))

    return method


def _inplace(function: Callable[..., Node]) -> Method:
    """In-place operator: binds the tensor to a new node, so nothing saved is overwritten."""

    def method(self: Any, other: Any) -> Any:
        return self._rebind(function(self._node, as_operand(other)))

    return method


_power = static(composite.power)
_matmul = pair(products.matmul)


class Operators:
    """The operators of Tensor, as NumPy's: of arrays, with a number, an array or a tensor."""

    __slots__ = ()

    _node: Node

    __add__ = binary(arithmetic.add)
    __radd__ = binary(arithmetic.add)  # 2.0 + x records the same as x + 2.0
    __sub__ = binary(arithmetic.subtract)
    __rsub__ = _reflected(arithmetic.subtract)
    __mul__ = binary(arithmetic.multiply)
    __rmul__ = binary(arithmetic.multiply)
    __truediv__ = binary(arithmetic.divide)
    __rtruediv__ = _reflected(arithmetic.divide)
    __floordiv__ = binary(arithmetic.floor_divide)
    __rfloordiv__ = _reflected(arithmetic.floor_divide)
    __mod__ = binary(arithmetic.remainder)
    __rmod__ = _reflected(arithmetic.remainder)
    __rpow__ = _reflected(arithmetic.power)
    __lt__ = binary(comparison.less)
    __le__ = binary(comparison.less_equal)
    __gt__ = binary(comparison.greater)
    __ge__ = binary(comparison.greater_equal)
    __eq__ = binary(comparison.equal)  # type: ignore[assignment]
    __ne__ = binary(comparison.not_equal)  # type: ignore[assignment]
    __and__ = binary(comparison.logical_and)
    __or__ = binary(comparison.logical_or)
    __xor__ = binary(comparison.logical_xor)
    __neg__ = unary(arithmetic.negative)
    __pos__ = unary(arithmetic.positive)
    __abs__ = unary(arithmetic.absolute)
    __invert__ = unary(comparison.logical_not)
    __iadd__ = _inplace(arithmetic.add)
    __isub__ = _inplace(arithmetic.subtract)
    __imul__ = _inplace(arithmetic.multiply)
    __itruediv__ = _inplace(arithmetic.divide)
    __ifloordiv__ = _inplace(arithmetic.floor_divide)
    __imod__ = _inplace(arithmetic.remainder)
    __ipow__ = _inplace(composite.power)

    __hash__ = object.__hash__

    def __pow__(self, other: Any) -> Any:
        if other.__class__ in (float, int):
            return _power(self, other)
        return self.__class__(composite.power(self._node, as_operand(other)))  # type: ignore[call-arg]

    def __matmul__(self, other: Any) -> Any:
        return self.__class__(_matmul(self._node, as_operand(other)))  # type: ignore[call-arg]

    def __rmatmul__(self, other: Any) -> Any:
        return self.__class__(products.matmul(as_operand(other), self._node))  # type: ignore[call-arg]

    def _rebind(self, node: Node) -> Any:
        raise NotImplementedError("Tensor defines how it is bound to a new node")
