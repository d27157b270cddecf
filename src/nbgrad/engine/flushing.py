"""Evaluating long chains of pending nodes, so that a loop that reads nothing does not pile up.

A loop records the same operations in each of its steps. Cut anywhere, one long chain after another
would be a new structure, to be planned anew. So a cut is made where the operations begin to repeat:
then the next chain is the same program with other numbers.
"""

from __future__ import annotations

import gc
from array import array
from collections.abc import Sequence
from typing import Any

from nbgrad.config import settings
from nbgrad.core.collector import age
from nbgrad.core.frozen import Value
from nbgrad.core.linearize import Capture, capture
from nbgrad.core.modes import modes
from nbgrad.core.node import Node
from nbgrad.engine.demand import demand, kept
from nbgrad.engine.folding import Fold, allowed, fits, fold, fold_of, look_ahead
from nbgrad.engine.programs import ProgramCache
from nbgrad.engine.tiers import expect_recording
from nbgrad.engine.windows import key_without_begins


class Cut(Value):
    """Which of the captured nodes to compute, and the depths of those that then stay pending.

    ``fold`` is the loop that may stand for some of them, ``folded`` the depths of the others then.
    """

    frontier: tuple[int, ...]
    depths: tuple[tuple[int, int], ...]
    fold: Fold | None
    folded: tuple[tuple[int, int], ...]


cuts = ProgramCache(capacity=64)


def flush(node: Node) -> None:
    """Evaluate most of the chain that ends at *node*, with all that others hold of it.

    While a function is traced there is nothing to compute, and what is short in truth, because its
    beginning has been computed since its depth was counted, can wait: those only count anew.
    """
    if modes.tracing:
        node.depth = 0
        return
    cap = capture([node])
    if not cap.known:
        node.depth = 0
        return
    cut = _known(cap)
    if cut.fold is not None and allowed(cap) and (finals := fold(cap, cut.fold)):
        demand([*finals, *[cap.nodes[k] for k in cut.fold.held if k >= 0]])
        for k, depth in cut.folded:
            cap.nodes[k].depth = depth
        look_ahead(cap, cut.fold)
        expect_recording(cut.fold.met[0] * len(cut.fold.inside))
        return
    if cut.frontier:
        demand([cap.nodes[k] for k in cut.frontier])
    if node.requires_grad and gc.isenabled():
        age()
    for k, depth in cut.depths:
        if cap.nodes[k].value is None:
            cap.nodes[k].depth = depth


def _known(cap: Capture) -> Cut:
    """The cut of a structure; or of one that differs in where windows begin alone, as ``x[k]`` do."""
    limit = settings.max_pending
    key: Any = (cap.key, cap.noted, limit)
    alike = None if key in cuts.slots else key_without_begins(cap)
    if alike is not None:
        slot = cuts.slots.get((alike, cap.noted, limit))
        if slot is not None and fits(cap, slot.entry.fold):
            slot.used = True
            found: Cut = slot.entry
            return found
    cut = cuts.find(key, _cut, cap)
    if alike is not None and cut.fold is not None:
        cuts.find((alike, cap.noted, limit), lambda: cut)
    return cut


def _cut(cap: Capture) -> Cut:
    order = cap.order()
    depths = _depths(cap, order, frozenset())
    if depths[0] <= settings.max_pending // 2:
        return Cut((), tuple(depths.items()), None, ())
    sigs = cap.signatures()
    end = _repeating([sigs[k].number for k in order])
    inside, index = set(order[:end]), cap.index
    read = {0} | {index[x] for k in order[end:] for x in cap.operands[k] if x.__class__ is Node}
    outside = read.union(array("q", cap.noted)) & inside
    frontier = kept(cap, array("q", sorted(outside)).tobytes())
    loop = fold_of(cap)
    gone = set() if loop is None else {*loop.inside, *loop.held}
    folded = tuple(_depths(cap, order, gone).items())
    return Cut(frontier, tuple(_depths(cap, order, inside).items()), loop, folded)


def _depths(
    cap: Capture, order: Sequence[int], computed: set[int] | frozenset[int]
) -> dict[int, int]:
    """The length of the longest chain of pending nodes that ends at each node not in *computed*."""
    index: dict[Node, int] = cap.index
    found: dict[int, int] = {}
    for k in order:
        if k not in computed:
            reads = [found.get(index[x], 0) for x in cap.operands[k] if x.__class__ is Node]
            found[k] = 1 + max(reads, default=0)
    return found


def _repeating(items: Sequence[Any]) -> int:
    """Where to cut a sequence: behind as many whole periods as it has, else at its end.

    What comes before the loop, and the last steps, of which only a part leads to the node, may be
    of another kind: the period is that of the middle, and is followed to both sides.
    """
    n = len(items)
    middle = items[n // 4 : n - n // 4]
    period = _period(middle)
    if 2 * period > len(middle):
        return n
    first = last = n // 4
    while first > 0 and items[first - 1] == items[first - 1 + period]:
        first -= 1
    while last + period < n and items[last] == items[last + period]:
        last += 1
    return first + (last + period - first) // period * period


def _period(items: Sequence[Any]) -> int:
    """The smallest shift under which *items* agree with themselves (Knuth, Morris, Pratt 1977)."""
    border = [0] * len(items)
    k = 0
    for i in range(1, len(items)):
        while k and items[i] != items[k]:
            k = border[k - 1]
        k += items[i] == items[k]
        border[i] = k
    return len(items) - border[-1] if items else 1
