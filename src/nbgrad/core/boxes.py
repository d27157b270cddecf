"""Boxes: a tensor wraps a node, and below ``tensors`` nobody but this file knows how."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from nbgrad.core.ports import ports

if TYPE_CHECKING:
    from nbgrad.core.node import Node

Tensor: TypeAlias = Any  # for annotations below the class
unbox = attrgetter("_node")  # the node of a tensor


def is_box(kind: type) -> bool:
    """Whether *kind* is a class of tensors.

    Asked of the class: a container of another library may pass the question on to its contents.
    """
    return hasattr(kind, "_node")


def box(node: Node) -> Any:
    """A tensor that names *node*."""
    return ports.tensor(node)


def nested(x: Any, one: Callable[[Any], Any]) -> Any:
    """*x* with *one* of each item if it is a tuple or a list, named or not; else as it is."""
    if not isinstance(x, (tuple, list)):
        return x
    items = [one(item) for item in x]
    named = getattr(x, "_make", None)  # a named tuple, such as the result of eigh
    return named(items) if named is not None else type(x)(items)
