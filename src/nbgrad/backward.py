"""The backward pass over recorded nodes: which route it takes, what it frees, where grads go.

Two routes lead to the same rules. The *program* route differentiates the captured tape once per
structure and then only runs the cached program. The *node* route records the cotangents as nodes
on the user's graph: for ``create_graph``, hooks, user-written backwards and anomaly detection.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbgrad.anomaly import check_forward, observer
from nbgrad.config import settings
from nbgrad.core.linearize import BOUND, CUT, INACTIVE, Capture, build_tape, capture, require_values
from nbgrad.core.modes import modes, watching
from nbgrad.core.node import Node, leaf_node, placeholder
from nbgrad.core.primitive import Signature
from nbgrad.engine import demand, executable, programs, settle
from nbgrad.errors import FREED, AutogradError
from nbgrad.ops.kinds import materialize
from nbgrad.executable import Executable
from nbgrad.transforms.vjp import backpropagate, reached, vjp

_accumulating = threading.Lock()


@dataclass(frozen=True, slots=True)
class Plan:
    """A differentiated structure: its program, and what each of its results is for.

    Indices follow ``Capture.index``: nodes from 0 up, leaves from -1 down.
    """

    exe: Executable
    wrt: tuple[int, ...]
    results: tuple[int, ...]
    bound: tuple[int, ...]
    freed: tuple[int, ...]


def run_backward(
    outputs: Sequence[Node],
    seeds: Sequence[Node | None],
    *,
    inputs: Sequence[Node] | None,
    retain_graph: bool,
    create_graph: bool,
) -> list[tuple[Node, Node | None]]:
    """Return (node, gradient) for each of *inputs*, or for every leaf if None."""
    cap = capture(outputs, differentiate=True)
    wrt = _targets(cap, inputs)
    watched = watching.any and any(n.watch is not None for n in (*cap.nodes, *cap.leaves))
    if create_graph or watched or modes.anomaly or any(v is None for v in cap.values):
        return _node_route(cap, outputs, seeds, inputs, wrt, retain_graph, create_graph)
    return _program_route(cap, outputs, seeds, inputs, wrt, retain_graph)


def _targets(cap: Capture, inputs: Sequence[Node] | None) -> tuple[int, ...]:
    """Indices of the nodes whose gradient is wanted and that the outputs depend on."""
    if inputs is not None:
        return tuple(cap.index[n] for n in inputs if n in cap.index and n.requires_grad)
    found = [-1 - k for k, leaf in enumerate(cap.leaves) if leaf.requires_grad]
    found += [k for k, state in enumerate(cap.states) if state == CUT]
    return tuple(found)


def _node_at(cap: Capture, index: int) -> Node:
    return cap.nodes[index] if index >= 0 else cap.leaves[-1 - index]


# ---------------------------------------------------------------------------------- program route


def _program_route(
    cap: Capture,
    outputs: Sequence[Node],
    seeds: Sequence[Node | None],
    inputs: Sequence[Node] | None,
    wrt: tuple[int, ...],
    retain_graph: bool,
) -> list[tuple[Node, Node | None]]:
    given = tuple(s is not None for s in seeds)
    policy = settings.current.nan_policy
    key = ("backward", cap.key, given, None if inputs is None else wrt, policy)
    plan: Plan = programs.find(key, lambda: _plan(cap, outputs, given, wrt, inputs is None))
    nodes = cap.nodes
    _refuse_freed(nodes, plan.freed)
    args = [*cap.values, *cap.scalars]
    args += [nodes[k].value for k in plan.bound]
    if any(given):
        wanted = [s for s in seeds if s is not None]
        demand(wanted)
        args += [s.value for s in wanted]
    values = plan.exe.run(args)
    split = len(plan.wrt)
    for index, value in zip(plan.results, values[split:], strict=True):
        settle(nodes[index], value)
    if not retain_graph:
        _free(nodes, plan.freed, outputs if inputs is None else ())
    return [
        (_node_at(cap, index), leaf_node(value))
        for index, value in zip(plan.wrt, values, strict=False)
    ]


def _plan(
    cap: Capture,
    outputs: Sequence[Node],
    given: tuple[bool, ...],
    wrt: tuple[int, ...],
    every_leaf: bool,
) -> Plan:
    """Differentiate a captured structure and make it runnable."""
    tape, var_of = build_tape(cap, outputs)
    states = cap.states
    at = {k: var_of[n] for k, n in enumerate(cap.nodes)}
    at.update({-1 - k: var_of[leaf] for k, leaf in enumerate(cap.leaves)})
    bound = tuple(k for k, state in enumerate(states) if state == BOUND)
    results = {k for k, state in enumerate(states) if state == CUT}
    results |= {cap.index[n] for n in outputs if n.value is None}
    blocked = frozenset(at[k] for k, state in enumerate(states) if state == INACTIVE)
    targets = [at[k] for k in wrt]
    tape, constants = vjp(
        tape,
        targets,
        unit_seeds=not any(given),
        blocked=blocked,
        stop=frozenset(at[k] for k, state in enumerate(states) if state == CUT),
        bound=[at[k] for k in bound],
        results=[at[k] for k in sorted(results)],
    )
    path = _path(cap, wrt, every_leaf)
    freed = tuple(k for k in path if saves(cap.nodes[k].sig))
    return Plan(executable(tape, constants), wrt, tuple(sorted(results)), bound, freed)


def _path(cap: Capture, wrt: tuple[int, ...], every_leaf: bool) -> list[int]:
    """Indices of the nodes that the backward pass to *wrt* executes."""
    if every_leaf:
        return [k for k, s in enumerate(cap.states) if s not in (INACTIVE, CUT)]
    reach = set(wrt)
    path = []
    for k, node in enumerate(cap.nodes):
        if cap.states[k] == INACTIVE:
            continue
        if any(x.__class__ is Node and cap.index[x] in reach for x in node.inputs):
            reach.add(k)
            path.append(k)
    return path


def saves(sig: Signature) -> bool:
    """Whether the backward rule of *sig* reads the value of an operand or of the result."""
    if sig.saves is None:
        sig.saves = _reads_values(sig)
    return sig.saves


def _reads_values(sig: Signature) -> bool:
    if sig.prim.vjp is None:
        return False
    xs = [
        placeholder(o) if not isinstance(o, type) else o(1)
        for o in sig.operands
    ]
    y, ct = placeholder(sig.aval), placeholder(sig.aval)
    wants = [x.__class__ is Node and x.aval.inexact for x in xs]
    cts = sig.prim.vjp(ct, y, xs, sig.params, wants)
    found = capture([c for c in cts if c.__class__ is Node])
    saved = {y, *(x for x in xs if x.__class__ is Node)}
    return any(leaf in saved for leaf in found.leaves)


def _refuse_freed(nodes: Sequence[Node], freed: Sequence[int]) -> None:
    for k in freed:
        if nodes[k].freed:
            _raise_freed(nodes[k])


def _raise_freed(node: Node) -> None:
    where = f" (the operation {node.sig.prim.name}" + (f" at {node.line})" if node.line else ")")
    raise AutogradError(FREED + where)


def _free(nodes: Sequence[Node], freed: Sequence[int], roots: Sequence[Node]) -> None:
    """Mark what a pass consumed; a freed node that has its buffer drops its operands."""
    for k in freed:
        node = nodes[k]
        node.freed = True
        if node.value is not None:
            node.inputs = ()
    if freed:
        # Something below each root is gone, so a second pass from it would raise anyway.
        for root in roots:
            if root.sig is not None:
                root.freed = True
                if root.value is not None:
                    root.inputs = ()


# ------------------------------------------------------------------------------------- node route


def _node_route(
    cap: Capture,
    outputs: Sequence[Node],
    seeds: Sequence[Node | None],
    inputs: Sequence[Node] | None,
    wrt: tuple[int, ...],
    retain_graph: bool,
    create_graph: bool,
) -> list[tuple[Node, Node | None]]:
    tape, var_of = build_tape(cap, outputs, lift=False)
    env: dict[Any, Any] = {var: node for node, var in var_of.items()}
    path = _path(cap, wrt, inputs is None)
    needed = [k for k in path if saves(cap.nodes[k].sig)]
    _refuse_freed(cap.nodes, needed)
    if modes.anomaly:
        require_values(cap, "Anomaly detection")
        check_forward(cap.nodes)
    blocked = frozenset(var_of[n] for n, s in zip(cap.nodes, cap.states, strict=True) if not s)
    stop = frozenset(var_of[n] for n, s in zip(cap.nodes, cap.states, strict=True) if s == CUT)
    targets = [_node_at(cap, k) for k in wrt]
    watched = [n for n in (*cap.nodes, *cap.leaves) if n.watch is not None and n.requires_grad]
    active = reached(tape, [var_of[n] for n in (*targets, *watched)], blocked)
    seed_of: dict[Any, Any] = {}
    for node, seed in zip(outputs, seeds, strict=True):
        before = seed_of.get(var_of[node])
        ct = 1.0 if seed is None else seed
        seed_of[var_of[node]] = ct if before is None else before + ct

    def hook(var: Any, ct: Any) -> Any:
        return _call_hooks(env[var], ct)

    before_mode = modes.grad
    modes.grad = create_graph
    try:
        observe = observer(env) if modes.anomaly else None
        cts = backpropagate(tape.eqns, env, active, seed_of, stop, hook, observe)
        results = []
        for target in targets:
            ct = cts.get(var_of[target], 0.0)
            if target.sig is None or target.leaf is not None:
                ct = _call_hooks(target, ct)
            results.append(materialize(ct, target.aval))
    finally:
        modes.grad = before_mode
    if not create_graph and all(v is not None for v in cap.values):
        demand([*results, *(n for n in cap.nodes if n.leaf is not None)])
    if not (retain_graph or create_graph):
        _free(cap.nodes, needed, outputs if inputs is None else ())
    return list(zip(targets, results, strict=True))


def _call_hooks(node: Node, ct: Any) -> Any:
    watch = node.watch
    if watch is None or not hasattr(watch, "on_cotangent"):
        return ct
    return watch.on_cotangent(node, materialize(ct, node.aval))


# ------------------------------------------------------------------------------------ accumulation


def accumulate(node: Node, gradient: Node) -> None:
    """Add *gradient* to the ``.grad`` of the tensor that *node* is a leaf of.

    The buffer of ``.grad`` is updated in place when nobody else can see it.
    """
    tensor = node.leaf() if node.leaf is not None else None
    if tensor is None or not tensor.requires_grad:
        return
    with _accumulating:
        held = tensor.grad
        if held is None:
            tensor._grad = tensor.__class__(gradient)
        elif gradient.requires_grad or held._node.requires_grad or held._node.value is None:
            held._node = held._node + gradient
        else:
            _add_in_place(held, gradient)


def _add_in_place(held: Any, gradient: Node) -> None:
    demand([gradient])
    buffer = held._node.value
    # One reference each from the slot and from the call (plus our name for the buffer).
    exclusive = sys.getrefcount(held._node) <= 2 and sys.getrefcount(buffer) <= 3
    if exclusive and buffer.flags.writeable and buffer.base is None:
        np.add(buffer, gradient.value, out=buffer)
    else:
        held._node = leaf_node(np.asarray(np.add(buffer, gradient.value)))
