"""From a function to a tape: the only way there.

The function runs once, on placeholders; what it records, as far as its results need it, is the tape.
What it reads from outside is no part of that: it is handed back, as operands that the tape takes after
its arguments, so that a body of a loop is closed and a program can be used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import get_ident
from typing import Any

from nbgrad.core.aval import Aval
from nbgrad.core.check import checked
from nbgrad.core.collector import paused
from nbgrad.core.frozen import Frozen
from nbgrad.core.linearize import Capture, build_tape, capture, variables
from nbgrad.core.modes import modes, tracing, watching
from nbgrad.core.node import Node, constant, next_sequence, placeholder
from nbgrad.core.operands import as_operand
from nbgrad.core.tape import Tape, Var
from nbgrad.core.tree import LEAF, builder, flatten
from nbgrad.ops.basis import strong


class Traced(Frozen):
    """What a function records.

    Attributes
    ----------
    tape : Tape
        Its inputs are the arguments, then the constants; its outputs the results, then what else
        was asked for.
    constants : list of Node
        What the function reads beside its arguments.
    made : object
        How the results are nested.
    outputs : list of Node
        The results.
    start : int
        The position in recording order at which it began.
    capture : Capture
    var_of : mapping
        The variables of nodes.
    """

    tape: Tape
    constants: list[Node]
    made: Any
    outputs: list[Node]
    start: int
    capture: Capture
    var_of: Mapping[Node, Any]

    @property
    def rebuild(self) -> Callable[[list[Any]], Any]:
        """What nests as many values as the function has results as it did."""
        return rebuilder(self.made)

    @property
    def watched(self) -> bool:
        """Whether what was recorded has a hook or a backward that a user wrote, which no tape holds."""
        nodes = (*self.capture.nodes, *self.constants)
        return watching.any and any(n.watch is not None and n.seq >= self.start for n in nodes)

    def between(self, sources: Iterable[Node]) -> set[Node]:
        """Nodes that lead to *sources* through recorded operations alone.

        A copy that a transform inside the function differentiated by requires grad too, but leads
        nowhere: nobody can ask for a gradient of it any more.
        """
        found, cap = set(sources), self.capture
        for k in cap.order() if found else ():
            node = cap.nodes[k]
            if node.requires_grad and node.leaf is None and not found.isdisjoint(cap.operands[k]):
                found.add(node)
        return found

    def active(self, sources: Iterable[Node]) -> frozenset[Var]:
        """The variables through which a gradient passes to *sources*."""
        return frozenset(variables(self.var_of, self.between(sources)))


def rebuilder(made: Any) -> Callable[[list[Any]], Any]:
    """What nests values as *made* says."""
    flat = made[0] is tuple and made == (tuple, None, (LEAF,) * len(made[2]))
    return tuple if flat else builder(made)


def leaves_of_results(y: Any) -> tuple[list[Any], Any]:
    """Results of a function, and how they are nested."""
    return flatten(y)


def node_of_result(x: Any) -> Node:
    """A result as an array of the tape."""
    found = as_operand(x)
    return strong(found if found.__class__ is Node else constant(found))


def trace(
    f: Callable[..., Any],
    inputs: Sequence[Node | Aval],
    also: Callable[[], Sequence[Node]] = tuple,
) -> Traced:
    """Run *f* on placeholders and return the tape of what it recorded.

    Parameters
    ----------
    f : callable
        Takes a node for each of *inputs*, and returns nodes, tensors, arrays or numbers, which may
        be nested data.
    inputs : sequence of Aval or Node
        What is known of the arguments; or placeholders for them, with what there is to say of these.
    also : callable
        Called when *f* has run: further nodes whose values are wanted.
    """
    before, thread = modes.tracing, get_ident()
    given = [x for x in inputs if isinstance(x, Node)]
    modes.tracing = start = min([next_sequence() or 1, *(node.seq for node in given)])
    tracing.add(thread)
    try:
        nodes = [x if x.__class__ is Node else placeholder(x) for x in inputs]  # type: ignore[arg-type]
        outs, made = leaves_of_results(f(*nodes))
        results = [node_of_result(out) for out in outs]
        wanted = [*results, *also()]
    finally:
        modes.tracing = before
        if not before:
            tracing.discard(thread)
    with paused():
        cap = capture(wanted)
        constants = _read_from_outside(cap, wanted, set(nodes), start)
        tape, var_of = build_tape(cap, wanted, [*nodes, *constants], lift=False)
    # What was recorded before is computed before, though the walk went through it.
    before_it = set(variables(var_of, [n for n in cap.nodes if n.seq < start]))
    eqns = tuple([eqn for eqn in tape.eqns if before_it.isdisjoint(eqn.outs)])
    tape = Tape(tape.inputs[: len(nodes) + len(constants)], eqns, tape.outputs)
    return Traced(checked(tape), constants, made, results, start, cap, var_of)


def _read_from_outside(
    cap: Capture, wanted: Sequence[Node], arguments: set[Node], start: int
) -> list[Node]:
    """What is read that is neither an argument nor recorded since *start*, in order."""
    index = cap.index
    reads = [cap.operands[k] for k in cap.order() if cap.nodes[k].seq >= start]
    found = dict.fromkeys(x for xs in (*reads, wanted) for x in xs if x.__class__ is Node)
    return [x for x in found if (x.seq < start or index[x] < 0) and x not in arguments]
