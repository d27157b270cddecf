"""What a call of a native function is made of: leaves, settings, and the results."""

from __future__ import annotations

from typing import Any

from nbgrad.core.frozen import Value


class Leaf(Value):
    """An array or a number among the arguments: operand *number* of the operation."""

    number: int
    dtype: Any
    ndim: int

    @property
    def inexact(self) -> bool:
        return self.dtype.kind in "fc"


class Records(Value):
    """A structured scalar or array among the arguments: the bytes of its elements are an operand.

    It holds settings: nothing is differentiated by its fields.
    """

    leaf: Leaf
    dtype: Any

    @property
    def ndim(self) -> int:
        return self.leaf.ndim - 1


class Static(Value):
    """An integer or a flag that is no array: known when the operation is recorded."""

    number: int
    code: str  # i8 or b1


class Fixed:
    """Anything else, which the code is made for."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fixed) and (
            self.value is other.value or _same(self.value, other.value)
        )

    def __hash__(self) -> int:
        try:
            return hash((type(self.value), self.value))
        except TypeError:
            return id(self.value)


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and isinstance(a, str | bytes | complex | float) and a == b


class Result(Value):
    """A result: where it is in what the function returns, and what it is."""

    path: str
    dtype: Any
    ndim: int

    @property
    def inexact(self) -> bool:
        return self.dtype.kind in "fc"


class Request(Value):
    """Code that is asked for: of what function, for which arguments, and which derivative.

    ``arguments`` holds for each argument a ``Leaf``, ``Records``, ``Static`` or ``Fixed``, or a pair of a class of
    tuples and its items. ``order`` is the number of nested tangents, of the leaves in ``active``; ``number`` the
    type of active numbers, or of floats where there are none. With ``values`` a reverse sweep is to give the
    values of the function, too, if it can. With ``named`` the floats of all named tuples are active.
    """

    dispatcher: Any
    arguments: tuple[Any, ...]
    leaves: tuple[Leaf, ...]
    statics: tuple[Static, ...]
    results: tuple[Result, ...]
    active: tuple[int, ...]
    order: int
    reverse: bool
    number: Any
    values: bool = False
    named: bool = False

    @property
    def py_func(self) -> Any:
        return self.dispatcher.py_func
