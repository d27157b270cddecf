"""Calls: operations that are the tape of their ``body``, and the equations that stand for them."""

from __future__ import annotations

from typing import Any

from nbgrad.core.check import checked
from nbgrad.core.primitive import intern_signature
from nbgrad.core.signature import Signature
from nbgrad.core.tape import Atom, Body, Equation, Tape, Var
from nbgrad.ops.kinds.forms import Call
from nbgrad.transforms.simplify import simplify


def expanded(tape: Tape) -> Tape:
    """*tape* with the equations of bodies in the place of the operations that call them.

    Also inside the bodies of other operations, such as loops. It is made when nothing is to be
    differentiated any more: the rules of the calls are gone then.
    """
    plain: dict[Signature, bool] = {}
    signatures = {eqn.sig for eqn in tape.eqns}
    if all(_is_plain(sig, plain) for sig in signatures):
        return tape
    if any(sig.prim.lower.__class__ is Call and sig.prim.lower.seen for sig in signatures):
        tape = simplify(tape, final=False)  # what is computed twice is known to be one
    now: dict[Any, Atom] = {}
    eqns: list[Equation] = []
    _expand(tape, now, eqns, plain)
    outputs = tuple([now.get(a, a) for a in tape.outputs])
    return checked(Tape(tape.inputs, tuple(eqns), outputs))


def _is_plain(sig: Signature, known: dict[Signature, bool]) -> bool:
    """Whether nothing is to be expanded, of an operation or in its bodies."""
    found = known.get(sig)
    if found is None:
        found = known[sig] = sig.prim.lower.__class__ is not Call and all(
            _is_plain(eqn.sig, known)
            for value in sig.params.values()
            for body in _bodies(value)
            for eqn in body.tape.eqns
        )
    return found


def _bodies(value: Any) -> tuple[Body, ...]:
    """The bodies that a param is or holds."""
    if value.__class__ is Body:
        return (value,)
    if value.__class__ is tuple:
        return tuple([body for item in value for body in _bodies(item)])
    return ()


def _expand(
    tape: Tape, now: dict[Any, Atom], eqns: list[Equation], plain: dict[Signature, bool]
) -> None:
    """Add the equations of *tape* to *eqns*; *now* has what stands for its variables."""
    sources: dict[Any, Equation] = {}
    for eqn in tape.eqns:
        sig = eqn.sig
        xs = tuple([now.get(a, a) for a in eqn.inputs])
        if sig.prim.lower.__class__ is Call:
            found = None
            if sig.prim.lower.seen:
                sources = sources or {out: e for e in tape.eqns for out in e.outs}
                found = sig.prim.lower.seen(eqn, sources.get)
            body, given = (sig.prim.lower.tape(sig), eqn.inputs) if found is None else found
            xs = tuple([now.get(a, a) for a in given])
            inner: dict[Any, Atom] = dict(zip(body.inputs, xs, strict=True))
            _expand(body, inner, eqns, plain)
            now.update(zip(eqn.outs, [inner.get(a, a) for a in body.outputs], strict=True))
            continue
        outs = tuple([Var(out.aval, out.weak) for out in eqn.outs])
        now.update(zip(eqn.outs, outs, strict=True))
        eqns.append(
            Equation(sig if _is_plain(sig, plain) else _with_expanded(sig), xs, outs, eqn.line)
        )


def _with_expanded(sig: Signature) -> Signature:
    params = {name: _expanded_param(value) for name, value in sig.params.items()}
    key = (sig.operands, tuple(params.items()))
    found = Signature(sig.prim, sig.operands, params, sig.aval, sig.loop)
    return intern_signature(sig.prim, key, found)


def _expanded_param(value: Any) -> Any:
    if value.__class__ is Body:
        return Body(expanded(value.tape))
    return tuple(map(_expanded_param, value)) if value.__class__ is tuple else value
