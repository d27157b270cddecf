"""Operations that are a formula of others: rules come from that, and programs have it in their place.

Until then it is one equation, which a pass may recognise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from nbgrad.core.aval import Aval
from nbgrad.core.interpret import inline
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.ports import ports
from nbgrad.core.primitive import Primitive
from nbgrad.core.tape import Tape
from nbgrad.ops.kinds.batching import LEADING
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Call
from nbgrad.ops.kinds.opaque import opaque


def formula(
    name: str,
    function: Callable[..., Node],
    *,
    prepare: Callable[..., tuple[Any, Aval, Any]],
    evaluate: Callable[..., Any],
    doc: str,
    seen: Callable[[Any, Any], Any] | None = None,
    cases: tuple[Any, ...] = (),
    grad_name: str = "",
) -> Primitive:
    """Declare ``name(*xs, **params)`` as what ``function(*xs, **params)`` records; it works on stacks.

    For *seen* see ``Call``.
    """

    @lru_cache(maxsize=256)
    def written(avals: tuple[Aval, ...], params: tuple[tuple[str, Any], ...]) -> Tape:
        nodes = [placeholder(aval) for aval in avals]
        tape, constants = linearize([function(*nodes, **dict(params))], nodes)
        assert not constants, "a formula reads its operands alone"
        return tape

    def tape_of(xs: Any, params: dict[str, Any]) -> Tape:
        return written(tuple([x.aval for x in xs]), tuple(params.items()))

    def vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, ...]:
        tape = tape_of(xs, params)
        sought = [v for v, want in zip(tape.inputs, wants, strict=True) if want]
        back, constants = ports.bodies.vjp(tape, sought)
        found = iter(inline(back, [*xs, materialize(ct, y.aval), *constants]))
        return tuple([next(found) if want else None for want in wants])

    def jvp(ts: Any, y: Node, xs: Any, params: Any) -> Any:
        tape = tape_of(xs, params)
        pairs = [(v, t, x) for v, t, x in zip(tape.inputs, ts, xs, strict=True) if t is not None]
        ahead, constants = ports.bodies.jvp(tape, [v for v, _, _ in pairs])
        return inline(ahead, [*xs, *[materialize(t, x.aval) for _, t, x in pairs], *constants])[1]

    return opaque(
        name,
        batch=LEADING,
        prepare=prepare,
        evaluate=evaluate,
        vjp=vjp,
        jvp=jvp,
        lower=Call(lambda sig: written(sig.operands, tuple(sig.params.items())), seen),
        cases=cases,
        grad_name=grad_name,
        doc=doc,
    )
