"""Signature: a primitive with its params and avals, one object per distinct combination."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.core.aval import Aval

if TYPE_CHECKING:
    from nbgrad.core.primitive import Primitive


next_number = count(1).__next__


class Signature:
    """A primitive with its params and avals, interned: one object per distinct combination.

    ``differentiable`` says whether a gradient can pass at all; ``saves`` (set on first use)
    whether the backward rule needs the value of an operand or of the result; ``loop`` the dtype
    in which each operand enters an elementwise kernel.
    """

    __slots__ = ("aval", "differentiable", "loop", "number", "operands", "params", "prim", "saves")

    def __init__(
        self,
        prim: Primitive,
        operands: tuple[Any, ...],
        params: dict[str, Any],
        aval: Aval,
        loop: tuple[np.dtype[Any], ...],
    ) -> None:
        self.prim = prim
        self.operands = operands
        self.params = params
        self.aval = aval
        self.loop = loop
        self.differentiable = prim.vjp is not None and aval.inexact
        self.saves: bool | None = None
        # Three low bits are free for the state of a node: see core/linearize.py.
        self.number = next_number() << 3

    def __reduce__(self) -> Any:
        return _again, (self.prim, self.operands, self.params, self.aval, self.loop)

    def __repr__(self) -> str:
        return f"{self.prim.name}{self.operands}{self.params} -> {self.aval!r}"


def _again(
    prim: Primitive,
    operands: tuple[Any, ...],
    params: dict[str, Any],
    aval: Aval,
    loop: tuple[np.dtype[Any], ...],
) -> Signature:
    """The signature of this process that says what a pickled one said."""
    key = operands, tuple(params.items())
    known = prim.signatures.get(key)
    made = Signature(prim, operands, params, aval, loop) if known is None else known
    return prim.signatures.setdefault(key, made)
