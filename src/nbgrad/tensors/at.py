"""``x.at[index]``: JAX's updates of elements, which make a new tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.operands import as_operand
from nbgrad.tensors.protocols import as_index
from nbgrad.vocabulary.elements.ufunc_methods import apply
from nbgrad.vocabulary.shapes import as_node
from nbgrad.vocabulary.subscript import getitem, setitem


class Updates:
    """``x.at``, to be subscripted."""

    __slots__ = ("_tensor",)

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def __getitem__(self, index: Any) -> Update:
        return Update(self._tensor, as_index(index))


def _arithmetic(ufunc: np.ufunc) -> Callable[[Update, Any], Any]:
    def method(self: Update, values: Any) -> Any:
        return self._made(apply(ufunc, "at", [self._node, self._index, as_operand(values)], {}))

    method.__name__ = ufunc.__name__
    method.__doc__ = f"A tensor with ``{ufunc.__name__}`` of the elements and *values* there."
    return method


class Update:
    """One of its methods makes a tensor with the elements at an index changed.

    An element that the index names several times takes each of the values in turn.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([1.0, 2.0])
    >>> x.at[0].set(5.0), x.at[[1, 1]].add(1.0), x.at[:].multiply(2.0)
    (tensor([5., 2.]), tensor([1., 4.]), tensor([2., 4.]))
    """

    __slots__ = ("_index", "_make", "_node")

    def __init__(self, tensor: Any, index: Any) -> None:
        self._make, self._node, self._index = tensor.__class__, tensor._node, index

    def _made(self, node: Node) -> Any:
        return self._make(node)

    def get(self) -> Any:
        """The elements."""
        return self._made(getitem(self._node, self._index))

    def set(self, values: Any) -> Any:
        """A tensor with *values* there."""
        return self._made(setitem(self._node, self._index, as_operand(values)))

    def apply(self, function: Callable[[Any], Any]) -> Any:
        """A tensor with *function* of the elements there."""
        return self.set(as_node(function(self.get())))

    add = _arithmetic(np.add)
    subtract = _arithmetic(np.subtract)
    multiply = mul = _arithmetic(np.multiply)
    divide = _arithmetic(np.divide)
    power = _arithmetic(np.power)
    min = _arithmetic(np.minimum)
    max = _arithmetic(np.maximum)
