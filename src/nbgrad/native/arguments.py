"""The arguments of a call of a user's function, taken apart into operands and settings, and put together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.boxes import is_box, unbox
from nbgrad.core.node import Node, constant
from nbgrad.machine.numba_inside import CPUDispatcher
from nbgrad.native.forms import Fixed, Leaf, Records, Static
from nbgrad.ops.basis import strong


class Arguments:
    """The arguments of a call, taken apart."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.nodes: list[Any] = []
        self.statics: list[Static] = []
        self.values: list[int] = []

    def of(self, x: Any) -> Any:
        """What stands for an argument."""
        kind = x.__class__
        if is_box(kind) or kind is Node:
            return self._leaf(strong(unbox(x) if kind is not Node else x))
        if isinstance(x, bool | np.bool_):
            return self._static("b1", x)
        if isinstance(x, int | np.integer):
            return self._static("i8", x)
        if isinstance(x, float | complex | np.inexact):
            return self._leaf(constant(np.asarray(x)))
        if isinstance(x, np.ndarray) and x.dtype.kind in "biufc":
            return self._leaf(constant(x))
        if isinstance(x, tuple):
            return type(x), tuple([self.of(item) for item in x])
        if isinstance(x, np.ndarray | np.void) and x.dtype.names and not x.dtype.hasobject:
            return self._records(np.asarray(x))
        if (
            x is None
            or isinstance(x, str | bytes | CPUDispatcher)
            or hasattr(x, "__nbgrad_njit__")
        ):
            return Fixed(getattr(x, "dispatcher", x))
        raise TypeError(
            f"njit: an argument of the type {kind.__qualname__} cannot stand beside tensors: pass "
            "arrays, numbers, records of numbers, tuples of such, strings or functions compiled by Numba"
        )

    def _records(self, x: Any) -> Records:
        held = np.frombuffer(x.tobytes(), np.uint8).reshape(*x.shape, x.dtype.itemsize)
        return Records(self._leaf(constant(held)), x.dtype)

    def _leaf(self, node: Any) -> Leaf:
        leaf = Leaf(len(self.leaves), node.aval.dtype, node.aval.ndim)
        self.leaves.append(leaf)
        self.nodes.append(node)
        return leaf

    def _static(self, code: str, x: Any) -> Static:
        static = Static(len(self.statics), code)
        self.statics.append(static)
        self.values.append(int(x))
        return static


def leaves_in(x: Any) -> list[Leaf]:
    """The leaves of what stands for an argument."""
    if isinstance(x, tuple):
        return [leaf for item in x[1] for leaf in leaves_in(item)]
    return [x] if isinstance(x, Leaf) else []


def passed(x: Any, values: Sequence[Any], statics: Sequence[int]) -> Any:
    """An argument as Numba takes it."""
    if isinstance(x, Leaf):
        value = np.array(values[x.number], x.dtype, order="C")
        value.flags.writeable = False
        return value if x.ndim else value[()]
    if isinstance(x, Records):
        held = np.array(values[x.leaf.number], np.uint8, order="C").view(x.dtype)[..., 0]
        held.flags.writeable = False
        return held if x.ndim else held[()]
    if isinstance(x, Static):
        return bool(statics[x.number]) if x.code == "b1" else statics[x.number]
    if isinstance(x, tuple):
        kind, items = x
        inner = [passed(item, values, statics) for item in items]
        return tuple(inner) if kind is tuple else kind(*inner)
    return x.value
