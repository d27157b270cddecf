"""Looking at values: what computes a node, and who has looked at one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from nbgrad.core.memory import host
from nbgrad.core.modes import modes
from nbgrad.core.ports import compiled, ports

if TYPE_CHECKING:
    from nbgrad.core.node import Node

Array = np.ndarray[Any, Any]


class _Looks:
    """``count`` rises with each value that is looked at: what depends on none can be replayed."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


looks = _Looks()


def export(node: Node) -> None:
    """Note that a user is given the value of *node*, as an array or a number.

    What is made of it is not known to depend on the tensor. It is asked by user-written functions
    alone, so nobody need call this before ``watching.any`` is set.
    """
    if node.aval.inexact:
        modes.exported += 1


def value_of(node: Node) -> Array:
    """Return the elements of *node* at home, computing them if it is pending."""
    looks.count += 1
    if node.value is None and ((twin := compiled.value) is None or twin(node) is None):
        ports.evaluate([node])
    value = node.value
    return value if value.__class__ is ndarray else host(value)


def buffer_of(node: Node) -> Any:
    """Return the elements of *node* where they lie, computing them if it is pending."""
    looks.count += 1
    if node.value is None and ((twin := compiled.value) is None or twin(node) is None):
        ports.evaluate([node])
    return node.value


def known_value(node: Node) -> Array | None:
    """Return the elements of *node* at home if it has some: for checks not worth computing it.

    Those on a device are not asked for: to copy them would cost more than the check is worth.
    """
    looks.count += 1
    value = node.value
    return value if value.__class__ is ndarray else None
