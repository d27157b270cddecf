"""Boxes: a tensor wraps a node, and below ``tensors`` nobody but this file knows how."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from nbgrad.core.ports import ports

if TYPE_CHECKING:
    from nbgrad.core.node import Node

unbox = attrgetter("_node")  # the node of a tensor


def is_box(kind: type) -> bool:
    """Whether *kind* is a class of tensors.

    Asked of the class: a container of another library may pass the question on to its contents.
    """
    return hasattr(kind, "_node")


def box(node: Node) -> Any:
    """A tensor that names *node*."""
    return ports.tensor(node)
