"""``switch``: one of several branches, chosen by an integer that is known when it is run.

Operands are the integer, then what the branches read; all of them have results of the same avals. The
derivative of a choice is the choice among derivatives. In a batch in which each has its own integer,
each branch that somebody takes is run for all, and the results are selected.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

from nbgrad.core.aval import several
from nbgrad.core.interpret import computed, inline
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.ports import ports
from nbgrad.core.primitive import Rules
from nbgrad.core.results import SeveralResults
from nbgrad.core.tape import Body, Tape
from nbgrad.ops.arrays.reductions import any_
from nbgrad.ops.basis import cast, full, reshape
from nbgrad.ops.control.activity import leading_to, moved_by
from nbgrad.ops.control.forward import filled, flat, order_of, pushed, returned, tangents_in
from nbgrad.ops.control.loops import Several, as_results, as_tuple, closed, read
from nbgrad.ops.elements.comparison import equal, greater_equal, less_equal
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.batching import stacked
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Choice

Recorded = tuple[Tape, Sequence[Node]]


def chosen(index: Node, branches: Sequence[Recorded], xs: Sequence[Node]) -> Several:
    """Record the choice among tapes over *xs*, whose further inputs stand for what is captured."""
    if not branches[0][0].outputs:
        return ()
    tapes, captured = [], []
    for tape, found in branches:
        own, given = closed(tape, list(found))
        tapes.append(own)
        captured.append(given)
    whole = [x for given in captured for x in given]
    stand_ins = [placeholder(x.aval) for x in (*whole, *xs)]
    bodies, at = [], 0
    for own, given in zip(tapes, captured, strict=True):
        nodes = [*stand_ins[at : at + len(given)], *stand_ins[len(whole) :]]
        made = linearize(inline(own, nodes), stand_ins)[0]
        bodies.append(ports.bodies.simplify(made, final=False))
        at += len(given)
    kept = [any(on) for on in zip(*map(read, bodies), strict=True)]
    closed_over = tuple(
        [Body(Tape(tuple(compress(t.inputs, kept)), t.eqns, t.outputs)) for t in bodies]
    )
    operands = compress((*whole, *xs), kept)
    return as_tuple(switch(index, *operands, branches=closed_over))


def _tapes(params: dict[str, Any]) -> list[Tape]:
    return [body.tape for body in params["branches"]]


def _prepare(xs: Any, params: Any) -> Any:
    tapes = _tapes(params)
    given, outs = [x.aval for x in xs[1:]], [a.aval for a in tapes[0].outputs]  # type: ignore[union-attr]
    for tape in tapes:
        if given != [v.aval for v in tape.inputs] or outs != [a.aval for a in tape.outputs]:  # type: ignore[union-attr]
            raise TypeError("switch: the branches read or return different avals")
    return xs, several(*outs), ()


def _evaluate(index: Any, *xs: Any, branches: tuple[Body, ...]) -> Any:
    taken = min(max(int(index), 0), len(branches) - 1)
    return as_results(computed(branches[taken].tape, xs))


def _vjp(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> Any:
    cts, tapes, given = as_tuple(cts), _tapes(params), xs[1:]
    asked = [ct is not None for ct in cts]
    leading = [leading_to(tape, asked) for tape in tapes]
    wanted = [
        bool(w) and x.aval.inexact and any(on)
        for w, x, *on in zip(wants[1:], given, *leading, strict=True)
    ]
    results: list[Any] = [None] * len(xs)
    if not any(wanted):
        return results
    values = [placeholder(x.aval) for x in given]
    outs = list(compress(as_tuple(ys), asked))
    seeds = [placeholder(y.aval) for y in outs]
    branches = []
    for tape in tapes:
        sought = list(compress(tape.inputs, wanted))
        seeded = Tape(tape.inputs, tape.eqns, tuple(compress(tape.outputs, asked)))
        back, extra = ports.bodies.vjp(seeded, sought)
        branches.append(linearize(inline(back, [*values, *seeds, *extra]), [*values, *seeds]))
    pairs = zip(compress(cts, asked), outs, strict=True)
    nodes = [*given, *(materialize(ct, y.aval) for ct, y in pairs)]
    found = chosen(xs[0], branches, nodes)
    for k, ct in zip(compress(range(1, len(xs)), wanted), found, strict=True):
        results[k] = ct
    return results


def _jvp(ts: Any, ys: Any, xs: Any, params: Any) -> Any:
    tapes, given = _tapes(params), xs[1:]
    on = [t is not None and x.aval.inexact for t, x in zip(ts[1:], given, strict=True)]
    moving = [any(each) for each in zip(*(moved_by(tape, on) for tape in tapes), strict=True)]
    if not any(moving):
        return as_results([None] * len(moving))
    order = order_of(ts)
    along = flat(filled(ts[1:], given, on, order))
    values = [placeholder(x.aval) for x in (*given, *along)]
    branches = []
    for tape in tapes:
        both, extra = pushed(tape, on, order)
        outs = tuple(flat(compress(tangents_in(both, tape, order), moving)))
        made = inline(Tape(both.inputs, both.eqns, outs), [*values, *extra])
        branches.append(linearize(made, values))
    return as_results(returned(chosen(xs[0], branches, [*given, *along]), moving, order))


def _batch(prim: Any, xs: Any, mapped: Any, params: Any, size: int) -> Any:
    branches, flags = [], []
    tapes, given = _tapes(params), xs[1:]
    for tape in tapes:
        batched, extra, outs = ports.bodies.vmap(tape, size, mapped[1:])
        branches.append((batched, extra))
        flags.append(outs)
    nodes = [placeholder(x.aval) for x in given]
    recorded = []
    for (batched, extra), outs in zip(branches, flags, strict=True):
        made = inline(batched, [*nodes, *extra])
        made = [y if on else stacked(y, size) for y, on in zip(made, outs, strict=True)]
        recorded.append(linearize(made, nodes))
    if not mapped[0]:
        return as_results(chosen(xs[0], recorded, given))
    return as_results(_selected(xs[0], recorded, given))


def _selected(index: Node, branches: Sequence[Recorded], xs: Sequence[Node]) -> list[Node]:
    """Of each branch that some of a batch take, the results for these."""
    results: list[Node] = []
    index = cast(index, dtype=int) if index.dtype.kind == "b" else index
    last = len(branches) - 1
    for k, branch in enumerate(branches):
        test = less_equal if k == 0 else greater_equal if k == last else equal
        taken = test(index, k)
        somebody = any_(taken, axis=(0,), keepdims=False)
        nodes = [placeholder(x.aval) for x in xs]
        avals = [a.aval for a in branch[0].outputs]  # type: ignore[union-attr]
        nothing = linearize([full(0, shape=a.shape, dtype=a.dtype) for a in avals], nodes)
        found = chosen(somebody, [nothing, branch], xs)
        if not results:
            results = list(found)
            continue
        masks = [reshape(taken, shape=(y.shape[0], *(1,) * (y.ndim - 1))) for y in found]
        results = [where(m, y, old) for m, y, old in zip(masks, found, results, strict=True)]
    return results


switch = SeveralResults(
    name="switch",
    kind="opaque",
    evaluate=_evaluate,
    prepare=_prepare,
    rules=Rules(_vjp, _jvp, _batch, series=True),
    lower=Choice(),
    grad_name="Switch",
    doc="The results of one of several branches.",
    registered=False,
)
