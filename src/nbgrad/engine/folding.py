"""A long loop that nobody reads, recorded as one operation while it goes on.

A chain of pending nodes that is evaluated stays on the graph, as the way back needs it: a quarter of
a kilobyte an operation. Where its operations are steps of a loop, they are folded: one node, a loop,
takes their place, and the way back is that of the loop. What somebody holds keeps its node.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from nbgrad.core.aval import is_several
from nbgrad.core.collector import paused
from nbgrad.core.frozen import Value
from nbgrad.core.interpret import inline
from nbgrad.core.lazy import LazyModule
from nbgrad.core.linearize import CUT, Capture, build_tape, replaced
from nbgrad.core.memory import host
from nbgrad.core.modes import lines, modes, unrecorded, watching
from nbgrad.core.node import Node, leaf_node
from nbgrad.core.results import join, part
from nbgrad.core.values import looks
from nbgrad.engine.backward import severed
from nbgrad.engine.programs import executable
from nbgrad.engine.rolling import numbers_in
from nbgrad.engine.tiers import Executable, elsewhere
from nbgrad.engine.windows import Windows, begins
from nbgrad.ops.kinds.forms import Repeat
from nbgrad.transforms.vjp import vjp

if TYPE_CHECKING:
    from nbgrad.core.tape import Body, Tape
    from nbgrad.transforms.stacking import Rerolled

folding = LazyModule("nbgrad.transforms.folded")
stacking = LazyModule("nbgrad.transforms.stacking")


AHEAD: Final = 4  # folds after which a loop is taken to be one that is differentiated


class Recorded(Value):
    """How a loop is recorded.

    Attributes
    ----------
    loop : Rerolled
        Its first inputs are what a fold reads.
    body : Body
    constants : tuple of int
        For each further input: the place among the loop's operands of a number that is the same in
        all steps, -1 of any other.
    """

    loop: Rerolled
    body: Body
    constants: tuple[int, ...]


class Fold(Value):
    """Which of the captured nodes a loop stands for, and how it is recorded.

    Attributes
    ----------
    inside : tuple of int
        The nodes that it stands for.
    reads : tuple of int
        The nodes and leaves that are the first operands.
    windows : tuple of Windows
        What is read step by step of others, the next operands.
    still : tuple of (int, tuple of int)
        Other windows that it stands for, and where they begin.
    recorded : list of Recorded
        One: another one once numbers differ that were alike.
    finals : tuple of int
        The nodes that are its results.
    places : tuple of int
        Nodes that go, whose places in recording order it takes.
    met : list of int
        How often.
    ahead : list of Executable
        What the way back runs, with other numbers of steps, once it is being prepared.
    """

    inside: tuple[int, ...]
    reads: tuple[int, ...]
    windows: tuple[Windows, ...]
    still: tuple[tuple[int, tuple[int, ...]], ...]
    recorded: list[Recorded]
    finals: tuple[int, ...]
    places: tuple[int, ...]
    met: list[int]
    ahead: list[Executable]

    @property
    def held(self) -> tuple[int, ...]:
        """What it reads."""
        return (*self.reads, *[w.base for w in self.windows])


def fold_of(cap: Capture, alike: bool = True) -> Fold | None:
    """The loop that can stand for most of a capture of one root, if there is one.

    Noted nodes are held. Numbers that are the same in all steps are constants, if they are *alike*.
    """
    if CUT in cap.states or any(is_several(n.aval) for n in cap.nodes):
        return None
    tape, var_of = build_tape(cap, cap.nodes[:1])
    if severed(cap, var_of):
        return None
    free = [leaf for leaf in cap.leaves if not leaf.requires_grad]
    stackable = [*[var_of[leaf] for leaf in free], *[v for v in tape.inputs if v.weak]]
    held = [var_of[cap.nodes[k]] for k in array("q", cap.noted)]
    found = folding.folded(tape, stackable, held, numbers_in(tape, cap, alike) or {})
    if found is None:
        return None
    order = cap.order()
    first = min(found.finals) - len(found.loop.tape) - 1 - 3 * len(found.windows)
    reads = tuple([order[k] if k >= 0 else k for k in found.reads])
    inside = tuple(order[found.start : found.end])
    windows = _windows(found.windows, order)
    if first < found.start or not any(cap.nodes[order[k]].requires_grad for k in found.finals):
        return None
    return Fold(
        inside,
        reads,
        windows,
        _still(cap, {*inside}.difference(*[w.slices for w in windows])),
        [_recorded(found.loop, len(reads) + len(windows))],
        tuple([order[k] for k in found.finals]),
        tuple(order[first : min(found.finals)]),
        [0],
        [],
    )


def _windows(found: Sequence[Any], order: Sequence[int]) -> tuple[Windows, ...]:
    return tuple(
        Windows(
            order[w.base] if w.base >= 0 else w.base,
            tuple([order[k] for k in w.places]),
            w.rows,
            w.var.aval.shape,
        )
        for w in found
    )


def _still(cap: Capture, places: Iterable[int]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    found = [(k, begins(cap.nodes[k].sig)) for k in sorted(places)]
    return tuple([(k, first) for k, first in found if first is not None])


def fits(cap: Capture, plan: Fold) -> bool:
    """Whether *plan*, of a capture that is like *cap* but for where windows begin, is one of *cap*."""
    nodes = cap.nodes
    if any(begins(nodes[k].sig) != first for k, first in plan.still):
        return False
    return all(w.begin(nodes) is not None for w in plan.windows)


def _recorded(loop: Rerolled, reads: int) -> Recorded:
    eqn = next(e for e in loop.tape.eqns if isinstance(e.prim.lower, Repeat))
    rest = loop.tape.inputs[reads:]
    places = [eqn.inputs.index(v) if v in eqn.inputs and not v.aval.shape else -1 for v in rest]
    return Recorded(loop, eqn.params["body"], tuple(places))


def allowed(cap: Capture) -> bool:
    """Whether nobody looks at single nodes, nor changed what a pass may do with them."""
    looked_at = lines.on or modes.anomaly or modes.recorded or modes.saved or modes.saving
    if looked_at or cap.consumed:
        return False
    return not (watching.any and any(node.watch is not None for node in cap.nodes))


def fold(cap: Capture, plan: Fold) -> list[Node] | None:
    """Record the loop; the nodes that are its results now, or None if there is no place for it."""
    nodes = cap.nodes
    reads = [_read(cap, k) for k in plan.held]
    seqs = [nodes[k].seq for k in plan.places]
    late = any(x.seq >= seqs[0] for x in reads if x.sig is not None)
    if late or any(nodes[k] in replaced for k in plan.finals):  # the latter by another thread
        return None
    looks.count += 1
    now, n = plan.recorded[0], len(plan.reads)
    before, modes.grad = modes.grad, True
    try:
        rows = [w.node(base, nodes) for w, base in zip(plan.windows, reads[n:], strict=True)]
    finally:
        modes.grad = before
    if None in rows:
        return None
    operands = [*reads[:n], *[row for row in rows if row is not None]]
    leaves = _leaves(cap, now, operands)
    if leaves is None:
        with unrecorded(), paused():
            again = fold_of(cap, False)
        assert again is not None
        plan.recorded[0] = now = again.recorded[0]
        plan.met[0] = 0
        plan.ahead.clear()
        leaves = _leaves(cap, now, operands)
        assert leaves is not None
    before, modes.grad = modes.grad, True
    try:
        made = inline(now.loop.tape, [*operands, *leaves])
    finally:
        modes.grad = before
    finals = [nodes[k] for k in plan.finals]
    _renumber(made, {*reads, *leaves}, seqs)
    for leaf in leaves:
        leaf.seq = min(leaf.seq, seqs[0])
    _replace(finals, made)
    return finals


def _leaves(cap: Capture, now: Recorded, operands: Sequence[Node]) -> list[Node] | None:
    """The further operands: numbers that are alike are those of the fold that this goes on from.

    So both are one loop in the end. None if they are not alike, in this fold or in both.
    """
    try:
        values = now.loop.rest(len(operands), cap.values + cap.scalars)
    except stacking.Differ:
        return None
    earlier = _fold_before(operands, now.body)
    found = []
    for value, k in zip(values, now.constants, strict=True):
        leaf = earlier[k] if k >= 0 and earlier else leaf_node(value)
        if host(leaf.value).tobytes() != host(value).tobytes():
            return None
        found.append(leaf)
    return found


def _fold_before(operands: Sequence[Node], body: Body) -> tuple[Node, ...]:
    """What the loop reads that one of *operands* is a result of, if it does the same in each step."""
    for node in operands:
        sig, inputs = node.sig, node.inputs
        if sig is not None and sig.prim is part and inputs:
            sig, inputs = inputs[0].sig, inputs[0].inputs
        if sig is not None and inputs and sig.params.get("body") == body:
            return inputs
    return ()


def look_ahead(cap: Capture, plan: Fold) -> None:
    """Have the way back of a loop compiled while the loop goes on, which nobody waits for.

    It is called fold by fold. Kernels know nothing of the number of steps: those of one fold serve.
    Derivatives that are a user's functions of arrays are not called before he asks for one.
    """
    plan.met[0] += 1
    if plan.met[0] == AHEAD and elsewhere() and _ours(plan.recorded[0].loop.tape):
        tape = plan.recorded[0].loop.tape
        reads = [_read(cap, k) for k in plan.held]
        wrt = [v for v, x in zip(tape.inputs, reads, strict=False) if x.requires_grad]
        derivative, constants = vjp(tape, wrt, seeded=[True] * len(tape.outputs))
        plan.ahead.append(executable(derivative, constants))
    for exe in plan.ahead:
        exe.compile_elsewhere()


def _ours(tape: Tape) -> bool:
    """Whether all steps of the loops in a tape are operations of ours."""
    bodies = [e.params["body"].tape for e in tape.eqns if isinstance(e.prim.lower, Repeat)]
    return all(eqn.prim.registered for body in bodies for eqn in body.eqns)


def _read(cap: Capture, k: int) -> Node:
    return cap.nodes[k] if k >= 0 else cap.leaves[-1 - k]


def _renumber(made: Sequence[Node], met: set[Node], seqs: Sequence[int]) -> None:
    """Let what was recorded of what is *met* already stand where it was."""
    new: set[Node] = set()
    stack = list(made)
    while stack:
        node = stack.pop()
        if node not in met:
            met.add(node)
            new.add(node)
            stack += [x for x in node.inputs if x.__class__ is Node]
    recorded = [node for node in new if node.sig is not None and node.sig.prim is not part]
    recorded.sort(key=lambda node: node.seq)
    for node, seq in zip(reversed(recorded), reversed(seqs), strict=False):
        node.seq = seq
    for node in new:
        if node.sig is None:
            node.seq = seqs[0]


def _replace(finals: Sequence[Node], made: Sequence[Node]) -> None:
    """Give *finals* what *made* them, all at once: no other thread sees half of it."""
    before = [(node.sig, node.inputs) for node in finals]
    replaced.update([(node, node.sig) for node in finals])  # first: who captured them looks there
    names = ["sig"] * len(finals) + ["inputs"] * len(finals)
    values: list[Any] = [*[n.sig for n in made], *[n.inputs for n in made]]
    deque(map(setattr, [*finals, *finals], names, values), maxlen=0)
    for node in finals:
        if node.sig.prim is part:
            join(node.inputs[0], node)
    before.clear()
