"""What the functions of this folder share: arguments looked at by value, and users' callables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.node import Node, leaf_node
from nbgrad.engine import value_of
from nbgrad.ops.shaping import holds_node

Array = np.ndarray[Any, Any]


def concrete(x: Any) -> Array:
    """The value of *x* as an array: where a result's shape or place depends on it.

    Raises ConcretizationError while nbgrad.jit traces *x*.
    """
    if x.__class__ is Node:
        return value_of(x)
    if isinstance(x, (list, tuple)):
        return np.asarray([concrete(item) if holds_node(item) else item for item in x])
    return np.asarray(x)


def held(array: Any) -> Node:
    """A node that holds an array which nobody else writes to."""
    return leaf_node(np.ascontiguousarray(array) if np.ndim(array) else np.array(array))


def integers(x: Any) -> Any:
    """An integer array as it is, a node too; lists become arrays."""
    return x if x.__class__ is Node else np.asarray(x)


Function = Callable[..., Any]
