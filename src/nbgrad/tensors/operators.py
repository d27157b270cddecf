"""Operators of Tensor: each records one primitive; the in-place forms write to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.core.foreign import is_sparse
from nbgrad.core.lazy import LazyModule
from nbgrad.core.node import Node
from nbgrad.core.operands import as_operand
from nbgrad.core.primitive import Primitive, bind
from nbgrad.ops.elements import arithmetic, bitwise, comparison
from nbgrad.tensors import views
from nbgrad.tensors.dispatch import (
    Operator,
    admitted,
    binary,
    of_nodes,
    operand,
    pair,
    reflected,
    static,
    unary,
)
from nbgrad.vocabulary.elements import composite
from nbgrad.vocabulary.linalg import matmul

if TYPE_CHECKING:
    from nbgrad.tensors.tensor import Tensor


def _inplace(function: Callable[..., Node]) -> Operator:
    """In-place operator: a new node takes the place of the tensor's, so nothing saved is overwritten."""
    if isinstance(function, Primitive):
        function, _ = of_nodes(function)

    def method(self: Any, other: Any) -> Any:
        kind = other.__class__
        if kind is not self.__class__ and kind not in _PLAIN:
            if not admitted(other):
                return NotImplemented
            other = operand(other)
        if self._alias is not None and views.scalar(self):
            self._alias = None  # ``a = x[0]; a += 1`` makes another number, as in NumPy
        return self._rebind(function(self._node, as_operand(other)))

    return method


def _bits(of_booleans: Primitive, of_integers: Primitive) -> tuple[Operator, Operator, Operator]:
    """``x & y``, ``y & x`` and ``x &= y``: logic has kernels, operations on integers' bits none."""
    logic, general = binary(of_booleans), binary(of_integers)

    def both_boolean(a: Any, b: Any) -> bool:
        return a.dtype == np.bool_ and (
            b.__class__ is bool or getattr(b, "dtype", None) == np.bool_
        )

    def method(self: Any, other: Any) -> Any:
        return (logic if both_boolean(self, other) else general)(self, other)

    def function(a: Node, b: Any) -> Node:
        return bind(of_booleans if both_boolean(a, b) else of_integers, a, b)  # type: ignore[no-any-return]

    method.__name__, method.__doc__ = of_integers.name, of_integers.doc
    return method, reflected(of_integers), _inplace(function)


sparse = LazyModule("nbgrad.vocabulary.linalg.sparse")
_PLAIN = frozenset({np.ndarray, float, int, bool, complex})

_power = static(composite.power)
_matmul = pair(matmul.matmul)
_not, _invert = unary(comparison.logical_not), unary(bitwise.invert)


class Operators:
    """Operators as NumPy's: of arrays, with a number, an array or a tensor."""

    _node: Node  # of the class that gets this

    __add__ = binary(arithmetic.add)
    __radd__ = binary(arithmetic.add)  # 2.0 + x records the same as x + 2.0
    __sub__ = binary(arithmetic.subtract)
    __rsub__ = reflected(arithmetic.subtract)
    __mul__ = binary(arithmetic.multiply)
    __rmul__ = binary(arithmetic.multiply)
    __truediv__ = binary(arithmetic.divide)
    __rtruediv__ = reflected(arithmetic.divide)
    __floordiv__ = binary(arithmetic.floor_divide)
    __rfloordiv__ = reflected(arithmetic.floor_divide)
    __mod__ = binary(arithmetic.remainder)
    __rmod__ = reflected(arithmetic.remainder)
    __rpow__ = reflected(arithmetic.power)
    __lt__ = binary(comparison.less)
    __le__ = binary(comparison.less_equal)
    __gt__ = binary(comparison.greater)
    __ge__ = binary(comparison.greater_equal)
    __eq__ = binary(comparison.equal)  # type: ignore[assignment]
    __ne__ = binary(comparison.not_equal)  # type: ignore[assignment]
    __and__, __rand__, __iand__ = _bits(comparison.logical_and, bitwise.bitwise_and)
    __or__, __ror__, __ior__ = _bits(comparison.logical_or, bitwise.bitwise_or)
    __xor__, __rxor__, __ixor__ = _bits(comparison.logical_xor, bitwise.bitwise_xor)
    __lshift__ = binary(bitwise.left_shift)
    __rlshift__ = reflected(bitwise.left_shift)
    __ilshift__ = _inplace(bitwise.left_shift)
    __rshift__ = binary(bitwise.right_shift)
    __rrshift__ = reflected(bitwise.right_shift)
    __irshift__ = _inplace(bitwise.right_shift)
    __neg__ = unary(arithmetic.negative)
    __pos__ = unary(arithmetic.positive)
    __abs__ = unary(arithmetic.absolute)
    __iadd__ = _inplace(arithmetic.add)
    __isub__ = _inplace(arithmetic.subtract)
    __imul__ = _inplace(arithmetic.multiply)
    __itruediv__ = _inplace(arithmetic.divide)
    __ifloordiv__ = _inplace(arithmetic.floor_divide)
    __imod__ = _inplace(arithmetic.remainder)
    __ipow__ = _inplace(composite.power)
    __imatmul__ = _inplace(matmul.matmul)

    __hash__ = object.__hash__

    def __invert__(self) -> Tensor:
        return (_not if self._node.dtype == np.bool_ else _invert)(self)

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return other // self, other % self

    def __pow__(self: Any, other: Any) -> Tensor:
        if other.__class__ in (float, int):
            return _power(self, other)
        if not admitted(other):
            return NotImplemented
        made: Tensor = self.__class__(composite.power(self._node, as_operand(operand(other))))
        return made

    def __matmul__(self: Any, other: Any) -> Tensor:
        kind = other.__class__
        if kind is self.__class__:
            node = _matmul(self._node, other._node)
        elif kind is np.ndarray:
            node = _matmul(self._node, as_operand(other))
        elif is_sparse(kind):
            node = sparse.with_sparse(other, self._node, left=False)
        elif admitted(other):
            node = _matmul(self._node, as_operand(operand(other)))
        else:
            return NotImplemented
        made: Tensor = self.__class__(node)
        return made

    def __rmatmul__(self: Any, other: Any) -> Tensor:
        if is_sparse(other.__class__):
            return self.__class__(sparse.with_sparse(other, self._node, left=True))  # type: ignore[no-any-return]
        if not admitted(other):
            return NotImplemented
        made: Tensor = self.__class__(matmul.matmul(as_operand(operand(other)), self._node))
        return made
