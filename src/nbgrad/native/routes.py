"""The ways to machine code of a derivative, in order: the first that serves a request is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbgrad.native import entry, structure
from nbgrad.native.entry import Made, Refusal
from nbgrad.native.forms import Request

ROUTES: list[tuple[str, Callable[[Request], Made]]] = [
    ("source", structure.route),
    ("active numbers", entry.route),
]


def code_of(request: Request) -> Any:
    """The code of the first route that serves *request*."""
    refusals = []
    for name, route in ROUTES:
        try:
            made = route(request)
        except Refusal as refusal:
            refusals.append((name, refusal))
        else:
            why = "".join(f"; not by {name}: {_said(r)}" for name, r in refusals)
            why = why if request.order or request.reverse else ""
            return Made(made.address, made.keepalive, made.report + why, made.values, made.always)
    reasons = "; ".join(f"by {name}: {r.reason}{_at(r, request)}" for name, r in refusals)
    raise TypeError(f"njit: {request.dispatcher.__name__} cannot be differentiated {reasons}")


def _said(refusal: Refusal) -> str:
    return f"line {refusal.line}, {refusal.reason}" if refusal.line else refusal.reason


def _at(refusal: Refusal, request: Request) -> str:
    where = request.py_func.__code__.co_filename
    return "" if refusal.line is None else f" ({where}, line {refusal.line})"
