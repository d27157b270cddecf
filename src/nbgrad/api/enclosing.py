"""What encloses a transform: whether its result belongs to a graph of somebody else's."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Sequence
from typing import Any

from nbgrad.core.linearize import Capture
from nbgrad.core.node import Node

# Inputs of inner transforms that have returned: a graph that reaches them alone is nobody's.
finished: weakref.WeakSet[Node] = weakref.WeakSet()
# Places of the nodes that require grad though no operand of theirs does, by structure.
_sources: dict[Any, tuple[int, ...]] = {}
MAX_STRUCTURES = 1024


def belongs_outside(cap: Capture, outs: Sequence[Node], inner: Sequence[Node]) -> bool:
    """Whether *outs* must stay on a graph: they depend on tracked or traced values outside."""
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
    ends = [x for x in cap.leaves if x.requires_grad]
    ends += [cap.nodes[k] for k in sources]
    ends = [x for x in ends if x not in inner and x not in finished]
    return bool(ends) and (not cap.known or _reaches(cap, outs, set(ends)))


def _reaches(cap: Capture, outs: Sequence[Node], ends: Collection[Node]) -> bool:
    """Whether gradients flow from *outs* to one of *ends*: these are not only read detached."""
    index = cap.index
    stack = [n for n in outs if n.requires_grad]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node in ends:
            return True
        k = index.get(node, -1)
        for x in cap.operands[k] if k >= 0 else ():
            if x.__class__ is Node and x.requires_grad and x not in seen:
                seen.add(x)
                stack.append(x)
    return False


def _tracked(operands: Sequence[Any]) -> bool:
    return any(x.__class__ is Node and x.requires_grad for x in operands)
