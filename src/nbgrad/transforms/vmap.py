"""Batching a tape: the tape that does for stacks of its inputs what it does for one of each."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from nbgrad.core.aval import alike
from nbgrad.core.check import checked
from nbgrad.core.interpret import Environment, bind_results, read, replay
from nbgrad.core.linearize import linearize
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, placeholder
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.errors import NO_BATCH
from nbgrad.ops.basis import cast
from nbgrad.ops.kinds.batching import UNITS
from nbgrad.ops.kinds.forms import index_map


def vmap(
    tape: Tape, size: int, mapped: Sequence[bool]
) -> tuple[Tape, list[Node], tuple[bool, ...]]:
    """Return the tape of stacks, constants that are its last inputs, and which outputs are stacks.

    Parameters
    ----------
    tape : Tape
    size : int
        The number of arrays in a stack.
    mapped : sequence of bool
        Which inputs are stacks, the batch being their first dimension; what depends on no stack is
        computed once. No flag is UNITS in the tape: it may be a loop's, whose carry is of such in
        the first run alone.
    """
    mapped = [bool(is_stack) for is_stack in mapped]
    inputs = []
    for var, is_stack in zip(tape.inputs, mapped, strict=True):
        shape = (size, *var.aval.shape) if is_stack else var.aval.shape
        inputs.append(placeholder(alike(var.aval, shape)))
    outs, flags = batched(tape, inputs, size, mapped)
    new, constants = linearize(outs, inputs)
    for mine, given, is_stack in zip(new.inputs, tape.inputs, mapped, strict=False):
        mine.weak = given.weak and not is_stack
    return checked(new), constants, flags


def batched(
    tape: Tape,
    nodes: Sequence[Any],
    size: int,
    mapped: Sequence[bool],
    closed: AbstractSet[Var] = frozenset(),
) -> tuple[list[Any], tuple[bool, ...]]:
    """Record on *nodes* what the tape does for each of a stack; the outputs, and which are stacks.

    No gradient passes through the variables in *closed*.
    """
    env: Environment = dict(zip(tape.inputs, nodes, strict=True))
    stacks: dict[Any, Any] = {
        var: is_stack for var, is_stack in zip(tape.inputs, mapped, strict=True) if is_stack
    }
    before = modes.grad
    try:
        for eqn in tape.eqns:
            modes.grad = before and closed.isdisjoint(eqn.outs)
            if stacks.keys().isdisjoint(eqn.inputs):
                bind_results(env, eqn, replay(eqn, [read(env, a) for a in eqn.inputs]))
            else:
                found = _batched(eqn, env, stacks, size)
                flag = _still_units(eqn, stacks) or True
                for out, node in zip(eqn.outs, found, strict=True):
                    one = _repeated(node, out)
                    env[out] = node if one is None else one
                    if one is None:
                        stacks[out] = flag
    finally:
        modes.grad = before
    return [read(env, a) for a in tape.outputs], tuple([a in stacks for a in tape.outputs])


def _repeated(node: Node, out: Var) -> Any:
    """What *node*, in the place of *out*, has for each of a batch; None if that may differ.

    Of several results, as of what a loop carries, some may depend on no stack.
    """
    if node.sig is None or index_map(node.sig.prim) != "broadcast_to":
        return None
    (x,) = node.inputs
    return x if x.__class__ is Node and x.aval is out.aval else None


def _still_units(eqn: Equation, stacks: dict[Any, Any]) -> Any:
    """UNITS if the result has the elements of such in their order, else None."""
    kept = index_map(eqn.prim) == "reshape"
    return UNITS if kept and stacks.get(eqn.inputs[0]) is UNITS else None


def _batched(eqn: Equation, env: Environment, stacks: dict[Any, Any], size: int) -> Sequence[Node]:
    """The results of one equation that reads stacks."""
    sig = eqn.sig
    batch = sig.prim.batch
    if batch is None:
        raise NotImplementedError(NO_BATCH.format(name=sig.prim.name))
    mapped = [a.__class__ is Var and stacks.get(a, False) for a in eqn.inputs]
    xs = [
        _strong(read(env, a), a, sig.loop[k] if k < len(sig.loop) else None) if m else read(env, a)
        for k, (a, m) in enumerate(zip(eqn.inputs, mapped, strict=True))
    ]
    found = batch(sig.prim, xs, mapped, eqn.params, size)
    nodes: Sequence[Node] = found if len(eqn.outs) > 1 else (found,)
    for node, out in zip(nodes, eqn.outs, strict=True):
        if node.shape != (size, *out.aval.shape) or node.dtype != out.aval.dtype:
            raise AssertionError(f"{sig.prim.name}: a stack of {out.aval} became {node.aval}")
        node.line = eqn.line
    return nodes


def _strong(x: Node, var: Any, dtype: Any) -> Node:
    """A stack of numbers, which took the dtype of the arrays beside them, in that dtype."""
    if isinstance(var, Var) and var.aval.weak and dtype is not None and x.dtype != dtype:
        return cast(x, dtype=dtype)  # type: ignore[no-any-return]
    return x
