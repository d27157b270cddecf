"""``while_loop``: a body that is run while a condition holds of the carry, its number of runs unknown.

Operands are constants, which both read, then the carry; results the last carry. Forward mode is a
loop with tangents in the carry. Reverse is an operation of its own, ``while_reverse``: it runs the loop
again, keeping each carry in a list that grows, and goes back over it. Its derivatives need no further
rule: with f the loop, J its Jacobian and R(x, c) = J(x)^T c, that of R along v by c is J(x) v, and by x
the gradient of c^T J(x) v, which is R of the loop of forward mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

from nbgrad.core.aval import several
from nbgrad.core.interpret import computed, inline, runner
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.ports import ports
from nbgrad.core.primitive import Rules
from nbgrad.core.results import SeveralResults
from nbgrad.core.tape import Body, Tape
from nbgrad.ops.arrays.reductions import any_
from nbgrad.ops.basis import reshape
from nbgrad.ops.control.forward import Pushed, order_of, returned
from nbgrad.ops.control.loops import Several, as_results, as_tuple, closed, read
from nbgrad.ops.control.reverse import Direction
from nbgrad.ops.control.runs import by_kernel, while_back
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.batching import stacked
from nbgrad.ops.kinds.cotangents import add_up, materialize
from nbgrad.ops.kinds.forms import Call, Iterate, Rounds


@dataclass(frozen=True)
class While:
    """The tapes of a loop over *xs*: both read all of these, the constants, then the carry."""

    cond: Tape
    body: Tape
    xs: tuple[Node, ...]
    constants: int
    max_steps: int | None = None
    max_bytes: int | None = None  # of carries that reverse mode keeps

    @property
    def rounds(self) -> Rounds:
        return Rounds(self.constants, len(self.xs) - self.constants, 0, False)

    def alike(self, loop: While) -> While:
        """*loop*, with the settings of this one."""
        return replace(loop, max_steps=self.max_steps, max_bytes=self.max_bytes)

    def record(self) -> Several:
        """The results of the loop, without constants that nobody reads."""
        pairs = zip(read(self.cond), read(self.body), strict=True)
        kept = [a or b or k >= self.constants for k, (a, b) in enumerate(pairs)]
        cond, body = (
            Body(Tape(tuple(compress(t.inputs, kept)), t.eqns, t.outputs))
            for t in (self.cond, self.body)
        )
        count = sum(kept[: self.constants])
        return as_tuple(
            while_loop(
                *compress(self.xs, kept),
                cond=cond, body=body, constants=count,
                max_steps=self.max_steps, max_bytes=self.max_bytes,
            )
        )  # fmt: skip

    def pushed(self, ts: Sequence[Any]) -> tuple[While, list[bool], int]:
        """The loop of values and tangents, which of the carry have one, and where operands begin."""
        made = Pushed(self.body, self.rounds, self.xs, ts)
        cond = linearize(inline(self.cond, made.values), made.nodes)
        loop = from_recorded(
            cond, linearize(made.outs, made.nodes), made.operands, made.rounds.constants
        )
        start = len(loop.xs) - len(made.operands)
        return self.alike(loop), made.moving, start

    def batched(self, mapped: Sequence[bool], size: int) -> tuple[While, list[bool], list[bool]]:
        """The loop of stacks, which operands are such, and which carry.

        If each of a batch has its own number of runs, those that are done wait for the others.
        """
        n, c = self.constants, len(self.xs) - self.constants
        flags = list(mapped)
        while True:
            body, more, outs = ports.bodies.vmap(self.body, size, flags)
            cond, extra, (apart,) = ports.bodies.vmap(self.cond, size, flags)
            carry = [apart or a or b for a, b in zip(flags[n:], outs, strict=True)]
            if carry == flags[n:]:
                break
            flags[n:] = carry
        xs = [
            stacked(x, size) if now and not was else x
            for x, was, now in zip(self.xs, mapped, flags, strict=True)
        ]
        nodes = [placeholder(x.aval) for x in xs]
        (going,) = inline(cond, [*nodes, *extra])
        made = inline(body, [*nodes, *more])
        rows = zip(made, outs, flags[n:], strict=True)
        made = [stacked(y, size) if now and not is_one else y for y, is_one, now in rows]
        if apart:
            made = [
                where(reshape(going, shape=(size, *(1,) * (y.ndim - 1))), y, before)
                for y, before in zip(made, nodes[n:], strict=True)
            ]
            going = any_(going, axis=(0,), keepdims=False)
        loop = from_recorded(linearize([going], nodes), linearize(made, nodes), xs, n)
        return self.alike(loop), flags, flags[n : n + c]


def from_recorded(
    cond: tuple[Tape, Sequence[Node]],
    body: tuple[Tape, Sequence[Node]],
    xs: Sequence[Node],
    constants: int,
) -> While:
    """The loop of two tapes over *xs*, whose further inputs stand for what is captured."""
    (first, of_cond), (second, of_body) = (closed(t, list(found)) for t, found in (cond, body))
    stand_ins = [placeholder(x.aval) for x in (*of_cond, *of_body, *xs)]
    k, m = len(of_cond), len(of_cond) + len(of_body)
    tapes = [
        ports.bodies.simplify(linearize(inline(t, nodes), stand_ins)[0], final=False)
        for t, nodes in (
            (first, [*stand_ins[:k], *stand_ins[m:]]),
            (second, stand_ins[k:]),
        )
    ]
    return While(*tapes, (*of_cond, *of_body, *xs), constants + m)


def _of(xs: Sequence[Node], params: dict[str, Any]) -> While:
    given = params["constants"], params["max_steps"], params["max_bytes"]
    cond, body = params["cond"].tape, params["body"].tape
    return While(cond, body, tuple(xs[: len(body.inputs)]), *given)


# ------------------------------------------------------------------------------------------ forward


def _prepare(xs: Any, params: Any) -> Any:
    cond, body = params["cond"].tape, params["body"].tape
    given, outs = [x.aval for x in xs], [a.aval for a in body.outputs]
    if any(given != [v.aval for v in t.inputs] for t in (cond, body)):
        raise TypeError(f"while_loop: the body reads {[v.aval for v in body.inputs]}, not {given}")
    if outs != given[params["constants"] :]:
        raise TypeError(f"while_loop: the carry {given[params['constants'] :]} becomes {outs}")
    return xs, several(*outs), ()


def _evaluate(*xs: Any, **params: Any) -> Any:
    return by_kernel(while_loop, xs, params, _run)


def _run(
    tick: Callable[[], None], *xs: Any, cond: Body, body: Body, constants: int, **settings: Any
) -> Any:
    given, carry, steps = xs[:constants], list(xs[constants:]), 0
    going, step = runner(cond.tape), runner(body.tape)
    while steps != settings["max_steps"] and going([*given, *carry])[0]:
        carry = step([*given, *carry])
        steps += 1
        tick()
    return as_results(carry)


def _vjp(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> Any:
    return reversed_loop(_of(xs, params), as_tuple(cts), wants)


def _jvp(ts: Any, ys: Any, xs: Any, params: Any) -> Any:
    loop, moving, _ = _of(xs, params).pushed(ts)
    return as_results(returned(loop.record()[len(moving) :], moving, order_of(ts)))


def _batch(prim: Any, xs: Any, mapped: Any, params: Any, size: int) -> Any:
    loop, _, carry = _of(xs, params).batched(mapped, size)
    found = zip(loop.record(), carry, strict=True)
    return as_results([y if on else stacked(y, size) for y, on in found])


while_loop = SeveralResults(
    name="while_loop",
    kind="opaque",
    evaluate=_evaluate,
    prepare=_prepare,
    rules=Rules(_vjp, _jvp, _batch, series=True),
    lower=Iterate(),
    grad_name="WhileLoop",
    doc="A body run while a condition holds of what it carries.",
    registered=False,
)

# ------------------------------------------------------------------------------------------ reverse


def reversed_loop(loop: While, cts: Several, wants: Sequence[bool]) -> list[Any]:
    """The cotangents of the operands of *loop*, None where there is none."""
    n, xs = loop.constants, loop.xs
    found = Direction(loop.body, loop.rounds, xs, wants, cts)
    results: list[Any] = [None] * len(xs)
    if found.back is None:
        return results
    values = [placeholder(x.aval) for x in xs]
    seeds = [placeholder(x.aval) for x in compress(xs[n:], found.seeded)]
    count = sum(found.wanted[:n])
    each, others = found.terms(count, values, seeds)
    terms = [t for ts in each for t in ts]
    parts = [x for t in terms for x in ((t.ct,) if t.index is None else (t.ct, t.index))]
    tape, extra = linearize([*parts, *others], [*values, *seeds])
    totals = [placeholder(t.total) for t in terms]
    rest = iter(totals)
    whole = [add_up([t.finished(next(rest), None) for t in ts]) for ts in each]
    finish, none = linearize([*whole, *seeds], [*totals, *seeds])
    assert not none
    given = [
        materialize(0.0 if ct is None else ct, x.aval)
        for ct, x in compress(list(zip(cts, xs[n:], strict=True)), found.seeded)
    ]
    grown = while_reverse(
        *xs, *given, *extra,
        cond=Body(loop.cond), body=Body(loop.body),
        back=Body(ports.bodies.simplify(tape, final=False)), finish=Body(finish),
        scattered=tuple([t.index is not None for t in terms]),
        wanted=tuple(found.wanted), seeded=tuple(found.seeded),
        constants=n, max_steps=loop.max_steps, max_bytes=loop.max_bytes,
    )  # fmt: skip
    for k, y in zip(compress(range(len(xs)), found.wanted), as_tuple(grown), strict=True):
        results[k] = y
    return results


def _prepare_reverse(xs: Any, params: Any) -> Any:
    return xs, several(*[a.aval for a in params["finish"].tape.outputs]), ()


def _in_parts(sig: Any) -> Tape:
    """What the operation of a signature is: sums over the runs, and what is made of these."""
    xs = [placeholder(aval) for aval in sig.operands]
    params = {k: v for k, v in sig.params.items() if k != "wanted"}
    outs = inline(params["finish"].tape, as_tuple(while_back(*xs, **params)))
    return linearize(outs, xs)[0]


def _evaluate_reverse(*xs: Any, finish: Body, wanted: Any, **params: Any) -> Any:
    found = as_tuple(while_back.evaluate(*xs, finish=finish, **params))
    return as_results(computed(finish.tape, found))


def _split(xs: Any, params: Any) -> tuple[While, list[Any], list[bool]]:
    """The loop, the cotangents of its results, and which operands want one."""
    loop = _of(xs, params)
    end = len(loop.xs)
    rest = iter(xs[end : end + sum(params["seeded"])])
    return loop, [next(rest) if on else None for on in params["seeded"]], list(params["wanted"])


def _spread(given: Any, flags: Sequence[bool]) -> list[Any]:
    rest = iter(given)
    return [next(rest) if on else None for on in flags]


def _second(
    loop: While, cts: Sequence[Any], ts: Sequence[Any], wants: Sequence[bool]
) -> list[Any]:
    """The gradient of ``ct . J(x) t`` by the operands of *loop*."""
    pushed, moving, start = loop.pushed(ts)
    own = [None] * len(moving)
    further = [ct for ct, on in zip(cts, moving, strict=True) if on]
    # Where the operands are among those of the loop with tangents.
    at = [start + k for k in range(loop.constants)]
    at += [pushed.constants + k for k in range(len(moving))]
    asked = [False] * len(pushed.xs)
    for k, on in zip(at, wants, strict=True):
        asked[k] = bool(on)
    found = reversed_loop(pushed, (*own, *further), asked)
    return [found[k] if on else None for k, on in zip(at, wants, strict=True)]


def _vjp_reverse(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> Any:
    loop, seeds, wanted = _split(xs, params)
    end = len(loop.xs)
    ts = _spread(as_tuple(cts), wanted)
    results: list[Any] = [None] * len(xs)
    results[:end] = _second(loop, seeds, ts, wants[:end])
    pushed, moving, _ = loop.pushed(ts)
    tangents = _spread(pushed.record()[len(moving) :], moving)
    for k, t in enumerate(compress(tangents, params["seeded"]), end):
        results[k] = t if wants[k] else None
    return results


def _jvp_reverse(ts: Any, ys: Any, xs: Any, params: Any) -> Any:
    loop, seeds, wanted = _split(xs, params)
    end = len(loop.xs)
    further = _spread(ts[end : end + sum(params["seeded"])], params["seeded"])
    terms = []
    if any(t is not None for t in further):
        terms.append(reversed_loop(loop, tuple(further), wanted))
    if any(t is not None for t in ts[:end]):
        terms.append(_second(loop, seeds, ts[:end], wanted))
    found = [add_up(each) for each in zip(*terms, strict=True)] if terms else [None] * end
    return as_results(list(compress(found, wanted)))


def _batch_reverse(prim: Any, xs: Any, mapped: Any, params: Any, size: int) -> Any:
    """Each of a batch has cotangents of its own, so all operands that want one are stacks."""
    loop, _, wanted = _split(xs, params)
    end = len(loop.xs)
    every = [x if m else stacked(x, size) for x, m in zip(xs, mapped, strict=True)]
    flags = [m or on for m, on in zip(mapped[:end], wanted, strict=True)]
    given = [full if on else x for full, x, on in zip(every, xs, flags, strict=False)]
    batched, _, _ = replace(loop, xs=tuple(given)).batched(flags, size)
    rest = iter(every[end:])
    cts = [next(rest) if on else None for on in params["seeded"]]
    extent = len(batched.xs) - end
    found = reversed_loop(batched, tuple(cts), [False] * extent + wanted)[extent:]
    zeros = [materialize(0.0, x.aval) for x in every[:end]]
    return as_results(
        [z if y is None else y for y, z, on in zip(found, zeros, wanted, strict=True) if on]
    )


while_reverse = SeveralResults(
    name="while_reverse",
    kind="opaque",
    evaluate=_evaluate_reverse,
    prepare=_prepare_reverse,
    rules=Rules(_vjp_reverse, _jvp_reverse, _batch_reverse),
    lower=Call(_in_parts),
    grad_name="WhileLoopBackward",
    doc="The cotangents of what a while_loop reads.",
    registered=False,
)
