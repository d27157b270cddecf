"""What arrays have besides functions: sizes in bytes, ``flat``, filling and sorting in place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nbgrad.core.lookup import ours
from nbgrad.core.modes import watching
from nbgrad.core.node import Node
from nbgrad.core.values import export, value_of
from nbgrad.tensors.views import ELEMENT
from nbgrad.vocabulary.shapes import reshape
from nbgrad.vocabulary.subscript import getitem


class Buffers:
    """Attributes and methods of NumPy's arrays that Tensor has, too."""

    _node: Node

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._node.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._node.dtype.itemsize * self._node.size

    def tobytes(self, order: Any = "C") -> bytes:
        """The elements as bytes, in the order of memory of *order*."""
        if watching.any:
            export(self._node)
        return value_of(self._node).tobytes(order)

    def astype(
        self: Any,
        dtype: Any,
        order: str = "K",
        casting: Any = "unsafe",
        subok: bool = True,
        copy: bool = True,
    ) -> Any:
        """A copy in *dtype*; the tensor itself if it is of that, unless *copy*."""
        if not copy and self._node.aval.dtype == dtype:
            return self
        if order == "K" and casting == "unsafe":
            return self._astype(dtype)
        return self._astype(dtype, order, casting)

    @property
    def base(self: Any) -> Any:
        """The tensor that this one is a view of; None if it is none, or if that is gone."""
        alias = self._alias
        return alias[0][0]() if alias.__class__ is tuple and alias[3] > ELEMENT else None

    @property
    def flat(self) -> Flat:
        """The elements in one dimension, to iterate over, to read and to write."""
        return Flat(self)

    @flat.setter
    def flat(self, values: Any) -> None:
        self.flat[:] = values

    def fill(self, value: Any) -> None:
        """Replace every element by *value*."""
        self.fill_(value)  # type: ignore[attr-defined]

    def sort(
        self: Any,
        axis: int = -1,
        kind: Any = None,
        order: Any = None,
        *,
        stable: bool | None = None,
    ) -> None:
        """Sort along *axis* in place, as NumPy does; ``np.sort(x)`` makes a sorted copy.

        Examples
        --------
        >>> import nbgrad as ng
        >>> x = ng.tensor([3.0, 1.0, 2.0])
        >>> x.sort()
        >>> x
        tensor([1., 2., 3.])
        """
        self._rebind(ours(np.sort)(self._node, axis, kind, order, stable=stable))

    def partition(
        self: Any, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None
    ) -> None:
        """Put the element *kth* of the sorted order in its place, smaller ones before it."""
        self._rebind(ours(np.partition)(self._node, kth, axis, kind, order))

    def __round__(self: Any, ndigits: int | None = None) -> Any:
        if ndigits is None and not self._node.ndim:
            return round(self._number("round()"))
        return self.__class__(ours(np.round)(self._node, ndigits or 0))

    def __trunc__(self: Any) -> int:
        number: float = self._number("math.trunc()")
        return math.trunc(number)


class Flat:
    """``x.flat``: an iterator over the elements of a tensor that can be indexed.

    Reading makes copies, writing changes the tensor; values repeat if there are too few.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> x.flat[2] = 0.0
    >>> x.flat[:3], [float(e) for e in x.flat]
    (tensor([1., 2., 0.]), [1.0, 2.0, 0.0, 4.0])
    """

    __slots__ = ("_next", "base")

    def __init__(self, base: Any) -> None:
        self.base = base
        self._next = 0

    def __len__(self) -> int:
        return self.base._node.size  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._next >= len(self):
            raise StopIteration
        self._next += 1
        return self[self._next - 1]

    @property
    def index(self) -> int:
        """Place of the next element."""
        return self._next

    @property
    def coords(self) -> tuple[int, ...]:
        """Place of the next element in each dimension."""
        return tuple(map(int, np.unravel_index(self._next, self.base.shape)))

    def __getitem__(self, index: Any) -> Any:
        flat = reshape(self.base._node, (-1,))
        return self.base.__class__(getitem(flat, _known(index)))

    def __setitem__(self, index: Any, values: Any) -> None:
        places = np.arange(len(self))[_known(index)]
        np.put(self.base, places, values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.base, dtype=dtype).reshape(-1)

    def copy(self) -> Any:
        """A copy of the elements in one dimension."""
        return self.base.flatten()


def _known(index: Any) -> Any:
    """The index with numbers and arrays in the place of tensors."""
    node = getattr(index, "_node", None)
    return index if node is None else value_of(node)
