"""From nodes to a tape: what is needed, with a structural key.

``capture`` is on the path of every evaluation (0.25 µs a node), so it walks the graph once, from the
outputs up, and builds only the key and the list of values; the Tape itself, in recording order, is
made when no program has that key yet.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from sys import getrefcount
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from nbgrad.core.asked import traced_value
from nbgrad.core.aval import Several, make_aval
from nbgrad.core.collector import paused
from nbgrad.core.node import Node, new_node
from nbgrad.core.ports import compiled
from nbgrad.core.results import part, result_of
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Atom, Equation, Literal, Tape, Var
from nbgrad.errors import ConcretizationError

# State of a captured node, part of the key.
INACTIVE, ACTIVE, BOUND, CUT = 0, 1, 2, 3
# Added to the state where an earlier pass marked the node, so that no plan for others serves it.
FREED = 4
# Taken from the index of a leaf that requires grad, so that the key tells the two kinds apart.
TRACKED, MAX_LEAVES = 1 << 40, 1 << 39
UNCOUNTED = 1 << 40  # reads of a root, which is computed anyway


# What nodes were before they became results of a loop: another thread may have captured them so.
replaced: WeakKeyDictionary[Node, Signature] = WeakKeyDictionary()


class Capture:
    """Nodes that some outputs need, the leaves and scalars they read, and the structural key.

    Nodes stand in the order in which the walk met them; ``order`` gives that of recording.
    ``operands`` are the nodes' operands as they were: another thread may compute a node, which
    drops its operands, between the capture and the building of a tape from it. What only a new
    structure needs is read from these when it is asked for.

    ``noted`` are the places, as 64-bit words, of pending nodes that may be asked for again: something
    outside the capture refers to them (a tensor, or a node that it does not reach), or an earlier
    evaluation passed through them. ``known`` says that no leaf is a placeholder, ``consumed`` that
    a backward pass freed some node.
    """

    __slots__ = (
        "_found", "_index", "_order",
        "consumed", "key", "known", "leaves", "nodes", "noted", "operands", "scalars", "values",
    )  # fmt: skip

    key: Any
    _found: tuple[list[int], list[int], list[int]]
    _index: dict[Node, int]
    _order: list[int]
    nodes: list[Node]
    operands: list[tuple[Any, ...]]
    leaves: list[Node]
    values: list[Any]
    scalars: list[Any]
    noted: bytes
    known: bool
    consumed: bool

    @property
    def index(self) -> dict[Node, int]:
        """The place of each node, from 0 up, and of each leaf, from -1 down."""
        try:
            return self._index
        except AttributeError:
            self._index = {node: k for k, node in enumerate(self.nodes)}
            self._index.update((leaf, -1 - k) for k, leaf in enumerate(self.leaves))
            return self._index

    @property
    def states(self) -> list[int]:
        """The state of each node, read from the key."""
        return self._read()[0]

    @property
    def targets(self) -> list[int]:
        """Places of the leaves of differentiation, read from the key."""
        return self._read()[1]

    def signatures(self) -> list[Signature]:
        """Those of the nodes as they were captured, which fit ``operands``."""
        numbers = self._read()[2]
        sigs = [node.sig for node in self.nodes]
        for k, number in enumerate(numbers):
            if sigs[k].number != number:
                sigs[k] = replaced[self.nodes[k]]
        return sigs

    def _read(self) -> tuple[list[int], list[int], list[int]]:
        try:
            return self._found
        except AttributeError:
            pass
        words, roots = (self.key, ()) if self.key.__class__ is bytes else self.key
        key = array("q", words)
        states: list[int] = []
        targets: list[int] = []
        numbers: list[int] = []
        place = 0
        for operands in self.operands:
            states.append(key[place] & 3)
            numbers.append(key[place] & -8)
            if states[-1] == CUT:
                targets.append(len(states) - 1)
            place += 1
            for x in operands:
                if x.__class__ is Node:
                    if key[place] < -MAX_LEAVES:
                        targets.append(key[place] + TRACKED)
                    place += 1
        self._found = states, targets + [i for i, _, tracked in roots if tracked], numbers
        return self._found

    def order(self) -> list[int]:
        """Indices of the nodes in recording order, operands first."""
        try:
            return self._order
        except AttributeError:
            recorded = [node.seq for node in self.nodes]
            self._order = sorted(range(len(recorded)), key=recorded.__getitem__)
            return self._order


def _ends(node: Node, differentiate: bool) -> bool:
    """Whether *node* is read, not computed or differentiated.

    Going forward, a node with a buffer ends the walk; going backward, an active one does not,
    unless an earlier pass freed it and dropped its operands.
    """
    return node.sig is None or (
        node.value is not None
        and not (differentiate and node.requires_grad and node.leaf is None and node.inputs)
    )


def _state(node: Node, differentiate: bool) -> int:
    freed = FREED if node.freed and differentiate else 0
    if node.value is not None:
        return BOUND | freed
    if not node.requires_grad:
        return INACTIVE | freed
    return (ACTIVE if node.leaf is None else CUT) | freed


def capture(roots: Sequence[Node], differentiate: bool = False) -> Capture:
    """Find what *roots* need and build the structural key."""
    walk = compiled.backward if differentiate else compiled.forward
    if walk is not None and (found := walk(roots)) is not None:
        return found  # it leaves to Python what is not known
    walk = compiled.further_back if differentiate else compiled.further
    if walk is not None and (found := walk(roots)) is not None:
        return found
    return walked(roots, differentiate)


def walked(roots: Sequence[Node], differentiate: bool, others: int = 0) -> Capture:
    """``capture`` in Python: the first runs, and the structures that the compiled walk leaves.

    *others* are references of the caller's to each node, which do not count.
    """
    nodes = [n for n in dict.fromkeys(roots) if not _ends(n, differentiate)]
    index = {node: k for k, node in enumerate(nodes)}
    leaves: list[Node] = []
    scalars: list[Any] = []
    operands: list[tuple[Any, ...]] = []
    key: list[int] = []  # without types: signatures say those of scalars, and avals of leaves
    append, keep, keep_operands, find = key.append, nodes.append, operands.append, index.get
    reads = [UNCOUNTED] * len(nodes)  # of each node, by others of the capture
    consumed = False
    for node in nodes:  # which grows while it is walked
        inputs = node.inputs
        consumed = consumed or node.freed
        plain = node.value is None and node.leaf is None and not node.freed
        append(node.sig.number | (node.requires_grad if plain else _state(node, differentiate)))
        if node.inputs is not inputs or not (inputs or plain):
            return walked(roots, differentiate, others)  # another thread folded or computed it
        keep_operands(inputs)
        for x in inputs:
            if x.__class__ is not Node:
                scalars.append(x)
                continue
            if (i := find(x)) is None:
                if x.sig is not None and (x.value is None or not _ends(x, differentiate)):
                    i = index[x] = len(reads)
                    keep(x)
                    reads.append(1)
                else:
                    leaves.append(x)
                    i = index[x] = -len(leaves)
                    if x.requires_grad:
                        i -= TRACKED
            elif i >= 0:
                reads[i] += 1
            append(i)
    x = node = None  # type: ignore[assignment]
    cap = Capture()
    cap.nodes, cap.operands, cap.leaves, cap.scalars = nodes, operands, leaves, scalars
    cap.noted, cap.consumed = _noted(nodes, reads, _HELD + others), consumed
    return _finished(cap, roots, key, index)


def _noted(nodes: list[Node], reads: list[int], held: int) -> bytes:
    """Places of the pending nodes that something else refers to or an evaluation passed through."""
    places = [
        k
        for k, node in enumerate(nodes)
        if node.value is None
        and node.leaf is None
        and reads[k] < UNCOUNTED
        and (node.passed is not None or getrefcount(node) - reads[k] > held)
    ]
    return array("q", places).tobytes()


def _own_references() -> int:
    """References to a node during ``_noted`` that nobody else holds: they differ by version."""
    nodes = [new_node(None, make_aval((), np.dtype(float)), (), False, 0)]
    index = {nodes[0]: 0}
    held = 0
    while index and _noted(nodes, [0], held):
        held += 1
    return held


_HELD = _own_references()


def _finished(
    cap: Capture, roots: Sequence[Node], key: list[int], index: dict[Node, int]
) -> Capture:
    ends = []
    for root in roots:
        if root not in index:  # a leaf; no signature says its shape, so the key does
            cap.leaves.append(root)
            index[root] = -len(cap.leaves)
            ends.append((index[root], root.aval, root.requires_grad))
        key.append(index[root])
    words = array("q", key).tobytes()
    cap.key = (words, tuple(ends)) if ends else words
    cap.values = [leaf.value for leaf in cap.leaves]
    cap.known = not any(value is None for value in cap.values)
    return cap


def require_values(cap: Capture, roots: Sequence[Node] = ()) -> None:
    """Raise if a leaf of *cap* is a placeholder: its number is not known while tracing.

    *roots* are the nodes whose number is asked for.
    """
    for leaf, value in zip(cap.leaves, cap.values, strict=True):
        if value is None:
            raise ConcretizationError(traced_value(roots or cap.nodes, leaf))


def build_tape(
    cap: Capture,
    outputs: Sequence[Node],
    inputs: Sequence[Node] | None = None,
    lift: bool = True,
    known: Mapping[Node, Var] | None = None,
) -> tuple[Tape, dict[Node, Any]]:
    """Make the Tape of a capture.

    Inputs are *inputs* (or nothing), then the remaining leaves, then, if *lift*, one weak scalar
    for each Python scalar; without *lift* scalars stay literals. Nodes that are *known* have their
    variables in another tape, which this one goes on. An operation with several results is one
    equation: what is returned has, for such a node, the tuple of its variables.
    """
    var_of: dict[Node, Any] = dict(known or {})
    tape_inputs: list[Var] = []
    for leaf in (*(inputs or ()), *cap.leaves):
        if leaf not in var_of:
            var_of[leaf] = Var(leaf.aval)
            tape_inputs.append(var_of[leaf])
    eqns = []
    # Weak scalars are inputs in the order in which the walk met them, as cap.scalars are.
    nodes, operands, sigs = cap.nodes, cap.operands, cap.signatures()
    mixed, weak = _numbers(cap, sigs, lift)
    tape_inputs += weak
    for k in cap.order():
        node = nodes[k]
        if node in var_of:
            continue
        sig = sigs[k]
        if sig.prim is part:  # no equation
            var_of[node] = var_of[operands[k][0]][sig.params["number"]]
            continue
        if k in mixed:
            atoms = [var_of[x] if x.__class__ is Node else x for x in mixed[k]]
        else:
            atoms = [var_of[x] for x in operands[k]]
        aval: Any = node.aval
        if aval.__class__ is Several:
            var_of[node] = outs = tuple([Var(one) for one in aval.parts])
        else:
            out = var_of[node] = Var(aval)
            outs = (out,)
        eqns.append(Equation(sig, tuple(atoms), outs, node.line))
    tape = Tape(tuple(tape_inputs), tuple(eqns), tuple(variables(var_of, outputs)))
    return tape, var_of


def variables(var_of: Mapping[Node, Any], nodes: Iterable[Node]) -> list[Var]:
    """The variables of *nodes*, of an operation with several results all of them."""
    found: list[Var] = []
    for node in nodes:
        var = var_of[node]
        found += var if var.__class__ is tuple else (var,)
    return found


def places(cap: Capture, nodes: Iterable[Node]) -> tuple[Any, ...]:
    """Where *nodes* are in *cap*; of one that nothing there was made of, its aval, which *cap* does not tell."""
    return tuple([cap.index.get(node, node.aval) for node in nodes])


def environment(var_of: Mapping[Node, Any]) -> dict[Var, Any]:
    """The node of each variable; results that nobody has asked for yet get one."""
    env: dict[Var, Any] = {var: n for n, var in var_of.items() if var.__class__ is not tuple}
    for node, outs in var_of.items():
        if outs.__class__ is tuple:
            env.update((v, result_of(node, k)) for k, v in enumerate(outs) if v not in env)
    return env


def _numbers(
    cap: Capture, sigs: Sequence[Signature], lift: bool
) -> tuple[dict[int, list[Any]], list[Var]]:
    """The operands of nodes that read Python numbers, these as atoms; and the weak inputs."""
    mixed: dict[int, list[Any]] = {}
    weak: list[Var] = []
    if not cap.scalars:
        return mixed, weak
    for k, xs in enumerate(cap.operands):
        for position, x in enumerate(xs):
            if x.__class__ is not Node:
                if lift:
                    aval = make_aval((), sigs[k].loop[position])
                    weak.append(Var(aval, weak=True))
                atoms = mixed.setdefault(k, list(xs))
                atoms[position] = weak[-1] if lift else Literal(x)
    return mixed, weak


def linearize(
    outputs: Sequence[Any], inputs: Sequence[Node], known: Mapping[Node, Var] | None = None
) -> tuple[Tape, list[Node]]:
    """Return the tape of *outputs* as a function of *inputs*, and the other leaves it reads.

    Outputs may be Python scalars, which become literals. The tape's inputs are *inputs* followed
    by the returned constants; variables of *known* nodes are those of a tape that it goes on.
    """
    nodes = [x for x in outputs if x.__class__ is Node]
    with paused():
        cap = capture(nodes)
        tape, var_of = build_tape(cap, nodes, inputs, lift=False, known=known)
    given = {*inputs, *(known or ())}
    constants = [leaf for leaf in dict.fromkeys(cap.leaves) if leaf not in given]
    atoms: tuple[Atom, ...] = tuple(
        var_of[x] if x.__class__ is Node else Literal(x) for x in outputs
    )
    return Tape(tape.inputs, tape.eqns, atoms), constants
