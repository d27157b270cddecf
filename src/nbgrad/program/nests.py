"""From a tape to its steps: loop nests and library calls, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np

from nbgrad.core.aval import make_aval
from nbgrad.core.frozen import Value, replace
from nbgrad.core.tape import Equation, Literal, Tape, Var
from nbgrad.ops.kinds.forms import Combine
from nbgrad.program import index
from nbgrad.program.arrange import Arranged, arrange
from nbgrad.program.fuse import Assemble, Fusion, Group, HostCall, Step
from nbgrad.program.loops import Fork, Round, Trip, fork_of, round_of, trip_of
from nbgrad.program.moved import largest_costs
from nbgrad.program.nest import Guard, Load, Nest, Reduce, Select, Store
from nbgrad.program.rows import Rows
from nbgrad.program.text import is_wide
from nbgrad.program.values import CARD_CODES, Body, MustMaterialize, TooLong
from nbgrad.program.views import LibraryCall, Stage, library_call, unreadable


class Call(Value):
    """A library call: the equation, and the view equations that lead to its operands."""

    eqn: Equation
    views: tuple[Equation, ...]
    reads: tuple[Var, ...]


# Attempts in which values that two nests would recompute are stored. Storing some uncovers others,
# and a long loop could go on for dozens of rounds to save what little is left.
STORE_ROUNDS = 3

# Rows of float32 that are added up before float64 takes over.
FEW_ROWS = 64

# Partial results of columns, all together, that keep the threads of a card busy.
PARTIALS = 1 << 17

Item = Arranged | Rows | Stage | Call | LibraryCall | Round | Trip | Fork


def build(tape: Tape) -> tuple[list[Item], dict[Var, Var]]:
    """Fuse *tape* into arranged nests and library calls; and say which outputs hold what values.

    Reductions are whole; ``in_blocks`` cuts those that say so.

    What turns out to be needed in memory is added, and fusion starts again; all such finds of one
    attempt are taken together, or a long tape would be fused anew for each.
    """
    extra: set[Var] = set()
    for attempt in count():
        fusion = Fusion(tape, extra)
        found = unreadable(fusion)
        if attempt < STORE_ROUNDS:
            found |= largest_costs(fusion, fusion.repeated())
        items: list[Item] = []
        for step in fusion.steps if not found else ():
            try:
                items += _items(step, fusion)
            except MustMaterialize as missing:
                if missing.var in extra:
                    raise
                found.add(missing.var)
        if not found:
            break
        extra |= found
    return items, fusion.shared


def _items(step: Step, fusion: Fusion) -> list[Item]:
    if isinstance(step, HostCall):
        host = _call(step.eqn, fusion)
        loop = round_of(step.eqn) or trip_of(step.eqn) or fork_of(step.eqn)
        return [library_call(host, fusion) or loop or host]
    if isinstance(step, Assemble):
        return [arrange(nest) for nest in _parts(step, fusion)]
    nests = _nests(step, fusion)
    return [_in_few_rows(arrange(nest)) for nest in nests]


def _call(eqn: Equation, fusion: Fusion) -> Call:
    """Collect the views between the operands of a library call and memory."""
    views: list[Equation] = []
    reads: list[Var] = []
    for operand in eqn.inputs:
        atom: Any = operand
        if not isinstance(atom, Var):
            continue
        chain = []
        while atom in fusion.producers and atom not in fusion.stored:
            producer = fusion.producers[atom]
            chain.append(producer)
            atom = producer.inputs[0]
        views += [v for v in reversed(chain) if v not in views]
        reads.append(atom)
    return Call(eqn, tuple(views), tuple(dict.fromkeys(reads)))


def _parts(step: Assemble, fusion: Fusion) -> list[Nest]:
    """One nest for each operand, which stores it in its window of the result."""
    eqn = step.eqn
    out = eqn.out.aval
    avals = [a.aval for a in eqn.inputs if isinstance(a, Var)]
    steps_of_out = index.strides_of(out.shape)
    nests = []
    for operand, starts, steps in step.assembly.parts(avals, out, eqn.params):
        shape = out.shape if operand is None else avals[operand].shape
        body = Body(len(shape), fusion.producers, fusion.stored, shape)
        here = index.identity(len(shape))
        source = Literal(0) if operand is None else eqn.inputs[operand]
        try:
            number = body.pull(source, here, (), out.dtype)
        except TooLong:
            assert isinstance(source, Var)
            raise MustMaterialize(source) from None
        strides = tuple(s * k for s, k in zip(steps_of_out, steps, strict=True))
        offset = sum(s * k for s, k in zip(steps_of_out, starts, strict=True))
        store = Store(number, eqn.out, strides, out.dtype, offset)
        nests.append(Nest(shape, frozenset(), tuple(body.values), (store,)))
    return nests


def _nests(group: Group, fusion: Fusion) -> list[Nest]:
    """Lower a group; one whose body grows too long is halved."""
    try:
        body, stores, reductions = _lower(group, fusion)
    except TooLong:
        if len(group.roots) == 1:
            raise MustMaterialize(_middle(group, fusion)) from None
        return [nest for part in _halves(group) for nest in _nests(part, fusion)]
    if len(body.names) > body.most and len(group.roots) > 1:
        return [nest for part in _halves(group) for nest in _nests(part, fusion)]
    return [
        Nest(
            group.shape,
            frozenset(group.reduced or ()) if reductions else frozenset(),
            tuple(body.values),
            tuple(stores),
            tuple(reductions),
        )
    ]


def _halves(group: Group) -> list[Group]:
    """The group as two, in order."""
    half = len(group.roots) // 2
    parts = []
    for roots in (group.roots[:half], group.roots[half:]):
        outs = {r if isinstance(r, Var) else r.out for r in roots}
        reduced = None
        if any(isinstance(r, Equation) for r in roots):
            reduced = group.reduced
        part = Group(group.shape, reduced)
        part.roots, part.outs, part.windows = list(roots), outs, group.windows
        parts.append(part)
    return parts


def _middle(group: Group, fusion: Fusion) -> Var:
    """A variable half-way down the expression of the only root of *group*."""
    root = group.roots[0]
    order: list[Var] = []
    seen: set[Var] = set()
    stack = [root if isinstance(root, Var) else root.inputs[0]]
    while stack:
        x = stack.pop()
        if not isinstance(x, Var) or x in seen or x not in fusion.producers:
            continue
        if x in fusion.stored and x is not root:
            continue
        seen.add(x)
        if isinstance(fusion.producers[x].sig.loop, tuple) and fusion.producers[x].sig.loop:
            order.append(x)
        stack.extend(fusion.producers[x].inputs)
    order.sort(key=lambda v: fusion.position[v])
    return order[len(order) // 2]


def _lower(group: Group, fusion: Fusion) -> tuple[Body, list[Store], list[Reduce]]:
    n_loops = len(group.shape)
    here = index.identity(n_loops)
    body = Body(n_loops, fusion.producers, fusion.stored, group.shape)
    body.local = {r for r in group.roots if isinstance(r, Var)}
    stores, reductions = [], []
    for root in group.roots:
        if isinstance(root, Var):
            strides = index.strides_of(group.shape)
            if root in fusion.producers:
                number = body.pull(root, here, (), root.aval.dtype)
            else:
                number = body.load(root, here, ())
            stores.append(Store(number, root, strides, root.aval.dtype))
        else:
            reductions.append(_reduce(root, body, group, here))
    return body, stores, reductions


def _reduce(eqn: Equation, body: Body, group: Group, here: Any) -> Reduce:
    axis, shape = eqn.params["axis"], group.shape
    kept = tuple(1 if k in axis else n for k, n in enumerate(shape))
    strides = tuple(0 if k in axis else s for k, s in enumerate(index.strides_of(kept)))
    (x,) = eqn.inputs
    dtype = eqn.out.aval.dtype
    if eqn.out in group.windows:
        number = _in_window(x, group.windows[eqn.out], body, here, dtype)
        axis, shape = tuple(range(len(shape))), x.aval.shape  # type: ignore[union-attr]
        strides = (0,) * len(shape)
    else:
        number = body.pull(x, here, (), dtype)
    lower: Combine = eqn.prim.lower
    n = 1
    for k in axis:
        n *= shape[k]
    last = lower.finalize
    if dtype.kind == "c":
        last = lower.complex_finalize.replace("{c}", CARD_CODES[dtype])
    return Reduce(
        eqn.prim.name, number, eqn.out, strides, dtype, lower.text, lower.identity, last, n
    )


def _in_window(x: Any, starts: tuple[int, ...], body: Body, here: Any, dtype: Any) -> int:
    """The value of *x* standing at *starts* in a larger space, 0 elsewhere."""
    moved = tuple(e.scaled(1, -start) for e, start in zip(here, starts, strict=True))
    guards = tuple(
        Guard(k, start, start + n)
        for k, (start, n) in enumerate(zip(starts, x.aval.shape, strict=True))
        if n != body.extents[k]
    )
    inner = body.pull(x, moved, guards, dtype)
    value = Select(inner, dtype, guards, ())
    return body.add((value, "window"), value) if guards else inner


def _in_few_rows(arranged: Arranged) -> Arranged:
    """Cut columns of float32 where adding row after row would lose digits."""
    long = arranged.columns and (arranged.block or arranged.reduced_size) > FEW_ROWS
    if long and any(is_wide(r) for r in arranged.nest.reductions):
        return replace(arranged, block=FEW_ROWS)
    return arranged


def in_blocks(items: Iterable[Any], across: bool = False) -> Iterator[Any]:
    """*items* with the reduced ranges cut that are too long for one task.

    If *across*, partial results are combined side by side, and columns are not cut more than it takes to keep
    the threads of a card busy: what is partial is memory that goes there and back.
    """
    for item in items:
        if isinstance(item, Arranged) and item.blocks > 1:
            if across and item.columns:
                least = -(-item.reduced_size * item.kept // PARTIALS)
                item = replace(item, block=max(item.block, least))
            yield from _in_blocks(item, across) if item.blocks > 1 else (item,)
        else:
            yield item


def _in_blocks(arranged: Arranged, across: bool) -> list[Item]:
    """Cut the reduced range: a nest of partial results, then a nest that combines them in order."""
    nest, blocks, kept = arranged.nest, arranged.blocks, arranged.kept
    partial, combining = [], []
    for r in nest.reductions:
        wide = is_wide(r) and not arranged.columns
        buffer = Var(make_aval((blocks, kept), np.dtype(np.float64) if wide else r.dtype))
        strides = _partial_strides(nest, arranged)
        partial.append(replace(r, buffer=buffer, strides=strides, finalize=""))
        # The results of a group are contiguous over the kept loops, in order.
        load = Load(buffer, (1, kept), 0, buffer.aval.dtype)
        final = replace(r, arg=0, strides=(1, 0))
        combined = Nest((kept, blocks), frozenset({1}), (load,), (), (final,))
        combining.append(arrange(turned(combined) if across else combined))
    first = replace(arranged, nest=replace(nest, reductions=tuple(partial)))
    return [first, *(replace(c, block=0) for c in combining)]


def turned(nest: Nest) -> Nest:
    """A nest of two loops with the other one outside."""
    return replace(
        nest,
        extents=nest.extents[::-1],
        reduced=frozenset(1 - k for k in nest.reduced),
        body=tuple(
            [replace(v, strides=v.strides[::-1]) for v in nest.body if isinstance(v, Load)]
        ),
        reductions=tuple([replace(r, strides=r.strides[::-1]) for r in nest.reductions]),
    )


def _partial_strides(nest: Nest, arranged: Arranged) -> tuple[int, ...]:
    """Contiguous strides over the kept loops, 0 for the reduced ones."""
    loops = list(range(arranged.cells))
    if arranged.columns:
        loops.append(len(nest.extents) - 1)
    strides = [0] * len(nest.extents)
    step = 1
    for k in reversed(loops):
        strides[k] = step
        step *= nest.extents[k]
    return tuple(strides)
