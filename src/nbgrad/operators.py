"""Operators of Tensor: each records one primitive; the in-place forms bind the tensor anew.

Recording is the hot path of eager code, so the common case is written out in :func:`_binary`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.modes import lines, modes
from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive, as_operand, bind
from nbgrad.engine import flush
from nbgrad.ops import arithmetic, comparison, composite

_FAST_ENTRIES = 4096
_OPERANDS = (float, int, bool, complex, np.ndarray, np.generic, list, tuple)

Method = Callable[[Any, Any], Any]


def _binary(prim: Primitive) -> Method:
    """Operator method of a two-operand primitive.

    Operands that need no cast and no broadcast are recorded here, the rest in ``bind``: each call
    saved is about 60 ns.
    """
    fast: dict[Any, Any] = {}

    def method(self: Any, other: Any) -> Any:
        tensor = self.__class__
        a = self._node
        if other.__class__ is tensor:
            b = other._node
            sig = fast.get((a.aval, b.aval))
            if sig is None:
                return tensor(_slow(prim, fast, a, b))
            requires_grad = a.requires_grad or b.requires_grad
            depth = (a.depth if a.depth > b.depth else b.depth) + 1
        elif other.__class__ is float:
            b = other
            sig = fast.get((a.aval, float))
            if sig is None:
                return tensor(_slow(prim, fast, a, b))
            requires_grad = a.requires_grad
            depth = a.depth + 1
        elif isinstance(other, _OPERANDS):
            return tensor(bind(prim, a, other))
        else:
            return NotImplemented
        if requires_grad:
            requires_grad = sig.differentiable and modes.grad
        if lines.on:
            return tensor(bind(prim, a, b))
        node = Node(sig, (a, b), requires_grad, depth)
        if not depth & 255:
            flush(node)
        return tensor(node)

    return _named(method, prim)


def _slow(prim: Primitive, fast: dict[Any, Any], a: Node, b: Any) -> Node:
    """Bind with casts and broadcasts; remember the signature when none was needed."""
    node: Node = bind(prim, a, b)
    if node.inputs and node.inputs[0] is a and node.inputs[1] is b:
        if len(fast) >= _FAST_ENTRIES:
            fast.clear()
        fast[(a.aval, b.aval if b.__class__ is Node else b.__class__)] = node.sig
    if not node.depth & 255:
        flush(node)
    return node


def _named(method: Method, prim: Any) -> Method:
    method.__name__ = prim.name
    method.__doc__ = prim.doc
    return method


def _reflected(prim: Primitive) -> Method:
    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, _OPERANDS):
            return NotImplemented
        return self.__class__(bind(prim, other, self._node))

    return _named(method, prim)


def _commuted(prim: Primitive) -> Method:
    """Reflected form of a commutative operator: ``2.0 * x`` records the same as ``x * 2.0``."""
    forward = _binary(prim)

    def method(self: Any, other: Any) -> Any:
        return forward(self, other)

    return _named(method, prim)


def _unary(prim: Primitive) -> Callable[[Any], Any]:
    def method(self: Any) -> Any:
        return self.__class__(bind(prim, self._node))

    return _named(method, prim)  # type: ignore[arg-type, return-value]


def _inplace(function: Callable[..., Node]) -> Method:
    """In-place operator: binds the tensor to a new node, so nothing saved is overwritten."""

    def method(self: Any, other: Any) -> Any:
        return self._rebind(function(self._node, as_operand(other)))

    return method


class Operators:
    """The operators of Tensor, as NumPy's: of arrays, with a number, an array or a tensor."""

    __slots__ = ()

    _node: Node

    __add__ = _binary(arithmetic.add)
    __radd__ = _commuted(arithmetic.add)
    __sub__ = _binary(arithmetic.subtract)
    __rsub__ = _reflected(arithmetic.subtract)
    __mul__ = _binary(arithmetic.multiply)
    __rmul__ = _commuted(arithmetic.multiply)
    __truediv__ = _binary(arithmetic.divide)
    __rtruediv__ = _reflected(arithmetic.divide)
    __floordiv__ = _binary(arithmetic.floor_divide)
    __rfloordiv__ = _reflected(arithmetic.floor_divide)
    __mod__ = _binary(arithmetic.remainder)
    __rmod__ = _reflected(arithmetic.remainder)
    __rpow__ = _reflected(arithmetic.power)
    __lt__ = _binary(comparison.less)
    __le__ = _binary(comparison.less_equal)
    __gt__ = _binary(comparison.greater)
    __ge__ = _binary(comparison.greater_equal)
    __eq__ = _binary(comparison.equal)  # type: ignore[assignment]
    __ne__ = _binary(comparison.not_equal)  # type: ignore[assignment]
    __and__ = _binary(comparison.logical_and)
    __or__ = _binary(comparison.logical_or)
    __xor__ = _binary(comparison.logical_xor)
    __neg__ = _unary(arithmetic.negative)
    __pos__ = _unary(arithmetic.positive)
    __abs__ = _unary(arithmetic.absolute)
    __invert__ = _unary(comparison.logical_not)
    __iadd__ = _inplace(arithmetic.add)
    __isub__ = _inplace(arithmetic.subtract)
    __imul__ = _inplace(arithmetic.multiply)
    __itruediv__ = _inplace(arithmetic.divide)
    __ifloordiv__ = _inplace(arithmetic.floor_divide)
    __imod__ = _inplace(arithmetic.remainder)
    __ipow__ = _inplace(composite.power)

    __hash__ = object.__hash__

    def __pow__(self, other: Any) -> Any:
        return self.__class__(composite.power(self._node, as_operand(other)))  # type: ignore[call-arg]

    def __matmul__(self, other: Any) -> Any:
        return self.__class__(composite.matmul(self._node, as_operand(other)))  # type: ignore[call-arg]

    def __rmatmul__(self, other: Any) -> Any:
        return self.__class__(composite.matmul(as_operand(other), self._node))  # type: ignore[call-arg]

    def _rebind(self, node: Node) -> Any:
        raise NotImplementedError("Tensor defines how it is bound to a new node")
