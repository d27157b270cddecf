"""Placeholders in the place of tensors from outside, while a function that reads them is traced.

The parameters of a model are attributes of its object, and not arguments of the method that is
compiled. They are inputs of its trace all the same: for as long as it takes to trace, each of them
names a placeholder. What another thread records on one meanwhile is right, too, once the trace is
made: the placeholder is then a copy of what it stood for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nbgrad.core.modes import modes, unrecorded
from nbgrad.core.node import Node, placeholder
from nbgrad.core.standing import standing
from nbgrad.ops.elements import arithmetic
from nbgrad.tensors.tensor import Tensor


@contextmanager
def stand_ins(tensors: Sequence[Tensor]) -> Iterator[list[Node]]:
    """Let each of *tensors* name a placeholder; the caller has its turn."""
    nodes = [t._node for t in tensors]
    placed = [placeholder(node.aval, node.requires_grad) for node in nodes]
    for node in placed:
        node.line = "a tensor that the function reads from outside"
    standing.update(dict.fromkeys(placed, threading.get_ident()))
    try:
        for t, node in zip(tensors, placed, strict=True):
            t._node = node
        yield placed
    finally:
        for t, node, stood in zip(tensors, nodes, placed, strict=True):
            if t._node is stood:  # else another thread has written it
                t._node = node
            _copied(stood, node)
            del standing[stood]


def _copied(stood: Node, node: Node) -> None:
    """Make a copy of *node* of what stood for it."""
    before, modes.grad = modes.grad, True
    try:
        with unrecorded():
            copy = arithmetic.positive(node)
    finally:
        modes.grad = before
    stood.sig, stood.inputs, stood.depth, stood.line = copy.sig, copy.inputs, copy.depth, None
