"""Partial derivatives of scalars, from the registry: the rule of an operation as a tape of numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from nbgrad.core.aval import make_aval
from nbgrad.core.frozen import Value
from nbgrad.core.primitive import named
from nbgrad.core.tape import Tape
from nbgrad.transforms.trace import trace


class Slopes(Value):
    """The partials of an operation by the operands that are active.

    ``tape`` takes all operands, then the result; ``given`` has for each operand the number of the output
    of the tape, a number, or None if there is none.
    """

    tape: Tape
    given: tuple[Any, ...]


@cache
def slopes(
    name: str, params: tuple[tuple[str, Any], ...], wants: tuple[bool, ...], code: str
) -> Slopes:
    """The partials of the primitive *name*, by the operands in *wants*, of floats of the type *code*."""
    prim, dtype = named(name), np.dtype(code)
    pull: Any = prim.vjp
    scalar = make_aval((), dtype)
    found: list[Any] = []

    def run(*xs: Any) -> list[Any]:
        *given, out = xs
        found[:] = pull(1.0, out, list(given), dict(params), wants)
        return [p for p, wanted in zip(found, wants, strict=True) if wanted and _is_node(p)]

    traced = trace(run, [scalar] * (len(wants) + 1))
    if traced.constants:
        raise NotImplementedError(f"the rule of {name} reads arrays, which no scalar can")
    numbers = iter(range(len(wants)))
    given = tuple(
        None if not wanted or p is None else ("output", next(numbers)) if _is_node(p) else float(p)
        for p, wanted in zip(found, wants, strict=True)
    )
    return Slopes(traced.tape, given)


def _is_node(x: Any) -> bool:
    return hasattr(x, "aval")
