"""What a backward pass consumes: which nodes it frees, and the refusal of a second one."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Sequence

from nbgrad.core.aval import Aval, avals_of, make_aval
from nbgrad.core.frozen import Value
from nbgrad.core.linearize import (
    CUT,
    INACTIVE,
    Capture,
    capture,
)
from nbgrad.core.modes import unrecorded, watching
from nbgrad.core.node import Node, placeholder
from nbgrad.core.signature import Signature
from nbgrad.errors import FREED, AutogradError


class Path(Value):
    """What one pass executes, as indices of the captured nodes.

    ``freed`` are the executed nodes whose rule reads a value, ``roots`` the outputs above them.
    """

    freed: tuple[int, ...]
    roots: tuple[int, ...]


def refuse_dropped(cap: Capture, inputs: Sequence[Node] | None) -> None:
    """Raise if the pass would end at a node that dropped its operands in an earlier one.

    An input that was recorded later than such a node cannot lie below it.
    """
    for leaf in cap.leaves:
        if leaf.freed and (
            inputs is None or any(n is not leaf and n.seq < leaf.seq for n in inputs)
        ):
            _raise_freed(leaf)


def refuse_freed(nodes: Sequence[Node], freed: Sequence[int]) -> None:
    for k in freed:
        if nodes[k].freed:
            _raise_freed(nodes[k])


def _raise_freed(node: Node) -> None:
    name = node.sig.prim.name
    where = f" (the operation {name}, recorded at {node.line})" if node.line else f" ({name})"
    raise AutogradError(FREED + where)


def path_between(
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
    """The places of the operands whose values the rule of *sig* reads; -1, -2 ... are results.

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
    ys, given = (tuple(map(placeholder, avals_of(sig.aval))) for _ in range(2))
    y, ct = (ys, given) if len(ys) > 1 else (ys[0], given[0])
    try:
        with unrecorded():
            cts = sig.prim.vjp(ct, y, xs, sig.params, wants)
    except NotImplementedError:  # it refuses some operand, which need not be a wanted one
        return tuple(range(len(xs)))
    results = [(-1 - k, y) for k, y in enumerate(ys)]
    found = set(capture([c for c in cts if c.__class__ is Node]).leaves)
    return tuple(k for k, x in [*enumerate(xs), *results] if x in found)


def free(nodes: Sequence[Node], path: Path) -> None:
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
