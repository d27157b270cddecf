"""Chains: the operations that make a view of what it is a view of, and how they are undone.

A chain is a tuple of signatures of operations of one operand, from the base to the view. Applied to a
node it makes the view; backwards it puts a view's new value into the base.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.node import Node, constant
from nbgrad.core.record import record
from nbgrad.core.registry import views
from nbgrad.ops import basis
from nbgrad.ops.arrays import indexing
from nbgrad.tensors.dispatch import pair

Chain = tuple[Any, ...]


class Positions:
    """A view given by the places of its elements: what a long chain of views becomes."""

    def __init__(self, source: Aval, chain: Chain) -> None:
        self.source = source
        strides = strides_of(source, chain)
        self.strides = strides
        places = np.arange(source.size).reshape(source.shape)
        for sig in chain:
            places = sig.prim.evaluate(places, **sig.params)
        self.shape, self.places = places.shape, constant(places.reshape(-1))

    def view(self, x: Node) -> Node:
        flat = basis.reshape(x, shape=(x.size,))
        taken: Node = basis.reshape(indexing.take(flat, self.places), shape=self.shape)
        return taken

    def put(self, x: Node, y: Node) -> Node:
        flat, values = (basis.reshape(n, shape=(n.size,)) for n in (x, y))
        whole: Node = basis.reshape(indexing.put(flat, self.places, values), shape=x.shape)
        return whole


def viewed(node: Node, chain: Chain) -> Node:
    for sig in chain:
        node = sig.view(node) if sig.__class__ is Positions else record(sig, (node,))
    return node


def _scattered(node: Node, value: Node, chain: Chain) -> Node:
    """*node* with *value* in the place of what *chain* makes of it."""
    olds = [node]
    reads = [
        k for k, sig in enumerate(chain) if sig.__class__ is Positions or views[sig.prim].reads
    ]
    for sig in chain[: max(reads, default=0)]:
        olds.append(viewed(olds[-1], (sig,)))
    for k in range(len(chain) - 1, -1, -1):
        sig = chain[k]
        if sig.__class__ is Positions:
            value = sig.put(olds[k], value)
        else:
            old = olds[k] if k < len(olds) else sig.operands[0]
            value = views[sig.prim].put(old, value, sig.params)
    return value


scattered = pair(_scattered)


def writable(chain: Chain) -> bool:
    """Whether each element of the view is another one of the base."""
    return all(sig.__class__ is Positions or views[sig.prim].writable for sig in chain)


def strides_of(aval: Aval, chain: Chain) -> tuple[int, ...] | None:
    """Strides of a view of contiguous memory, in elements; None if NumPy would have copied."""
    shape: tuple[int, ...] = aval.shape
    strides: tuple[int, ...] | None = tuple(
        int(np.prod(shape[k + 1 :], dtype=int)) for k in range(len(shape))
    )
    for sig in chain:
        if strides is None:
            return None
        if sig.__class__ is Positions:
            shape, strides = sig.shape, sig.strides
        else:
            strides = views[sig.prim].strides(shape, strides, sig.params)
            shape = sig.aval.shape
    return strides


def source_of(chain: Chain) -> Aval:
    first = chain[0]
    return first.source if first.__class__ is Positions else first.operands[0]


def shortened(chain: Chain) -> Chain:
    """The same view by positions, from where the dtype last changes."""
    start = 0
    for k, sig in enumerate(chain):
        if sig.__class__ is Positions or sig.aval.dtype != sig.operands[0].dtype:
            start = k + 1
    tail = chain[start:]
    return (*chain[:start], Positions(source_of(tail), tail)) if writable(tail) else chain
