"""From nodes to a tape: what is needed, in recording order, with a structural key.

``capture`` is on the path of every evaluation (about 0.4 µs a node), so it builds only the key
and the list of values; the Tape itself is made when no program has that key yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from nbgrad.core.aval import make_aval
from nbgrad.core.node import Node
from nbgrad.core.tape import Atom, Equation, Literal, Tape, Var
from nbgrad.errors import TRACED_VALUE, ConcretizationError

_by_sequence = attrgetter("seq")

# State of a captured node, part of the key.
INACTIVE, ACTIVE, BOUND, CUT = 0, 1, 2, 3
# Taken from the index of a leaf that requires grad, so that the key tells the two kinds apart.
TRACKED = 1 << 40


class Capture:
    """Nodes in recording order, the leaves and scalars they read, and the structural key.

    ``operands`` are the nodes' operands as they were: another thread may compute a node, which
    drops its operands, between the capture and the building of a tape from it.
    """

    __slots__ = (
        "index",
        "key",
        "leaves",
        "nodes",
        "operands",
        "scalars",
        "states",
        "targets",
        "values",
    )

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.operands: list[tuple[Any, ...]] = []
        self.leaves: list[Node] = []
        self.values: list[Any] = []
        self.scalars: list[Any] = []
        self.states: list[int] = []
        self.targets: list[int] = []
        self.index: dict[Node, int] = {}
        self.key: tuple[Any, ...] = ()


def collect(roots: Sequence[Node], differentiate: bool) -> list[Node]:
    """Return the nodes that computing (or differentiating) *roots* needs, in recording order.

    Going forward, a node with a buffer ends the search; going backward, an active one does not,
    unless an earlier pass freed it and dropped its operands.
    """
    seen = set(roots)
    stack = list(seen)
    found = []
    while stack:
        node = stack.pop()
        if node.sig is None or (
            node.value is not None
            and not (differentiate and node.requires_grad and node.leaf is None and node.inputs)
        ):
            continue
        found.append(node)
        for x in node.inputs:
            if x.__class__ is Node and x not in seen:
                seen.add(x)
                stack.append(x)
    found.sort(key=_by_sequence)
    return found


def capture(roots: Sequence[Node], differentiate: bool = False) -> Capture:
    """Collect what *roots* need and build the structural key."""
    cap = Capture()
    cap.nodes = nodes = collect(roots, differentiate)
    index = cap.index
    leaves, scalars, states, targets = cap.leaves, cap.scalars, cap.states, cap.targets
    # The key needs no types: signatures say those of scalars, and the avals of leaves.
    key: list[Any] = []
    append, keep_state, keep_operands = key.append, states.append, cap.operands.append
    for k, node in enumerate(nodes):
        state = ACTIVE if node.requires_grad else INACTIVE
        if node.value is not None:
            state = BOUND
        elif state and node.leaf is not None:
            state = CUT
            targets.append(k)
        keep_state(state)
        inputs = node.inputs
        if not inputs:  # another thread has computed the node meanwhile
            return capture(roots, differentiate)
        keep_operands(inputs)
        append(node.sig.number | state)
        for x in inputs:
            i = index.get(x)
            if i is not None:
                append(i)
            elif x.__class__ is Node:
                leaves.append(x)
                i = index[x] = -len(leaves)
                if x.requires_grad:
                    targets.append(i)
                    append(i - TRACKED)
                else:
                    append(i)
            else:
                scalars.append(x)
        index[node] = k
    for root in roots:
        append(index[root] if root in index else _leaf_root(cap, root))
    cap.key = tuple(key)
    cap.values = [leaf.value for leaf in leaves]
    return cap


def _leaf_root(cap: Capture, root: Node) -> Any:
    """Add an output that is a leaf; no signature says its shape, so the key does."""
    cap.leaves.append(root)
    i = cap.index[root] = -len(cap.leaves)
    if root.requires_grad:
        cap.targets.append(i)
    return i, root.aval, root.requires_grad


def require_values(cap: Capture, what: str = "Computing this") -> None:
    """Raise if a leaf of *cap* is a placeholder: its number is not known while tracing."""
    for leaf, value in zip(cap.leaves, cap.values, strict=True):
        if value is None:
            raise ConcretizationError(TRACED_VALUE.format(what=what, aval=leaf.aval))


def build_tape(
    cap: Capture,
    outputs: Sequence[Node],
    inputs: Sequence[Node] | None = None,
    lift: bool = True,
) -> tuple[Tape, dict[Node, Var]]:
    """Make the Tape of a capture.

    Inputs are *inputs* (or nothing), then the remaining leaves, then, if *lift*, one weak scalar
    for each Python scalar; without *lift* scalars stay literals.
    """
    var_of: dict[Node, Var] = {}
    tape_inputs: list[Var] = []
    for leaf in (*(inputs or ()), *cap.leaves):
        if leaf not in var_of:
            var_of[leaf] = Var(leaf.aval)
            tape_inputs.append(var_of[leaf])
    eqns = []
    for node, operands in zip(cap.nodes, cap.operands, strict=True):
        if node in var_of:
            continue
        atoms: list[Atom] = []
        for position, x in enumerate(operands):
            if x.__class__ is Node:
                atoms.append(var_of[x])
            elif lift:
                scalar = Var(make_aval((), node.sig.loop[position]), weak=True)
                tape_inputs.append(scalar)
                atoms.append(scalar)
            else:
                atoms.append(Literal(x))
        var_of[node] = out = Var(node.aval)
        eqns.append(Equation(node.sig, tuple(atoms), out, node.line))
    tape = Tape(tuple(tape_inputs), tuple(eqns), tuple(var_of[n] for n in outputs))
    return tape, var_of


def linearize(outputs: Sequence[Any], inputs: Sequence[Node]) -> tuple[Tape, list[Node]]:
    """Return the tape of *outputs* as a function of *inputs*, and the other leaves it reads.

    Outputs may be Python scalars, which become literals. The tape's inputs are *inputs* followed
    by the returned constants.
    """
    nodes = [x for x in outputs if x.__class__ is Node]
    cap = capture(nodes)
    tape, var_of = build_tape(cap, nodes, inputs, lift=False)
    given = set(inputs)
    constants = [leaf for leaf in dict.fromkeys(cap.leaves) if leaf not in given]
    atoms: tuple[Atom, ...] = tuple(
        var_of[x] if x.__class__ is Node else Literal(x) for x in outputs
    )
    return Tape(tape.inputs, tape.eqns, atoms), constants
