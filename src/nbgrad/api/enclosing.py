"""What encloses a transform: whether its result belongs to a graph of somebody else's."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from nbgrad.core.linearize import Capture
from nbgrad.core.node import Node

# Inputs of inner transforms that have returned: a graph that reaches them alone is nobody's.
finished: weakref.WeakSet[Node] = weakref.WeakSet()
# Places of the nodes that require grad though no operand of theirs does, by structure.
_sources: dict[Any, tuple[int, ...]] = {}
MAX_STRUCTURES = 1024


def belongs_outside(cap: Capture, inner: Sequence[Node]) -> bool:
    """Whether the result must stay on a graph: it depends on tracked or traced values outside."""
    for leaf in cap.leaves:
        if leaf.requires_grad and leaf not in inner and leaf not in finished:
            return True
    sources = _sources.get(cap.key)
    if sources is None:
        if len(_sources) >= MAX_STRUCTURES:
            _sources.clear()
        # A traced input to differentiate by is no leaf, but a recorded node that nothing leads to.
        sources = _sources[cap.key] = tuple(
            k
            for k, (node, operands) in enumerate(zip(cap.nodes, cap.operands, strict=True))
            if node.requires_grad and not _tracked(operands)
        )
    return any(cap.nodes[k] not in inner and cap.nodes[k] not in finished for k in sources)


def _tracked(operands: Sequence[Any]) -> bool:
    return any(x.__class__ is Node and x.requires_grad for x in operands)
