"""The backward pass that runs as nodes: it calls hooks and rules that users wrote."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nbgrad.core.collector import paused
from nbgrad.core.linearize import CUT, INACTIVE, Capture, build_tape, environment, variables
from nbgrad.core.modes import modes
from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive, Rules
from nbgrad.core.tape import Equation
from nbgrad.engine.anomaly import observer
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Host
from nbgrad.transforms.vjp import UNDEFINED, Apply, backpropagate, call_rule, reached


class Pass:
    """One backward pass while it runs: what it executes, and what is to be called after it.

    ``callbacks`` are called if it has succeeded, ``last`` in any case.
    """

    __slots__ = ("callbacks", "executed", "last")

    def __init__(self, executed: set[Node]) -> None:
        self.executed = executed
        self.callbacks: list[Callable[[], None]] = []
        self.last: list[Callable[[], object]] = []

    def finally_call(self, callback: Callable[[], object]) -> None:
        self.last.append(callback)


class _Running(threading.local):
    """The passes of this thread, an inner one last: a backward function may start another."""

    def __init__(self) -> None:
        self.passes: list[Pass] = []


_running = _Running()


def current_pass() -> Pass | None:
    """The innermost pass of this thread that runs now."""
    return _running.passes[-1] if _running.passes else None


@contextmanager
def _run(executed: set[Node]) -> Iterator[None]:
    now = Pass(executed)
    _running.passes.append(now)
    try:
        yield
        for callback in now.callbacks:  # which may add others
            callback()
    finally:
        _running.passes.pop()
        for finish in now.last:
            finish()


def cotangents(
    cap: Capture,
    outputs: Sequence[Node],
    seeds: Sequence[Node | None],
    targets: Sequence[Node],
    every_leaf: bool,
    ends: frozenset[Node] = frozenset(),
) -> list[tuple[Node, Node]]:
    """Record the cotangents of *targets* as nodes, calling the hooks on the way.

    Left out are those that no cotangent reached because user-written functions returned None.
    Hooks that lie below given inputs are not on the way to them. The pass is part of another one
    that goes on at *ends*: nothing flows through these, and their hooks are left to it.
    """
    with paused():
        tape, var_of = build_tape(cap, outputs, lift=False)
    env: dict[Any, Any] = environment(var_of)
    states = list(zip(cap.nodes, cap.states, strict=True))
    blocked = frozenset(variables(var_of, [n for n, state in states if state == INACTIVE]))
    stop = frozenset(var_of[n] for n, state in states if state == CUT or n in ends)
    sources = list(targets)
    if every_leaf:
        sources += [
            n for n in (*cap.nodes, *cap.leaves) if n.watch is not None and n.requires_grad
        ]
    wanted = variables(var_of, sources)
    active = reached(tape, wanted, blocked)
    seed_of: dict[Any, Any] = {}
    for node, seed in zip(outputs, seeds, strict=True):
        before = seed_of.get(var_of[node])
        ct = 1.0 if seed is None else seed
        seed_of[var_of[node]] = ct if before is None else before + ct

    def hook(var: Any, ct: Any) -> Any:
        node = env[var]
        return ct if node.leaf is not None or node in ends else call_hooks(node, ct)

    with _run({env[var] for var in active}):
        keep = {*wanted, *blocked}
        cts = backpropagate(tape.eqns, env, active, seed_of, stop, hook, _applying(env), keep)
        results = _at_leaves(targets, [cts.get(var_of[t], 0.0) for t in targets], ends)
    return [(t, ct) for t, ct in zip(targets, results, strict=True) if ct is not None]


def _at_leaves(
    targets: Sequence[Node], cts: list[Any], ends: frozenset[Node]
) -> list[Node | None]:
    """Call the hooks of leaves, each once: a leaf has a node for each value that was written to it."""
    first: dict[int, int] = {}
    for k, target in enumerate(targets):
        # By identity of the weak reference: those compare as the tensors do, element by element.
        if target in ends or target.leaf is None:
            continue
        if (j := first.setdefault(id(target.leaf), k)) != k:
            cts[j], cts[k] = _sum(cts[j], cts[k]), UNDEFINED
    for k, target in enumerate(targets):
        if target not in ends and (target.sig is None or target.leaf is not None):
            cts[k] = call_hooks(target, cts[k])
    return [
        None if ct is UNDEFINED else materialize(ct, target.aval)
        for ct, target in zip(cts, targets, strict=True)
    ]


def _sum(a: Any, b: Any) -> Any:
    if a is UNDEFINED or b is UNDEFINED:
        return b if a is UNDEFINED else a
    return a + b


def call_hooks(node: Node, ct: Any) -> Any:
    """Show the complete cotangent of *node* to its tensor's hooks."""
    return ct if node.watch is None else node.watch.on_cotangent(node, ct)


# ---------------------------------------------------------------------- hooks of backward functions


def _applying(env: dict[Any, Any]) -> Apply:
    """How rules are called: with the hooks of their functions, and checked for anomalies."""
    observe = observer(env) if modes.anomaly else None

    def apply(eqn: Equation, ct: Any, y: Any, xs: list[Any], wants: list[bool]) -> Sequence[Any]:
        node = y
        if len(eqn.outs) > 1:
            node, ct = y[0].inputs[0], _defined(ct)
        watch = node.watch
        if ct is UNDEFINED and (watch is None or watch.context is None):
            return [UNDEFINED] * len(xs)
        if watch is not None and watch.saved:
            unpacked = {k: restored() for k, restored in watch.saved.items()}
            xs = [unpacked.get(k, x) for k, x in enumerate(xs)]
            if len(eqn.outs) > 1:
                y = tuple([unpacked.get(-1 - k, x) for k, x in enumerate(y)])
            else:
                y = unpacked.get(-1, y)
        hooked = watch is not None and (watch.before or watch.after)
        given = (eqn, ct, y, xs, wants)
        cts = _hooked_rule(node, *given) if hooked else call_rule(*given)
        if observe is not None:
            observe(eqn, cts)
        return cts

    return apply


def _hooked_rule(
    node: Node, eqn: Equation, ct: Any, y: Node, xs: list[Any], wants: list[bool]
) -> Sequence[Any]:
    """The rule of a node with hooks before or after it."""
    watch = node.watch
    split, joined = (_whole, _only) if watch.context is None else watch.context.outputs_of(y)
    if len(eqn.outs) > 1:
        split, joined = _each, tuple
    given = watch.run(watch.before, split(ct, y))
    cts = list(call_rule(eqn, joined(given), y, xs, wants))
    if not watch.after:
        return cts
    arrays = [
        materialize(c, x.aval) if want and c is not None and c is not UNDEFINED else None
        for c, x, want in zip(cts, xs, wants, strict=True)
    ]
    outputs = tuple(None if g is None else watch.tensor_type(g) for g in given)
    return watch.run(watch.after, arrays, outputs)  # type: ignore[no-any-return]


def _whole(ct: Any, y: Node) -> list[Node | None]:
    return [materialize(ct, y.aval)]


def _each(ct: tuple[Any, ...], y: tuple[Node, ...]) -> list[Node | None]:
    return [None if c is None else materialize(c, x.aval) for c, x in zip(ct, y, strict=True)]


def _defined(cts: tuple[Any, ...]) -> Any:
    """Cotangents of several results, None for one that is not defined; UNDEFINED if none is."""
    given = tuple([None if c is UNDEFINED else c for c in cts])
    return UNDEFINED if all(c is None for c in given) else given


def _only(cts: Sequence[Node | None]) -> Any:
    return UNDEFINED if cts[0] is None else cts[0]


# --------------------------------------------------------------------------------- saved values


def _value(node: Any, value: Any) -> Any:
    return value


def _to_graph(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> list[Any]:
    return [ct, None]


def _from_graph(tangents: Any, y: Node, xs: Any, params: Any) -> Any:
    return tangents[0]


_reattach = Primitive(
    name="unpacked",
    kind="opaque",
    evaluate=_value,
    prepare=lambda xs, params: (xs, xs[0].aval, ()),
    rules=Rules(_to_graph, _from_graph),
    lower=Host(),
    grad_name="Unpacked",
    doc="A saved value in the place of the one that was recorded, whose graph it has.",
    registered=False,
)


def reattached(node: Node, value: Node) -> Node:
    """*value* on the graph of *node*."""
    if value.dtype != node.dtype:
        value = materialize(value, node.aval)
    made: Node = _reattach(node, value)
    return made
