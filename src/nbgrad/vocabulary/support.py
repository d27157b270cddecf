"""What the functions of this folder share: arguments looked at by value, and users' callables."""

from __future__ import annotations

from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core.boxes import box, is_box, nested, unbox
from nbgrad.core.memory import named
from nbgrad.core.node import Node, NoNumbersError, constant, leaf_node
from nbgrad.core.operands import holds_node
from nbgrad.core.placing import moved
from nbgrad.core.values import value_of
from nbgrad.ops.basis import strong

Array = np.ndarray[Any, Any]
NATIVE = frozenset(map(np.dtype, "?bhilqBHILQefdFD"))


def concrete(x: Any) -> Array:
    """The value of *x* as an array: where a result's shape or place depends on it.

    Raises ConcretizationError while nbgrad.jit traces *x*.
    """
    if x.__class__ is Node:
        return value_of(x)
    if isinstance(x, (list, tuple)):
        return np.asarray([concrete(item) if holds_node(item) else item for item in x])
    return value_of(unbox(x)) if is_box(x.__class__) else np.asarray(x)


def held(array: Any) -> Node:
    """A node that holds an array which nobody else writes to, where the setting ``device`` says."""
    if settings.device is not None:
        return moved(constant(array), named(settings.device))
    if array.__class__ is not np.ndarray or not array.flags.c_contiguous:
        array = np.array(array, order="C")
    node = leaf_node(array)
    if node.aval.dtype is array.dtype:  # NumPy's own object, of numbers in native byte order
        return node
    if array.dtype in NATIVE:
        return leaf_node(array)
    if array.dtype.kind not in "biufc":
        raise NoNumbersError(f"nbgrad holds numbers and booleans, not {array.dtype}")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return leaf_node(array)


def boxed(x: Any) -> Any:
    """Return nodes as tensors, those in tuples and lists too: what functions of users are given."""
    if x.__class__ is Node:
        return box(strong(x) if x.aval.weak else x)
    return nested(x, boxed)


def integers(x: Any) -> Any:
    """An integer array as it is, a node too; lists become arrays."""
    return x if x.__class__ is Node else np.asarray(x)


MAX_REPEATS = 10_000


def repeats(name: str, what: str, n: Any) -> int:
    """The setting *n*, which says how many operations are recorded.

    Raises
    ------
    ValueError
        For more of them than anyone can mean, which would take memory and time without end.
    """
    count = index(n)
    if count > MAX_REPEATS:
        raise ValueError(
            f"{name}: {what} is {count}, and as many operations would be recorded; it can be at "
            f"most {MAX_REPEATS}"
        )
    return count


Function = Callable[..., Any]
