"""Windows that a loop reads step by step, wherever they are: ``x[k]`` for each k.

Each is an operation of its own, so each part of a long loop is another structure. What is known of
one serves for all that differ in where their windows begin alone, if these go through the same array
as evenly.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nbgrad.core.frozen import Value
from nbgrad.core.linearize import Capture
from nbgrad.core.node import Node, leaf_node
from nbgrad.core.signature import Signature
from nbgrad.ops.kinds.forms import View

if TYPE_CHECKING:
    from nbgrad.transforms.looped import Sliced

MANY: Final = 1 << 17  # signatures that are remembered
_known: dict[int, tuple[int, int]] = {}  # by number: that of its family, and words of a key
_families: dict[Any, int] = {}


class Windows(Value):
    """Rows of what is at *base*, a captured node or leaf: *slices* are the nodes, step by step."""

    base: int
    slices: tuple[int, ...]
    rows: Sliced
    shape: tuple[int, ...]

    def begin(self, nodes: Sequence[Node]) -> tuple[int, ...] | None:
        """Where they begin; None if they go on in another way than planned."""
        found = [begins(nodes[k].sig) for k in self.slices]
        first, axis = found[0], self.rows.axis
        if first is None:
            return None
        step = self.rows.params["steps"][axis]
        before, after = first[:axis], first[axis + 1 :]
        ends = range(first[axis], first[axis] + step * len(found), step)
        return first if found == [(*before, k, *after) for k in ends] else None

    def node(self, base: Node, nodes: Sequence[Node]) -> Node | None:
        """All of them, one after the other; computed, if what they are windows of is."""
        first = self.begin(nodes)
        if first is None:
            return None
        rows, value = self.rows.moved(first), base.value
        if value.__class__ is not np.ndarray:
            return rows.of(base, self.shape)  # type: ignore[no-any-return]
        if not base.requires_grad:
            return leaf_node(rows.part(value, self.shape))
        made: Node = rows.of(base, self.shape)
        made.value, made.depth = rows.part(value, self.shape), 0
        return made


def begins(sig: Signature | None) -> Any:
    """Where the window that an operation reads begins; None if it reads none."""
    if sig is None or not isinstance(sig.prim.lower, View) or not sig.prim.lower.begins:
        return None
    return sig.params[sig.prim.lower.begins]


def key_without_begins(cap: Capture) -> Any:
    """The key of *cap* without where windows begin; None if there are none."""
    if cap.key.__class__ is not bytes:
        return None
    words = array("q", cap.key).tolist()
    place, some = 0, False
    for k in range(len(cap.nodes)):
        word = words[place]
        found = _known.get(word >> 3)
        if found is None:
            sig = cap.nodes[k].sig
            found = _learn(sig if sig.number == word & -8 else cap.signatures()[k])
        if found[0] != word >> 3:
            words[place] = found[0] << 3 | word & 7
        some = some or found[0] < 0
        place += found[1]
    return array("q", words).tobytes() if some else None


def _learn(sig: Signature) -> tuple[int, int]:
    count = 1 + sum(not isinstance(o, type) for o in sig.operands)
    family = sig.number >> 3
    if begins(sig) is not None:
        others = [p for p in sig.params.items() if p[0] != sig.prim.lower.begins]
        if len(_families) >= MANY:
            _families.clear()
            _known.clear()
        family = _families.setdefault((sig.prim, sig.operands, sig.aval, *others), -family)
    if len(_known) >= MANY:
        _known.clear()
    return _known.setdefault(sig.number >> 3, (family, count))
