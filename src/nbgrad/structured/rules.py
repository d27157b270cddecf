"""Derivatives of scalar statements: the rules of nbgrad's primitives, traced on scalars, as statements again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from nbgrad.core.aval import make_aval
from nbgrad.core.lazy import pattern
from nbgrad.core.node import Node
from nbgrad.core.tape import Literal, Tape
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Expression, index_map
from nbgrad.program.text import unbranched
from nbgrad.program.values import CODES, text_of
from nbgrad.structured.ir import Compute, Const, Op, Refused, Val
from nbgrad.transforms.trace import trace

DEAR = pattern(r"_f[48]\(|math\.(?!sqrt|nan|inf)")
DTYPES: dict[str, Any] = {code: dtype for dtype, code in CODES.items()}


def operation(prim: Any, params: dict[str, Any], codes: Sequence[str]) -> tuple[Op, list[str]]:
    """The statement of a primitive on scalars of the types *codes*, and the types that it casts them to."""
    tape = _tape(lambda *xs: [prim(*xs, **params)], codes)
    eqn = tape.eqns[-1]
    return _op(eqn), [CODES[d] for d in eqn.sig.loop]


def _tape(f: Callable[..., Any], codes: Sequence[str]) -> Tape:
    traced = trace(f, [make_aval((), DTYPES[code]) for code in codes])
    if traced.constants:
        raise Refused("a derivative rule that reads constants")
    return traced.tape


def _op(eqn: Any) -> Op:
    lower = eqn.prim.lower
    out = eqn.out.aval
    if lower.__class__ is not Expression or out.ndim or out.dtype not in CODES:
        raise Refused(f"{eqn.prim.name}, which has no statement of scalars")
    if not (lower.text or lower.complex_text):
        raise Refused(f"{eqn.prim.name}, which has no statement of scalars")
    loop = CODES[eqn.sig.loop[-1]] if eqn.sig.loop else CODES[out.dtype]
    text = text_of(eqn).format(x="{0}", y="{1}", z="{2}", t=loop, c=loop, to=CODES[out.dtype])
    params = tuple(eqn.params.items())
    text = unbranched(text)
    return Op(text, CODES[out.dtype], eqn.prim, params, dear=is_dear(text))


def is_dear(text: str) -> bool:
    """Whether a statement takes longer than keeping its result."""
    return bool(DEAR.search(text))


def _as_statements(tape: Tape, given: Sequence[Val], into: list[Any]) -> list[Val | None]:
    """Append the statements of a tape of scalars on *given*; return its results."""
    env: dict[Any, Val] = dict(zip(tape.inputs, given, strict=True))

    def read(atom: Any, code: str) -> Val:
        if atom.__class__ is Literal:
            return Const(atom.value, code)
        return env[atom]

    for eqn in tape.eqns:
        code = CODES[eqn.out.aval.dtype]
        if index_map(eqn.prim) == "full":
            env[eqn.out] = read(eqn.inputs[0], code)
            continue
        args = tuple(read(a, CODES[d]) for a, d in zip(eqn.inputs, eqn.sig.loop, strict=True))
        env[eqn.out] = out = Val(code)
        into.append(Compute(out, _op(eqn), args))
    return [read(a, "f8") for a in tape.outputs]


@cache
def _pulled(
    prim: Any, params: tuple[Any, ...], codes: tuple[str, ...], out: str, wants: tuple[bool, ...]
) -> tuple[Tape, tuple[bool, ...]]:
    """The tape of the cotangents of a primitive: of its cotangent, result and operands; which there are."""
    held: list[bool] = []

    def f(ct: Any, y: Any, *xs: Any) -> list[Any]:
        cts = list(prim.vjp(ct, y, list(xs), dict(params), list(wants)))
        cts += [None] * (len(wants) - len(cts))
        found = [c if w else None for c, w in zip(cts, wants, strict=True)]
        held[:] = [c is not None for c in found]
        return [_settled(c, ct) for c in found if c is not None]

    tape = _tape(f, (out, out, *codes))
    return tape, tuple(held)


def _settled(c: Any, like: Any) -> Any:
    return c if c.__class__ is Node else materialize(c, like.aval)


def pull(
    op: Op, ct: Val, out: Val, args: Sequence[Val], wants: Sequence[bool], into: list[Any]
) -> list[Val | None]:
    """Append what computes the cotangents of *args*, and return these; None for one that is zero."""
    if op.prim is None or op.prim.vjp is None:
        return [None] * len(args)
    codes = tuple(a.code for a in args)
    tape, held = _pulled(op.prim, op.params, codes, out.code, tuple(wants))
    found = iter(_as_statements(tape, (ct, out, *args), into))
    return [next(found) if h else None for h in held]


@cache
def _pushed(
    prim: Any, params: tuple[Any, ...], codes: tuple[str, ...], out: str, given: tuple[bool, ...]
) -> tuple[Tape, bool]:
    held: list[bool] = []

    def f(y: Any, *rest: Any) -> list[Any]:
        xs, ts = rest[: len(codes)], iter(rest[len(codes) :])
        tangents = [next(ts) if g else None for g in given]
        found = prim.jvp(tangents, y, list(xs), dict(params))
        held[:] = [found is not None]
        return [] if found is None else [_settled(found, y)]

    tangents = [c for c, g in zip(codes, given, strict=True) if g]
    tape = _tape(f, (out, *codes, *tangents))
    return tape, held[0]


def push(
    op: Op, out: Val, args: Sequence[Val], tangents: Sequence[Val | None], into: list[Any]
) -> Val | None:
    """Append what computes the tangent of *out*, and return that; None if it is zero."""
    given = tuple(t is not None for t in tangents)
    if op.prim is None or op.prim.jvp is None or not any(given):
        return None
    codes = tuple(a.code for a in args)
    tape, held = _pushed(op.prim, op.params, codes, out.code, given)
    if not held:
        return None
    return _as_statements(tape, (out, *args, *[t for t in tangents if t is not None]), into)[0]


__all__ = ["DTYPES", "is_dear", "operation", "pull", "push"]
