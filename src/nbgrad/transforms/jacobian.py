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
from nbgrad.ops.kinds.batching import UNITS, moved, stacked
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.transforms.bands import band_of, directions, spread
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
        known = [env[v] for v in (*tape.inputs, *bound)]
        band = band_of(one, one.inputs[len(known)])
        if band is not None:
            seeds = directions(x.aval, band)
            stacks = [[y] for y in _pushed(one, known, seeds, constants, tape.outputs)]
            made = [spread(y, x.aval.size, band) for (y,) in stacks]
        else:
            stacks = _stacks(one, known, constants, x.aval, tape.outputs)
            made = [_as_columns(p, y, x) for p, y in zip(stacks, tape.outputs, strict=True)]
        for block, found in zip(blocks, made, strict=True):
            block.append(found)
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
        known = [env[v] for v in (*tape.inputs, *bound)]
        found = _stacks(one, known, constants, y.aval, wrt)  # type: ignore[union-attr]
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
    one: Tape, known: Sequence[Node], constants: Sequence[Node], seed: Aval, like: Sequence[Any]
) -> list[list[Node]]:
    """For each output of *one*, of which *seed* is an input, stacks of it for all seeds."""
    found: list[list[Node]] = [[] for _ in one.outputs]
    size = _chunk(one, seed)
    for start in range(0, seed.size, size):
        seeds = units(seed, start, min(start + size, seed.size))
        kind = UNITS if seeds.shape[0] == seed.size else True
        pushed = _pushed(one, known, seeds, constants, like, kind)
        for parts, out in zip(found, pushed, strict=True):
            parts.append(out)
    return found


def _pushed(
    one: Tape,
    known: Sequence[Node],
    seeds: Node,
    constants: Sequence[Node],
    like: Sequence[Any],
    kind: bool = True,
) -> list[Node]:
    """The outputs of *one* for a stack of seeds; each is of arrays as the variable of *like* is.

    *kind* is UNITS if they are those.
    """
    size = seeds.shape[0]
    flags = [False] * len(known) + [kind] + [False] * len(constants)
    outs, stacks = batched(one, [*known, seeds, *constants], size, flags)
    return [
        out if is_stack else stacked(materialize(out, var.aval), size)
        for var, out, is_stack in zip(like, outs, stacks, strict=True)
    ]


def _chunk(one: Tape, seed: Aval) -> int:
    """How many seeds are pushed through *one* at once."""
    each = sum([out.aval.nbytes for eqn in one.eqns for out in eqn.outs]) + seed.nbytes
    return max(1, MAX_BYTES // max(each, 1), math.ceil(seed.size / MAX_CHUNKS))


def _as_columns(parts: Sequence[Node], y: Any, x: Var) -> Node:
    behind = [moved(part, 0, part.ndim - 1) for part in parts]
    return _joined(behind, -1, (*y.aval.shape, *x.aval.shape), y.aval)


def _joined(parts: Sequence[Node], axis: int, shape: tuple[int, ...], aval: Aval) -> Node:
    if not parts:
        return full(0, shape=shape, dtype=aval.dtype)  # type: ignore[no-any-return]
    axis %= parts[0].ndim
    whole = parts[0] if len(parts) == 1 else concatenate(*parts, axis=axis)
    return reshape(whole, shape=shape)  # type: ignore[no-any-return]
