"""The engine: demands on lazy nodes become tapes, tapes become programs, programs run.

Programs are found by structural key in an LRU cache, so a steady state records, looks up, runs.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.backends.reference import observed
from nbgrad.core.aval import avals_of, is_several
from nbgrad.core.collector import paused
from nbgrad.core.linearize import (
    BOUND,
    Capture,
    build_tape,
    capture,
    require_values,
)
from nbgrad.core.memory import host, place
from nbgrad.core.modes import lines, modes, unrecorded
from nbgrad.core.node import Node
from nbgrad.core.ports import compiled, ports
from nbgrad.core.results import give, part
from nbgrad.core.standing import awaited
from nbgrad.engine.programs import ProgramCache, programs
from nbgrad.engine.rolling import arguments, numbers_in, runnable
from nbgrad.engine.tiers import Executable
from nbgrad.errors import ConcretizationError
from nbgrad.ops.kinds.forms import View

Array = np.ndarray[Any, Any]


habits = ProgramCache()


class Habit:
    """Whether evaluations of one structure keep, beside what is asked for, what others still hold.

    They do not at first: what nobody asks for is best left inside a kernel. But a node that is
    passed through a second time while it is pending would be computed again and again, with its
    whole history, as in ``x = x*0.5 + 1; (x*2).item()``. So both evaluations, this one and the one
    that left the node, keep all such nodes from then on. A backward pass over what was looked at
    before is no second time: it needs the history.

    Attributes
    ----------
    places : tuple of int
        The noted nodes of the structure.
    keeping : Forward or None
        The program that keeps them, once there is one.
    """

    __slots__ = ("backward", "keeping", "keeps", "places")

    def __init__(self, noted: bytes, backward: bool) -> None:
        self.places = tuple(array("q", noted))
        self.backward, self.keeps = backward, False
        self.keeping: Forward | None = None

    def met(self, nodes: Sequence[Node]) -> bool:
        """Learn from what was met again; whether this evaluation keeps what was noted."""
        for k in self.places:
            earlier = nodes[k].passed
            if earlier is not None and (
                not self.backward or earlier.backward or not nodes[k].requires_grad
            ):
                earlier.keeps = self.keeps = True
        if not self.keeps:
            for k in self.places:
                nodes[k].passed = self
        return self.keeps


def to_keep(cap: Capture) -> bytes:
    """Which of the noted nodes a backward pass keeps: all of them, or none."""
    habit = habits.find((True, cap.key, cap.noted), Habit, cap.noted, True)
    return cap.noted if habit.met(cap.nodes) else b""


def kept(cap: Capture, places: bytes) -> tuple[int, ...]:
    """The nodes to keep for those at *places*: of a view that repeats elements, what it views.

    Of an operation with several results all that are held are kept.
    """
    found: dict[int, None] = {}
    states = cap.states
    for k in array("q", places):
        while k >= 0 and isinstance(cap.nodes[k].sig.prim.lower, View):
            operands = [x for x in cap.operands[k] if x.__class__ is Node]
            if operands and operands[0].aval.size >= cap.nodes[k].aval.size:
                break
            k = cap.index[operands[0]] if operands else -1
        if k >= 0 and states[k] != BOUND:
            found[k] = None
    return tuple(found)


class Forward:
    """A program, and the places of the captured nodes that it computes beside what is asked for.

    ``several`` says that some of these are operations with several results; ``planned`` is what
    runs, and how the arguments are stacked for the loops that were found.
    """

    __slots__ = ("kept", "planned", "several")

    def __init__(self, cap: Capture, outputs: Sequence[Node], places: bytes) -> None:
        self.kept = kept(cap, places) if places else ()
        nodes = [*outputs, *(cap.nodes[k] for k in self.kept)]
        self.several = any(is_several(n.aval) for n in nodes)
        self._plan(cap, nodes, True)

    def _plan(self, cap: Capture, nodes: Sequence[Node], alike: bool) -> None:
        tape, _ = build_tape(cap, nodes)
        numbers = numbers_in(tape, cap, alike)
        self.planned = runnable(tape, lambda tape: (tape, []), numbers=numbers)

    @property
    def exe(self) -> Executable:
        return self.planned[0]

    def run(self, cap: Capture, nodes: Sequence[Node]) -> list[Array]:
        """Values of *nodes*, outputs and what is kept, for the leaves and numbers of a capture."""
        exe, loops = self.planned
        if (args := arguments(loops, cap.values + cap.scalars)) is None:
            with unrecorded(), paused():
                self._plan(cap, nodes, False)
            return self.run(cap, nodes)
        return exe.run(args)


def demand(nodes: Sequence[Node]) -> None:
    """Compute *nodes*: afterwards each has its buffer."""
    pending = [n for n in dict.fromkeys(nodes) if n.value is None]
    if len(pending) == 1 and (twin := compiled.value) is not None:
        pending = [] if twin(pending[0]) is not None else pending
    if pending:
        _evaluate(pending)


def computed(nodes: Sequence[Node | None]) -> bool:
    """Whether these nodes have numbers, which are computed now: those of a trace have none."""
    pending = [n for n in nodes if n is not None and n.value is None]
    try:
        if pending:
            demand(pending)
    except ConcretizationError:
        return False
    return True


def _evaluate(pending: list[Node]) -> None:
    """Compute *pending* nodes, each named once."""
    cap = capture(pending)
    if not cap.known:
        if all(awaited(leaf) for leaf in cap.leaves if leaf.value is None):
            return _evaluate(pending)
        require_values(cap, pending)
    if lines.on and modes.observers:
        return _step_through(cap)
    for node in pending:
        if node.passed is not None:  # asked for itself, too
            node.passed.keeps = True
    n = len(pending)
    found, habit = _forward(cap, pending)
    if found.kept:
        pending += [cap.nodes[k] for k in found.kept]
    values = found.run(cap, pending)
    if found.several:
        pending, values = given_to_parts(pending, values)
    for node, value in zip(pending, values, strict=True):
        node.value = value
        node.depth = 0
        if not node.requires_grad or node.leaf is not None or node.freed:
            node.inputs = ()
    exe, loops = found.planned
    learn = compiled.learn if n == 1 and not found.several and loops is None else None
    if learn is not None and exe.compiled is not None:
        learn(cap, exe.compiled, (0, *found.kept), habit)


def given_to_parts(nodes: Sequence[Node], values: list[Array]) -> tuple[list[Node], list[Array]]:
    """*nodes* and their *values*, with parts in the place of operations with several results."""
    found: list[tuple[Node, Array]] = []
    rest = iter(values)
    for node in nodes:
        if is_several(node.aval):
            found += give(node, [next(rest) for _ in avals_of(node.aval)])
        else:
            found.append((node, next(rest)))
    return [node for node, _ in found], [value for _, value in found]


def _forward(cap: Capture, pending: Sequence[Node]) -> tuple[Forward, Habit | None]:
    """The program for a structure, which may keep what is noted of it, and what learns whether."""
    if not cap.noted:
        return _program(cap, pending, b""), None
    habit = habits.find((False, cap.key, cap.noted), Habit, cap.noted, False)
    if not habit.met(cap.nodes):
        return _program(cap, pending, b""), habit
    if habit.keeping is None:
        habit.keeping = _program(cap, pending, cap.noted)
    return habit.keeping, None


def _program(cap: Capture, pending: Sequence[Node], places: bytes) -> Forward:
    key = ("forward", cap.key, places)
    return programs.find(key, Forward, cap, pending, places)


def _step_through(cap: Capture) -> None:
    """Compute one operation at a time and show each to the observers."""
    results: dict[Node, Any] = {}  # of operations that have several
    sigs = cap.signatures()
    for k in cap.order():
        node, operands, sig = cap.nodes[k], cap.operands[k], sigs[k]
        if node.value is not None:  # with another result of the operation
            continue
        if sig.prim is part:
            settle(node, results[operands[0]][sig.params["number"]])
            continue
        xs = [host(x.value) if x.__class__ is Node else x for x in operands]
        value = observed(sig, xs, functools.partial(_show, node))
        value = _put(value, node.aval)
        if is_several(node.aval):
            results[node] = value
        if node in results:
            node.value = None
            for found, one in give(node, value):
                settle(found, one)
        else:
            settle(node, value)


def _show(node: Node, value: Any, start: int, end: int) -> None:
    node.value = _put(value, node.aval)
    for observe in modes.observers:
        observe(node, start, end)


def _put(value: Any, aval: Any) -> Any:
    """What was computed at home, where *aval* says that it lies."""
    if value.__class__ is tuple:
        return tuple([place(one, aval.device) for one in value])
    return place(value, aval.device)


def settle(node: Node, value: Any) -> None:
    """Give *node* its buffer; drop the operands that nothing will need again."""
    node.value = value
    node.depth = 0
    if not node.requires_grad or node.leaf is not None or node.freed:
        node.inputs = ()


ports.evaluate = _evaluate
