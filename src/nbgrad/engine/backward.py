"""The backward pass over recorded nodes: which route it takes, and what it frees.

Two routes lead to the same rules. The *program* route differentiates the captured tape once per
structure and then only runs the cached program. The *node* route records the cotangents as nodes
on the user's graph: for ``create_graph``, hooks, user-written backwards, anomaly detection and
profiling.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nbgrad.config import settings
from nbgrad.core.aval import is_several
from nbgrad.core.collector import paused
from nbgrad.core.frozen import Value
from nbgrad.core.interpret import inline
from nbgrad.core.linearize import (
    BOUND,
    CUT,
    INACTIVE,
    Capture,
    build_tape,
    capture,
    require_values,
    variables,
)
from nbgrad.core.modes import lines, modes, watching
from nbgrad.core.node import Node, next_sequence, placeholder
from nbgrad.core.values import looks
from nbgrad.engine.anomaly import check_forward, refuse_non_finite, without_checks
from nbgrad.engine.demand import computed, demand, given_to_parts, kept, settle, to_keep
from nbgrad.engine.freeing import free, path_between, refuse_dropped, refuse_freed
from nbgrad.engine.passes import again, key_of_pass, learn, operands_of_pass
from nbgrad.engine.programs import programs
from nbgrad.engine.rolling import (
    MIN_EQUATIONS,
    arguments,
    loops_in,
    numbers_in,
    runnable,
)
from nbgrad.engine.tiers import Executable
from nbgrad.engine.watched import cotangents
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.vjp import vjp

if TYPE_CHECKING:
    from nbgrad.core.tape import Tape
    from nbgrad.engine.freeing import Path
    from nbgrad.transforms.stacking import Rerolled

Found = list[tuple[Node, Node]]


class Plan(Value):
    """A differentiated structure: its program, and what each of its results is for.

    ``several`` says that some of ``results`` are operations with several results; ``loops`` how the
    arguments are stacked for the loops that were found.

    Indices follow ``Capture.index``: nodes from 0 up, leaves from -1 down.
    """

    exe: Executable
    wrt: tuple[int, ...]
    results: tuple[int, ...]
    several: bool
    bound: tuple[int, ...]
    path: Path
    loops: Rerolled | None


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
            refuse_dropped(cap, inputs)
        if leaf.value is None:
            traced = True
    traced = traced or not (create_graph or computed(seeds))
    watched = watching.any and any(n.watch is not None for n in (*cap.nodes, *cap.leaves))
    if create_graph and not watched and not lines.on:
        found = _recorded_again(cap, outputs, seeds, inputs)
    elif create_graph or watched or traced or (lines.on and modes.observers):
        plain, at_once = not (watched or lines.on), not (create_graph or traced)
        found = _node_route(
            cap, outputs, seeds, inputs, retain_graph, create_graph, plain, at_once
        )
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
            total[now] = total[now] + gradient if now in total else gradient
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
    plan = programs.find(key, _plan, cap, outputs, given, wrt, places)
    nodes = cap.nodes
    args = arguments(plan.loops, cap.values + cap.scalars)
    if args is None:
        plan = programs.renew(key, _plan, cap, outputs, given, wrt, places, False)
        args = arguments(plan.loops, cap.values + cap.scalars)
        assert args is not None
    if plan.bound:
        args += [nodes[k].value for k in plan.bound]
    if True in given:
        wanted = [s for s in seeds if s is not None]
        args += [s.value for s in wanted]
    values = plan.exe.run(args)
    computed = values[len(plan.wrt) :]
    if plan.several:
        held, computed = given_to_parts([nodes[k] for k in plan.results], computed)
        for node, value in zip(held, computed, strict=True):
            settle(node, value)
    else:
        for k, value in zip(plan.results, computed, strict=True):
            settle(nodes[k], value)
    if not retain_graph:
        free(nodes, plan.path)
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
    alike: bool = True,
) -> Plan:
    """Differentiate a captured structure and make it runnable; see ``numbers_in`` for *alike*."""
    below = _below(cap, outputs)
    wanted = _targets(cap, None) if given_wrt is None else given_wrt
    wrt = tuple(k for k in wanted if k in below)
    path = path_between(cap, outputs, below, wrt, given_wrt is None)
    refuse_freed(cap.nodes, path.freed)
    tape, var_of = build_tape(cap, outputs)
    states = cap.states
    blocked = [n for n, state in zip(cap.nodes, states, strict=True) if state == INACTIVE]
    stop = [k for k, state in enumerate(states) if state == CUT]
    known = tuple(k for k, state in enumerate(states) if state == BOUND)
    results = {*stop, *(cap.index[n] for n in outputs if n.value is None)}
    results |= set(kept(cap, places)) if places else set()
    nodes = [cap.nodes[k] for k in sorted(results)]
    at = {k: var_of[_node_at(cap, k)] for k in (*wrt, *stop, *known)}
    bound: tuple[int, ...] = ()
    named, fixed = variables(var_of, nodes), [at[k] for k in (*wrt, *stop)]

    def differentiated(tape: Tape) -> tuple[Tape, list[Node]]:
        nonlocal bound  # what is computed inside a loop is computed again
        held = {out for eqn in tape.eqns for out in eqn.outs}
        bound = tuple([k for k in known if at[k] in held])
        return vjp(
            tape,
            [at[k] for k in wrt],
            seeded=given,
            blocked=frozenset(variables(var_of, blocked)),
            stop=frozenset(at[k] for k in stop),
            bound=[at[k] for k in bound],
            results=named,
        )

    cut, numbers = severed(cap, var_of), numbers_in(tape, cap, alike)
    exe, loops = runnable(tape, differentiated, named, fixed, cut, numbers)
    some = any(is_several(n.aval) for n in nodes)
    return Plan(exe, wrt, tuple(sorted(results)), some, bound, path, loops)


def severed(cap: Capture, var_of: dict[Node, Any]) -> set[Any]:
    """What was computed of active values while no gradient was recorded."""
    states = cap.states
    if INACTIVE not in states:
        return set()
    cut = [
        node
        for node, state, xs in zip(cap.nodes, states, cap.operands, strict=True)
        if state == INACTIVE
        # Through a comparison none would flow in any case; an alias may be dropped.
        and (node.sig.differentiable or node.sig.prim.alias)
        and any(x.__class__ is Node and x.requires_grad for x in xs)
    ]
    return set(variables(var_of, cut))


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
    found = _node_route(cap, outputs, seeds, inputs, True, True, True, False)
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
    plain: bool,
    at_once: bool,
) -> Found:
    """By rules and hooks, or, if nobody looks on (*plain*), by the loops in it; computed *at_once*."""
    below = _below(cap, outputs)
    wrt = tuple(k for k in _targets(cap, inputs) if k in below)
    path = path_between(cap, outputs, below, wrt, inputs is None)
    refuse_freed(cap.nodes, path.freed)
    if modes.anomaly:
        require_values(cap)
        check_forward([cap.nodes[k] for k in cap.order()])
    targets = [_node_at(cap, k) for k in wrt]
    before = modes.grad
    modes.grad = create_graph
    try:
        with without_checks():
            loops = _by_loops(cap, outputs, seeds, targets) if plain else None
            found = loops or cotangents(cap, outputs, seeds, targets, inputs is None)
    finally:
        modes.grad = before
    if at_once:
        results = [gradient for _, gradient in found]
        demand([*results, *outputs, *(n for n in cap.nodes if n.leaf is not None)])
    if not (retain_graph or create_graph):
        free(cap.nodes, path)
    return found


def _has_sources(cap: Capture, targets: Sequence[Node]) -> bool:
    """Whether some recorded node is what another pass differentiates by, though nothing leads to it.

    So is the copy of a traced argument. Computed anew from the leaves it would be another node, and
    what is recorded would not belong to that pass.
    """
    return any(
        node.requires_grad
        and node not in targets
        and not any(x.__class__ is Node and x.requires_grad for x in operands)
        for node, operands in zip(cap.nodes, cap.operands, strict=True)
    )


def _by_loops(
    cap: Capture, outputs: Sequence[Node], seeds: Sequence[Node | None], targets: Sequence[Node]
) -> Found | None:
    """Record the derivative of the tape with its loops, if it has some; computed from the leaves."""
    long = len(cap.nodes) >= MIN_EQUATIONS or any(is_several(n.aval) for n in cap.nodes)
    if not long or _has_sources(cap, targets):
        return None
    with paused():
        tape, var_of = build_tape(cap, outputs, lift=False)
        states = list(zip(cap.nodes, cap.states, strict=True))
        stop = [var_of[n] for n, state in states if state == CUT]
        wrt = [var_of[t] for t in targets]
        held = [leaf for leaf in cap.leaves if leaf.value is not None and not leaf.requires_grad]
        stackable = [var_of[leaf] for leaf in held]
        loops = loops_in(tape, stackable, (), [*wrt, *stop], severed(cap, var_of))
    if loops is None:
        return None
    derivative, constants = vjp(
        loops.tape,
        wrt,
        seeded=[s is not None for s in seeds],
        blocked=frozenset(variables(var_of, [n for n, state in states if state == INACTIVE])),
        stop=frozenset(stop),
    )
    given = loops.nodes(cap.leaves)
    nodes = [*given, *[s for s in seeds if s is not None], *constants]
    return list(zip(targets, inline(simplify(derivative), nodes), strict=True))
