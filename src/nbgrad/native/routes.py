"""The ways to machine code of a derivative, in order: the first that serves a request is taken.

What serves one is kept on disk, if it can be, with what is told of it: another process asks no route.
"""

from __future__ import annotations

from collections.abc import Callable

from nbgrad.machine.lljit import LinkError
from nbgrad.native import entry, stored, structure
from nbgrad.native.entry import Made, Refusal
from nbgrad.native.forms import Request

# By name: what serves a request, and what makes code of what was stored.
ROUTES: dict[str, tuple[Callable[[Request, stored.Key], Made], Callable[..., Made]]] = {
    "source": (structure.route, structure.restored),
    "active numbers": (entry.route, entry.restored),
}


def code_of(request: Request) -> Made:
    """The code of the first route that serves *request*."""
    asked = (
        request.active,
        request.order,
        request.reverse,
        request.values,
        request.results,
        [*ROUTES],
    )
    key = stored.Key(request.dispatcher, request.arguments, *asked)
    return _again(key) or _anew(request, key)


def _again(key: stored.Key) -> Made | None:
    """What another process stored."""
    held = stored.found(key)
    if held is None:
        return None
    try:
        return ROUTES[held[0]["route"]][1](key, *held)
    except LinkError:
        stored.drop(key)
        return None


def _anew(request: Request, key: stored.Key) -> Made:
    refusals = []
    for name, (route, _) in ROUTES.items():
        try:
            made = route(request, key)
        except Refusal as refusal:
            refusals.append((name, refusal))
        else:
            why = "".join(f"; not by {name}: {_said(r)}" for name, r in refusals)
            report = made.report + (why if request.order or request.reverse else "")
            if made.entry is None:
                report += f"; not kept on disk: {made.unfit or key.why}"
            else:
                said, code = made.entry
                stored.keep(key, {**said, "route": name, "report": report}, code)
                report += f"; not kept on disk: {key.why}" if key.why else ""
            return Made(made.address, made.keepalive, report, made.values, made.always)
    reasons = "; ".join(f"by {name}: {r.reason}{_at(r, request)}" for name, r in refusals)
    raise TypeError(f"njit: {request.dispatcher.__name__} cannot be differentiated {reasons}")


def _said(refusal: Refusal) -> str:
    return f"line {refusal.line}, {refusal.reason}" if refusal.line else refusal.reason


def _at(refusal: Refusal, request: Request) -> str:
    where = request.py_func.__code__.co_filename
    return "" if refusal.line is None else f" ({where}, line {refusal.line})"
