"""The backward pass over recorded nodes: which route it takes, and what it frees.

Two routes lead to the same rules. The *program* route differentiates the captured tape once per
structure and then only runs the cached program. The *node* route records the cotangents as nodes
on the user's graph: for ``create_graph``, hooks, user-written backwards, anomaly detection and
profiling.

Freeing follows PyTorch. A pass that does not retain the graph marks each node it executed whose
rule reads a saved value; executing such a node again is an error. A marked node that has its
buffer drops its operands, and so does an output above a marked one, so that a loss that somebody
keeps does not keep the graph. Nodes that the pass did not execute are untouched.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from nbgrad.config import settings
from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.linearize import (
    BOUND,
    CUT,
    INACTIVE,
    Capture,
    build_tape,
    capture,
    require_values,
)
from nbgrad.core.modes import lines, modes, unrecorded, watching
from nbgrad.core.node import Node, next_sequence, placeholder
from nbgrad.core.primitive import Signature
from nbgrad.engine.anomaly import check_forward, refuse_non_finite, without_checks
from nbgrad.engine.demand import demand, executable, kept, looks, programs, settle, to_keep
from nbgrad.engine.passes import again, key_of_pass, learn, operands_of_pass
from nbgrad.engine.tiers import Executable
from nbgrad.engine.watched import cotangents
from nbgrad.errors import FREED, AutogradError
from nbgrad.transforms.vjp import vjp

Found = list[tuple[Node, Node]]


@dataclass(frozen=True, slots=True)
class Path:
    """What one pass executes, as indices of the captured nodes.

    ``freed`` are the executed nodes whose rule reads a value, ``roots`` the outputs above them.
    """

    freed: tuple[int, ...]
    roots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A differentiated structure: its program, and what each of its results is for.

    Indices follow ``Capture.index``: nodes from 0 up, leaves from -1 down.
    """

    exe: Executable
    wrt: tuple[int, ...]
    results: tuple[int, ...]
    bound: tuple[int, ...]
    path: Path


def run_backward(
    outputs: Sequence[Node],
    seeds: Sequence[Node | None],
    *,
    inputs: Sequence[Node] | None,
    retain_graph: bool,
    create_graph: bool,
    captured: Capture | None = None,
) -> Found:
    """Return (node, gradient) for each of *inputs*, or for every leaf if None.

    *captured* is the capture of *outputs*, if the caller has it.
    """
    cap = captured or capture(outputs, differentiate=True)
    earlier: dict[Node, Node] = {}
    if inputs is not None:
        earlier = _earlier(cap, inputs)
        inputs = [*inputs, *earlier]
    traced = False
    for leaf in cap.leaves:
        if leaf.freed:
            _refuse_dropped(cap, inputs)
        if leaf.value is None:
            traced = True
    watched = watching.any and any(n.watch is not None for n in (*cap.nodes, *cap.leaves))
    if create_graph and not watched and not lines.on:
        found = _recorded_again(cap, outputs, seeds, inputs)
    elif create_graph or watched or traced or (lines.on and modes.observers):
        found = _node_route(cap, outputs, seeds, inputs, retain_graph, create_graph)
    else:
        found = _program_route(cap, outputs, seeds, inputs, retain_graph)
    if settings.current.nan_policy == "raise":
        gradients = [gradient for _, gradient in found]
        refuse_non_finite(gradients)
        if traced and modes.gradients is not None:
            modes.gradients += gradients  # looked at when the trace has run
    if earlier:
        total: dict[Node, Node] = {}
        for node, gradient in found:
            now = earlier.get(node, node)
            total[now] = total[now] + gradient if now in total else gradient  # type: ignore[operator]
        found = list(total.items())
    return found


def _earlier(cap: Capture, inputs: Sequence[Node]) -> dict[Node, Node]:
    """Nodes that a leaf among *inputs* had before it was changed in place, and that it has now.

    By identity of their weak references: those compare as the tensors do, element by element.
    """
    now = {id(n.leaf): n for n in inputs if n.leaf is not None}
    if not now:
        return {}
    held = [n for n in (*cap.nodes, *cap.leaves) if n.leaf is not None and id(n.leaf) in now]
    return {n: now[id(n.leaf)] for n in held if n is not now[id(n.leaf)]}


def _targets(cap: Capture, inputs: Sequence[Node] | None) -> tuple[int, ...]:
    """Indices of the nodes whose gradient is wanted and that the outputs read."""
    if inputs is not None:
        if all(n.sig is None for n in inputs):  # no node but a leaf, of which there are few
            places = {leaf: -1 - k for k, leaf in enumerate(cap.leaves)}
        else:
            places = cap.index
        return tuple([places[n] for n in inputs if n.requires_grad and n in places])
    return tuple(cap.targets)


def _below(cap: Capture, outputs: Iterable[Node]) -> Collection[int]:
    """Indices of what gradients flow to: not through leaves, nor through what is not recorded.

    A leaf that is only read there, as ``x`` in ``with no_grad(): y = x * 2``, has no gradient: None
    or an error is told from a zero.
    """
    states = cap.states
    if INACTIVE not in states and CUT not in states:  # nothing is captured that they do not read
        return range(-len(cap.leaves), len(cap.nodes))
    index = cap.index
    found = {index[n] for n in outputs}
    for k in reversed(cap.order()):
        if k in found and states[k] not in (INACTIVE, CUT):
            found.update([index[x] for x in cap.operands[k] if x.__class__ is Node])
    return found


def _node_at(cap: Capture, index: int) -> Node:
    return cap.nodes[index] if index >= 0 else cap.leaves[-1 - index]


# ---------------------------------------------------------------------------------------- freeing


def _refuse_dropped(cap: Capture, inputs: Sequence[Node] | None) -> None:
    """Raise if the pass would end at a node that dropped its operands in an earlier one.

    An input that was recorded later than such a node cannot lie below it.
    """
    for leaf in cap.leaves:
        if leaf.freed and (
            inputs is None or any(n is not leaf and n.seq < leaf.seq for n in inputs)
        ):
            _raise_freed(leaf)


def _refuse_freed(nodes: Sequence[Node], freed: Sequence[int]) -> None:
    for k in freed:
        if nodes[k].freed:
            _raise_freed(nodes[k])


def _raise_freed(node: Node) -> None:
    name = node.sig.prim.name
    where = f" (the operation {name}, recorded at {node.line})" if node.line else f" ({name})"
    raise AutogradError(FREED + where)


def _path(
    cap: Capture,
    outputs: Iterable[Node],
    below: Collection[int],
    wrt: Sequence[int],
    every_leaf: bool,
) -> Path:
    """Find what the pass from *outputs* to *wrt* executes: what lies between the two."""
    states, order = cap.states, cap.order()
    executed = [k for k in order if k in below and states[k] not in (INACTIVE, CUT)]
    if not every_leaf:
        index, above, candidates = cap.index, set(wrt), executed
        executed = []
        for k in candidates:
            if any(index[x] in above for x in cap.operands[k] if x.__class__ is Node):
                above.add(k)
                executed.append(k)
    freed = [k for k in executed if saves(cap.nodes[k].sig)]
    roots = _above(cap, outputs, {*executed}, {*freed}) if every_leaf else ()
    return Path(tuple(freed), tuple(sorted(roots)))


def _above(
    cap: Capture, outputs: Iterable[Node], executed: set[int], freed: set[int]
) -> Iterable[int]:
    """Those of *outputs* that are computed, by what was executed, from what is freed."""
    for out in outputs if freed else ():
        stack = [cap.index[out]]
        seen = {*stack}
        while stack and stack[-1] not in freed:
            k = stack.pop()
            if k in executed:
                found = {cap.index[x] for x in cap.operands[k] if x.__class__ is Node} - seen
                seen |= found
                stack += found
        if stack:
            yield cap.index[out]


def saves(sig: Signature) -> bool:
    """Whether the backward rule of *sig* reads the value of an operand or of the result."""
    if sig.saves is None:
        wants = tuple(o.__class__ is Aval and o.inexact for o in sig.operands)
        sig.saves = bool(read_by_rule(sig, wants))
    return sig.saves


@functools.lru_cache(maxsize=4096)
def read_by_rule(sig: Signature, wants: tuple[bool, ...]) -> tuple[int, ...]:
    """The places of the operands whose values the rule of *sig* reads, -1 for the result.

    Runs the rule on placeholders and looks whether the cotangents depend on a value. A Python
    number counts as one where it is a factor, as it does in PyTorch.
    """
    if sig.prim.vjp is None or sig.prim.kind == "linear":  # whose adjoints are given avals
        return ()
    avals = [
        make_aval((), sig.loop[k]) if isinstance(o, type) else o
        for k, o in enumerate(sig.operands)
    ]
    xs = [placeholder(aval) for aval in avals]
    y, ct = placeholder(sig.aval), placeholder(sig.aval)
    try:
        with unrecorded():
            cts = sig.prim.vjp(ct, y, xs, sig.params, wants)
    except NotImplementedError:  # it refuses some operand, which need not be a wanted one
        return tuple(range(len(xs)))
    found = set(capture([c for c in cts if c.__class__ is Node]).leaves)
    return tuple(k for k, x in [*enumerate(xs), (-1, y)] if x in found)


def _free(nodes: Sequence[Node], path: Path) -> None:
    """Mark what a pass consumed; what has its buffer drops its operands."""
    for k in (*path.freed, *path.roots):
        node = nodes[k]
        node.freed = True
        if node.value is not None:
            node.inputs = ()
    if watching.any:
        for k in path.freed:
            watch = nodes[k].watch
            if watch is not None and watch.context is not None:
                watch.context.release()


# ---------------------------------------------------------------------------------- program route


def _program_route(
    cap: Capture,
    outputs: Sequence[Node],
    seeds: Sequence[Node | None],
    inputs: Sequence[Node] | None,
    retain_graph: bool,
) -> Found:
    wrt = None if inputs is None else _targets(cap, inputs)  # else the key tells
    given = tuple([s is not None for s in seeds])
    policy = settings.current.nan_policy
    places = to_keep(cap) if cap.noted else b""
    key = ("backward", cap.key, given, wrt, policy, places)
    # A structure with freed nodes has a key of its own, so they are looked for when it is planned.
    plan: Plan = programs.find(key, _plan, cap, outputs, given, wrt, places)
    nodes = cap.nodes
    args = cap.values + cap.scalars
    if plan.bound:
        args += [nodes[k].value for k in plan.bound]
    if True in given:
        wanted = [s for s in seeds if s is not None]
        demand(wanted)
        args += [s.value for s in wanted]
    values = plan.exe.run(args)
    split = len(plan.wrt)
    for index, value in zip(plan.results, values[split:], strict=True):
        settle(nodes[index], value)
    if not retain_graph:
        _free(nodes, plan.path)
    found = []
    for index, value in zip(plan.wrt, values, strict=False):
        node = _node_at(cap, index)
        gradient = placeholder(node.aval)
        gradient.value = value
        found.append((node, gradient))
    return found


def _plan(
    cap: Capture,
    outputs: Sequence[Node],
    given: tuple[bool, ...],
    given_wrt: tuple[int, ...] | None,
    places: bytes = b"",
) -> Plan:
    """Differentiate a captured structure and make it runnable."""
    below = _below(cap, outputs)
    wanted = _targets(cap, None) if given_wrt is None else given_wrt
    wrt = tuple(k for k in wanted if k in below)
    path = _path(cap, outputs, below, wrt, given_wrt is None)
    _refuse_freed(cap.nodes, path.freed)
    tape, var_of = build_tape(cap, outputs)
    states = cap.states
    blocked = [k for k, state in enumerate(states) if state == INACTIVE]
    stop = [k for k, state in enumerate(states) if state == CUT]
    bound = tuple(k for k, state in enumerate(states) if state == BOUND)
    results = {*stop, *(cap.index[n] for n in outputs if n.value is None)}
    results |= set(kept(cap, places)) if places else set()
    at = {k: var_of[_node_at(cap, k)] for k in (*wrt, *blocked, *bound, *results)}
    tape, constants = vjp(
        tape,
        [at[k] for k in wrt],
        seeded=given,
        blocked=frozenset(at[k] for k in blocked),
        stop=frozenset(at[k] for k in stop),
        bound=[at[k] for k in bound],
        results=[at[k] for k in sorted(results)],
    )
    return Plan(executable(tape, constants), wrt, tuple(sorted(results)), bound, path)


# ------------------------------------------------------------------------------------- node route


def _recorded_again(
    cap: Capture,
    outputs: Sequence[Node],
    seeds: Sequence[Node | None],
    inputs: Sequence[Node] | None,
) -> Found:
    """The node route of ``create_graph``: by the rules, or as for the last graph like this one."""
    operands = operands_of_pass(cap, seeds)
    key = key_of_pass(cap, seeds, _targets(cap, inputs), inputs is None)
    before, start, modes.grad = modes.grad, next_sequence(), True
    try:
        known = None if operands is None else again(key, operands)
    finally:
        modes.grad = before
    if known is not None:
        return [(_node_at(cap, k), ct) for k, ct in zip(*known, strict=True)]
    looked = looks.count
    found = _node_route(cap, outputs, seeds, inputs, True, True)
    if operands is not None and looks.count == looked:
        wrt = [cap.index[node] for node, _ in found]
        learn(key, operands, wrt, [ct for _, ct in found], start)
    return found


def _node_route(
    cap: Capture,
    outputs: Sequence[Node],
    seeds: Sequence[Node | None],
    inputs: Sequence[Node] | None,
    retain_graph: bool,
    create_graph: bool,
) -> Found:
    below = _below(cap, outputs)
    wrt = tuple(k for k in _targets(cap, inputs) if k in below)
    path = _path(cap, outputs, below, wrt, inputs is None)
    _refuse_freed(cap.nodes, path.freed)
    if modes.anomaly:
        require_values(cap)
        check_forward([cap.nodes[k] for k in cap.order()])
    targets = [_node_at(cap, k) for k in wrt]
    before = modes.grad
    modes.grad = create_graph
    try:
        with without_checks():
            found = cotangents(cap, outputs, seeds, targets, inputs is None)
    finally:
        modes.grad = before
    if not create_graph and all(v is not None for v in cap.values):
        results = [gradient for _, gradient in found]
        demand([*results, *outputs, *(n for n in cap.nodes if n.leaf is not None)])
    if not (retain_graph or create_graph):
        _free(cap.nodes, path)
    return found
