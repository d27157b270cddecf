"""Making nodes: one operation whose operands are prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbgrad.core.modes import lines, modes, not_recording, user_line
from nbgrad.core.node import Node, new_node

if TYPE_CHECKING:
    from nbgrad.core.signature import Signature
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def record(sig: Signature, xs: tuple[Any, ...]) -> Node:
    """Make the node of an operation whose operands are already prepared."""
    requires_grad = False
    depth = 0
    for x in xs:
        if x.__class__ is Node:
            if x.requires_grad:
                requires_grad = True
            if x.depth > depth:
                depth = x.depth
    if requires_grad:
        requires_grad = sig.differentiable and (not not_recording or modes.grad)
    node = new_node(sig, sig.aval, xs, requires_grad, depth + 1)
    if lines.on:
        node.line = user_line()
        if modes.recorded is not None:
            modes.recorded(node)
        if modes.saved is not None:
            modes.saved(node)
    return node
