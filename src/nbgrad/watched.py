"""The backward pass that runs as nodes: it calls hooks and rules that users wrote."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nbgrad.anomaly import observer
from nbgrad.core.linearize import CUT, INACTIVE, Capture, build_tape
from nbgrad.core.modes import modes
from nbgrad.core.node import Node
from nbgrad.core.tape import Equation
from nbgrad.ops.kinds import materialize
from nbgrad.transforms.vjp import UNDEFINED, Apply, backpropagate, call_rule, reached


class Pass:
    """One backward pass while it runs: what it executes, and what is to be called after it."""

    __slots__ = ("callbacks", "executed")

    def __init__(self, executed: set[Node]) -> None:
        self.executed = executed
        self.callbacks: list[Callable[[], None]] = []


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


def cotangents(
    cap: Capture,
    outputs: Sequence[Node],
    seeds: Sequence[Node | None],
    targets: Sequence[Node],
    every_leaf: bool,
) -> list[tuple[Node, Node]]:
    """Record the cotangents of *targets* as nodes, calling the hooks on the way.

    Left out are those that no cotangent reached because user-written functions returned None.
    Hooks that lie below given inputs are not on the way to them.
    """
    tape, var_of = build_tape(cap, outputs, lift=False)
    env: dict[Any, Any] = {var: node for node, var in var_of.items()}
    states = list(zip(cap.nodes, cap.states, strict=True))
    blocked = frozenset(var_of[n] for n, state in states if state == INACTIVE)
    stop = frozenset(var_of[n] for n, state in states if state == CUT)
    ends = list(targets)
    if every_leaf:
        ends += [n for n in (*cap.nodes, *cap.leaves) if n.watch is not None and n.requires_grad]
    active = reached(tape, [var_of[n] for n in ends], blocked)
    seed_of: dict[Any, Any] = {}
    for node, seed in zip(outputs, seeds, strict=True):
        before = seed_of.get(var_of[node])
        ct = 1.0 if seed is None else seed
        seed_of[var_of[node]] = ct if before is None else before + ct
    met: set[Node] = set()

    def hook(var: Any, ct: Any) -> Any:
        met.add(env[var])
        return call_hooks(env[var], ct)

    with _run({env[var] for var in active}):
        cts = backpropagate(tape.eqns, env, active, seed_of, stop, hook, _applying(env))
        results = [_arrived(t, cts.get(var_of[t], 0.0), t in met) for t in targets]
    return [(t, ct) for t, ct in zip(targets, results, strict=True) if ct is not None]


def _arrived(target: Node, ct: Any, hooked: bool) -> Node | None:
    """The gradient of *target*: a leaf that no equation computes is hooked only now."""
    if not hooked and (target.sig is None or target.leaf is not None):
        ct = call_hooks(target, ct)
    return None if ct is UNDEFINED else materialize(ct, target.aval)


def call_hooks(node: Node, ct: Any) -> Any:
    """Show the complete cotangent of *node* to its tensor's hooks."""
    return ct if node.watch is None else node.watch.on_cotangent(node, ct)


# ---------------------------------------------------------------------- hooks of backward functions


def _applying(env: dict[Any, Any]) -> Apply:
    """How rules are called: with the hooks of their functions, and checked for anomalies."""
    observe = observer(env) if modes.anomaly else None

    def apply(eqn: Equation, ct: Any, y: Any, xs: list[Any], wants: list[bool]) -> Sequence[Any]:
        watch = y.watch
        if ct is UNDEFINED and (watch is None or watch.context is None):
            return [UNDEFINED] * len(xs)
        hooked = watch is not None and (watch.before or watch.after)
        cts = (_hooked_rule if hooked else call_rule)(eqn, ct, y, xs, wants)
        if observe is not None:
            observe(eqn, cts)
        return cts

    return apply


def _hooked_rule(
    eqn: Equation, ct: Any, y: Node, xs: list[Any], wants: list[bool]
) -> Sequence[Any]:
    """The rule of a node with hooks before or after it."""
    watch = y.watch
    split, joined = (_whole, _only) if watch.context is None else watch.context.outputs_of(y)
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


def _only(cts: Sequence[Node | None]) -> Any:
    return UNDEFINED if cts[0] is None else cts[0]
