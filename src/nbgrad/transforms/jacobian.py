"""The Jacobian of a tape: one batched pass for all columns, or for all rows of a result.

The tape of tangents along one direction, or of cotangents of one result, is recorded for a stack of
directions: so many at once as memory allows. What depends on no direction is computed once.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from nbgrad.core.aval import Aval
from nbgrad.core.interpret import Environment
from nbgrad.core.node import Node
from nbgrad.core.tape import Tape, Var
from nbgrad.ops.arrays.units import units
from nbgrad.ops.basis import concatenate, full, reshape
from nbgrad.ops.kinds.batching import moved, stacked
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.transforms.jvp import jvp
from nbgrad.transforms.kinks import has_kinks
from nbgrad.transforms.vjp import vjp
from nbgrad.transforms.vmap import batched

MAX_BYTES = 1 << 28  # of the values of one stack of directions, as if all were kept
MAX_CHUNKS = 64  # of directions: a program grows with them

Blocks = list[list[Node]]


def columns(
    tape: Tape, env: Environment, wrt: Sequence[Var], closed: Collection[Var] = ()
) -> Blocks:
    """The Jacobian of each output by each of *wrt*: a tangent for each element of the latter.

    *env* has a node for each variable; nothing passes through those that are *closed*.
    """
    blocks: Blocks = [[] for _ in tape.outputs]
    bound = _bound(tape)
    for x in wrt:
        one, constants = jvp(tape, [x], closed=set(closed) - {x}, bound=bound)
        one = Tape(one.inputs, one.eqns, one.outputs[len(tape.outputs) :])
        found = _stacks(one, env, tape, bound, constants, x.aval, tape.outputs)
        for block, y, parts in zip(blocks, tape.outputs, found, strict=True):
            behind = [moved(part, 0, part.ndim - 1) for part in parts]
            block.append(_joined(behind, -1, (*y.aval.shape, *x.aval.shape), y.aval))  # type: ignore[union-attr]
    return blocks


def rows(
    tape: Tape,
    env: Environment,
    wrt: Sequence[Var],
    blocked: frozenset[Var] = frozenset(),
    stop: frozenset[Var] = frozenset(),
) -> Blocks:
    """The same by a cotangent for each element of the outputs; see :func:`vjp` for the rest."""
    blocks: Blocks = []
    # Limits at kinks are found by going through all that leads to them.
    bound = [] if has_kinks(tape.eqns) else _bound(tape)
    for y in tape.outputs:
        part = Tape(tape.inputs, tape.eqns, (y,))
        one, constants = vjp(part, wrt, blocked=blocked, stop=stop, bound=bound)
        found = _stacks(one, env, tape, bound, constants, y.aval, wrt)  # type: ignore[union-attr]
        blocks.append(
            [
                _joined(parts, 0, (*y.aval.shape, *x.aval.shape), x.aval)  # type: ignore[union-attr]
                for x, parts in zip(wrt, found, strict=True)
            ]
        )
    return blocks


def _bound(tape: Tape) -> list[Var]:
    return [out for eqn in tape.eqns for out in eqn.outs]


def _stacks(
    one: Tape,
    env: Environment,
    tape: Tape,
    bound: Sequence[Var],
    constants: Sequence[Node],
    seed: Aval,
    like: Sequence[Any],
) -> list[list[Node]]:
    """For each output of *one*, of which *seed* is an input, stacks of it for all seeds.

    An output is an array as the variable in its place in *like*.
    """
    known = [env[v] for v in (*tape.inputs, *bound)]
    flags = [False] * len(known) + [True] + [False] * len(constants)
    found: list[list[Node]] = [[] for _ in one.outputs]
    size = _chunk(one, seed)
    for start in range(0, seed.size, size):
        stop = min(start + size, seed.size)
        nodes = [*known, units(seed, start, stop), *constants]
        outs, stacks = batched(one, nodes, stop - start, flags)
        for parts, var, out, is_stack in zip(found, like, outs, stacks, strict=True):
            parts.append(out if is_stack else stacked(materialize(out, var.aval), stop - start))
    return found


def _chunk(one: Tape, seed: Aval) -> int:
    """How many seeds are pushed through *one* at once."""
    each = sum([out.aval.nbytes for eqn in one.eqns for out in eqn.outs]) + seed.nbytes
    return max(1, MAX_BYTES // max(each, 1), math.ceil(seed.size / MAX_CHUNKS))


def _joined(parts: Sequence[Node], axis: int, shape: tuple[int, ...], aval: Aval) -> Node:
    if not parts:
        return full(0, shape=shape, dtype=aval.dtype)  # type: ignore[no-any-return]
    axis %= parts[0].ndim
    whole = parts[0] if len(parts) == 1 else concatenate(*parts, axis=axis)
    return reshape(whole, shape=shape)  # type: ignore[no-any-return]
