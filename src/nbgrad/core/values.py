"""Looking at values: what computes a node, and who has looked at one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

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
    """Return the buffer of *node*, computing it if it is pending."""
    looks.count += 1
    if node.value is None and ((twin := compiled.value) is None or twin(node) is None):
        ports.evaluate([node])
    return node.value  # type: ignore[no-any-return]


def known_value(node: Node) -> Array | None:
    """Return the buffer of *node* if it has one: for checks that are not worth computing it."""
    looks.count += 1
    return node.value  # type: ignore[no-any-return]
