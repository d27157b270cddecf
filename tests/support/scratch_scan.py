"""A scratch ``scan``: an operation with a tape as its param, of which tests make loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import nbgrad as ng
from nbgrad.core.aval import make_aval, several
from nbgrad.core.interpret import computed, inline
from nbgrad.core.node import Node
from nbgrad.core.primitive import Rules
from nbgrad.core.results import SeveralResults
from nbgrad.core.tape import Body, Tape
from nbgrad.ops.kinds.batching import all_stacked, moved
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Repeat, Rounds
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.jvp import jvp
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.trace import trace
from nbgrad.transforms.vjp import vjp
from nbgrad.transforms.vmap import vmap

Array = np.ndarray[Any, Any]


def row(aval: Any) -> Any:
    return make_aval(aval.shape[1:], aval.dtype)


def _prepare(xs: Any, params: Any) -> Any:
    rounds, tape = params["rounds"], params["body"].tape
    rows = rounds.constants + rounds.carry
    given = [x.aval if k < rows else row(x.aval) for k, x in enumerate(xs)]
    assert given == [v.aval for v in tape.inputs]
    outs = [a.aval for a in tape.outputs]
    assert outs[: rounds.carry] == given[rounds.constants : rows]
    stacks = [make_aval((rounds.count, *a.shape), a.dtype) for a in outs[rounds.carry :]]
    return xs, several(*outs[: rounds.carry], *stacks), ()


def _evaluate(*xs: Any, body: Body, rounds: Rounds) -> Any:
    rows = rounds.constants + rounds.carry
    constants, stacks = xs[: rounds.constants], xs[rows:]
    carry: Any = xs[rounds.constants : rows]
    found: list[Any] = [None] * rounds.count
    order = range(rounds.count)
    for k in reversed(order) if rounds.reverse else order:
        outs = computed(body.tape, [*constants, *carry, *(x[k] for x in stacks)])
        carry, found[k] = outs[: rounds.carry], outs[rounds.carry :]
    results = (*carry, *(np.stack(ys) for ys in zip(*found, strict=True)))
    return results if len(results) > 1 else results[0]


def bound(f: Callable[..., Any], xs: list[Node], rounds: Rounds) -> Any:
    """Scan *f*, of so many nodes, over *xs*; what it reads beside these are more constants."""
    rows = rounds.constants + rounds.carry
    traced = trace(f, [x.aval if k < rows else row(x.aval) for k, x in enumerate(xs)])
    tape, extra = traced.tape, len(traced.constants)
    if extra:
        tape = Tape((*tape.inputs[-extra:], *tape.inputs[:-extra]), tape.eqns, tape.outputs)
    rounds = Rounds(rounds.constants + extra, rounds.carry, rounds.count, rounds.reverse)
    return scan_p(*traced.constants, *xs, body=Body(simplify(tape)), rounds=rounds)


def _vjp(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> Any:
    """Run again keeping each carry, then backwards through the derivative of the body."""
    rounds, tape = params["rounds"], params["body"].tape
    n, c, rows = rounds.constants, rounds.carry, rounds.constants + rounds.carry
    cts = [materialize(0.0 if ct is None else ct, y.aval) for ct, y in zip(cts, ys, strict=True)]

    def keeping(*nodes: Node) -> Any:
        return [*inline(tape, nodes)[:c], *nodes[n:rows]]

    kept = bound(keeping, list(xs), rounds)[c:]
    back, extra = vjp(tape, tape.inputs)

    def backwards(*nodes: Node) -> Any:
        constants, totals, of_carry = nodes[:n], nodes[n : 2 * n], nodes[2 * n : 2 * n + c]
        carry, rest = nodes[2 * n + c : 2 * n + 2 * c], nodes[2 * n + 2 * c :]
        given, of_rows = rest[: len(xs) - rows], rest[len(xs) - rows :]
        found = inline(back, [*constants, *carry, *given, *of_carry, *of_rows, *extra])
        sums = [a + b for a, b in zip(totals, found[:n], strict=True)]
        return [*sums, *found[n:]]

    zeros = [materialize(0.0, x.aval) for x in xs[:n]]
    stacks = [*kept, *xs[rows:], *cts[c:]]
    again = Rounds(n, n + c, rounds.count, not rounds.reverse)
    found = bound(backwards, [*xs[:n], *zeros, *cts[:c], *stacks], again)
    return found


def _jvp(ts: Any, ys: Any, xs: Any, params: Any) -> Any:
    rounds, tape = params["rounds"], params["body"].tape
    n, c = rounds.constants, rounds.carry
    ts = [materialize(0.0 if t is None else t, x.aval) for t, x in zip(ts, xs, strict=True)]
    both, extra = jvp(tape, tape.inputs)
    split = n + c

    def paired(*nodes: Node) -> Any:
        k = len(nodes) // 2
        x = [*nodes[:n], *nodes[2 * n : 2 * n + c], *nodes[2 * split : k + split]]
        t = [*nodes[n : 2 * n], *nodes[2 * n + c : 2 * split], *nodes[k + split :]]
        found = inline(both, [*x, *t, *extra])
        half = len(found) // 2
        return [*found[:c], *found[half : half + c], *found[c:half], *found[half + c :]]

    given = [*xs[:n], *ts[:n], *xs[n:split], *ts[n:split], *xs[split:], *ts[split:]]
    found = bound(paired, given, Rounds(2 * n, 2 * c, rounds.count, rounds.reverse))
    rest = (len(found) - 2 * c) // 2
    return (*found[c : 2 * c], *found[2 * c + rest :])


def _batch(prim: Any, xs: Any, mapped: Any, params: Any, size: int) -> Any:
    rounds = params["rounds"]
    rows = rounds.constants + rounds.carry
    tape, constants, flags = vmap(params["body"].tape, size, (True,) * len(xs))
    assert all(flags) and not constants
    given = [
        x if k < rows else moved(x, 0, 1) for k, x in enumerate(all_stacked(xs, mapped, size))
    ]
    found = prim(*given, body=Body(tape), rounds=rounds)
    return tuple([y if k < rounds.carry else moved(y, 1, 0) for k, y in enumerate(found)])


scan_p = SeveralResults(
    name="scratch_scan",
    kind="opaque",
    evaluate=_evaluate,
    prepare=_prepare,
    rules=Rules(_vjp, _jvp, _batch),
    lower=Repeat(lambda params: params["rounds"]),
    grad_name="ScratchScan",
    doc="A loop.",
    registered=False,
)


def scan(f: Any, init: Any, xs: Any, reverse: bool = False) -> tuple[Tensor, Tensor]:
    """``f(carry, x) -> (carry, y)`` on tensors, over the rows of *xs*."""
    carry, stack = (
        ng.tensor(a)._node if not isinstance(a, Tensor) else a._node for a in (init, xs)
    )
    rounds = Rounds(0, 1, stack.shape[0], reverse)
    outs = bound(lambda c, x: f(Tensor(c), Tensor(x)), [carry, stack], rounds)
    return Tensor(outs[0]), Tensor(outs[1])
