"""``scan``: a body that is run once for each row of its stacks, its carry being passed on.

Operands are constants, the carry, then stacks of which each run reads a row; results the last carry,
then stacks of which each run writes a row. The derivative of a loop is a loop: forward the same way
with tangents in the carry; backward over what the carry was, which a first loop keeps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import several
from nbgrad.core.interpret import inline, runner
from nbgrad.core.ports import ports
from nbgrad.core.primitive import Rules
from nbgrad.core.results import SeveralResults
from nbgrad.core.tape import Body
from nbgrad.ops.control.forward import Pushed, returned
from nbgrad.ops.control.loops import (
    as_results,
    as_tuple,
    recorded,
    row,
    stack,
    stand_ins,
)
from nbgrad.ops.control.plain import plain
from nbgrad.ops.control.reverse import Backwards
from nbgrad.ops.kinds.batching import moved, stacked
from nbgrad.ops.kinds.forms import Repeat, Rounds


def _prepare(xs: Any, params: Any) -> Any:
    rounds, tape = params["rounds"], params["body"].tape
    rows = rounds.constants + rounds.carry
    given = [x.aval if k < rows else row(x.aval) for k, x in enumerate(xs)]
    outs = [a.aval for a in tape.outputs]
    if given != [v.aval for v in tape.inputs] or any(
        x.shape[0] != rounds.count for x in xs[rows:]
    ):
        raise TypeError(f"scan: the body reads {[v.aval for v in tape.inputs]}, not {given}")
    if outs[: rounds.carry] != given[rounds.constants : rows]:
        raise TypeError(f"scan: the carry {given[rounds.constants : rows]} becomes {outs}")
    stacks = [stack(aval, rounds.count) for aval in outs[rounds.carry :]]
    return xs, several(*outs[: rounds.carry], *stacks), ()


def _evaluate(*xs: Any, body: Body, rounds: Rounds, levels: tuple[int, ...] = ()) -> Any:
    if (run := plain(body, rounds)) is not None:
        return as_results(run(rounds.count, *xs))
    rows, tape = rounds.constants + rounds.carry, body.tape
    constants, carry, stacks = xs[: rounds.constants], xs[rounds.constants : rows], xs[rows:]
    written = [stack(a.aval, rounds.count) for a in tape.outputs[rounds.carry :]]  # type: ignore[union-attr]
    results = [np.empty(aval.shape, aval.dtype) for aval in written]
    order, step = range(rounds.count), runner(tape)
    for k in reversed(order) if rounds.reverse else order:
        outs = step([*constants, *carry, *[x[k] for x in stacks]])
        carry = tuple(outs[: rounds.carry])
        for result, y in zip(results, outs[rounds.carry :], strict=True):
            result[k] = y
    return as_results((*carry, *results))


def _levels(params: Any) -> dict[str, Any]:
    """What is kept for the way back, where that is not the carry of each run."""
    return {k: v for k, v in params.items() if k == "levels"}


def _vjp(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> Any:
    cts, ys = as_tuple(cts), as_tuple(ys)
    levels = params.get("levels", ())
    return Backwards(scan, params["body"].tape, params["rounds"], xs, wants, levels).run(cts, ys)


def _jvp(ts: Any, ys: Any, xs: Any, params: Any) -> Any:
    pushed = Pushed(params["body"].tape, params["rounds"], xs, ts)
    found = recorded(
        scan, pushed.outs, pushed.nodes, pushed.operands, pushed.rounds, **_levels(params)
    )
    return as_results(returned(found[params["rounds"].carry :], pushed.moving, pushed.order))


def _batch(prim: Any, xs: Any, mapped: Any, params: Any, size: int) -> Any:
    """The loop of batches; what is the same for all of a batch, carry included, stays so."""
    rounds, tape = params["rounds"], params["body"].tape
    n, c, rows = rounds.constants, rounds.carry, rounds.constants + rounds.carry
    flags = list(mapped)
    while True:
        new, extra, outs = ports.bodies.vmap(tape, size, flags)
        carry = [a or b for a, b in zip(flags[n:rows], outs[:c], strict=True)]
        if carry == flags[n:rows]:
            break
        flags[n:rows] = carry

    given = []
    for k, (x, was, now) in enumerate(zip(xs, mapped, flags, strict=True)):
        x = stacked(x, size) if now and not was else x
        given.append(moved(x, 0, 1) if was and k >= rows else x)
    nodes = stand_ins(given, rounds)
    made = inline(new, [*nodes, *extra])
    pairs = zip(made, flags[n:rows], outs, strict=False)
    made[:c] = [stacked(y, size) if now and not is_one else y for y, now, is_one in pairs]
    found = recorded(prim, made, nodes, given, rounds, **_levels(params))
    results = [y if on else stacked(y, size) for y, on in zip(found, flags[n:rows], strict=False)]
    pairs = zip(found[c:], outs[c:], strict=True)
    results += [moved(y, 1, 0) if on else stacked(y, size) for y, on in pairs]
    return as_results(results)


scan = SeveralResults(
    name="scan",
    kind="opaque",
    evaluate=_evaluate,
    prepare=_prepare,
    rules=Rules(_vjp, _jvp, _batch, series=True),
    lower=Repeat(lambda params: params["rounds"]),
    grad_name="Scan",
    doc="A body run for each row of stacks, with a carry that is passed on.",
    registered=False,
)
