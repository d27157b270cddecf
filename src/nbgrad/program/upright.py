"""Stacks of tall matrices, kept with their long side along memory.

Products of many rows with small matrices, as of the points and components of a mixture, leave results whose
last axis is short: the loops that follow have inner loops of ten, sums go across a vector, and BLAS gets
matrices of ten columns. Exchanged, the same loops run along the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from nbgrad.core.node import Node
from nbgrad.core.tape import Equation, Tape, Var, living
from nbgrad.ops.basis import broadcast_to, reshape, transpose
from nbgrad.ops.kinds.algebra import MATRIX_PRODUCT
from nbgrad.ops.kinds.forms import exchanges, index_map
from nbgrad.program.recorded import recorded

SHORT: Final = 16  # at most of a short side
TIMES: Final = 8  # at least that the long side is of it
MATRICES: Final = 4  # at least of a stack
EDGE: Final = 4  # of what is exchanged, one part in so many may be given or asked for as it was


def upright(tape: Tape) -> Tape:
    """*tape* with such stacks exchanged, if it has products of some."""
    shapes = {s for eqn in tape.eqns for s in _seed(eqn)}
    if not shapes:
        return tape
    walk = _Walk(shapes)
    for eqn in tape.eqns:
        walk.take(eqn)
    outputs = tuple([walk.now.get(a, a) for a in tape.outputs])
    outside = sum(a.aval.size for a in {*tape.inputs, *outputs} if walk.tall(a))
    if EDGE * outside > sum(a.aval.size for a in walk.turned):
        return tape
    return Tape(tape.inputs, tuple(living(walk.eqns, outputs)), outputs)


def _seed(eqn: Equation) -> list[tuple[int, ...]]:
    """The shapes of the tall stacks that *eqn* multiplies with small matrices."""
    if eqn.sig.prim.algebra is not MATRIX_PRODUCT:
        return []
    shapes = [eqn.out.aval.shape, eqn.inputs[0].aval.shape]  # type: ignore[union-attr]
    return shapes if all(map(_is_tall, shapes)) else []


def _is_tall(shape: tuple[int, ...]) -> bool:
    if len(shape) < 3 or math.prod(shape[:-2]) < MATRICES:
        return False
    return 1 < shape[-1] <= SHORT and shape[-2] >= TIMES * shape[-1]


def _exchanged(x: Node) -> Node:
    return transpose(x, perm=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))  # type: ignore[no-any-return]


class _Walk:
    """The equations that were written; *turned* are the variables of which there is an exchanged one."""

    def __init__(self, shapes: set[tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.eqns: list[Equation] = []
        self.turned: dict[Any, Var] = {}
        self.now: dict[Any, Any] = {}

    def tall(self, atom: Any) -> bool:
        return atom.__class__ is Var and atom.aval.shape in self.shapes

    def take(self, eqn: Equation) -> None:
        """Write *eqn*, exchanged if its result is such a stack, or its operand."""
        if not self.now.keys().isdisjoint(eqn.inputs):
            inputs = tuple([self.now.get(a, a) for a in eqn.inputs])
            eqn = Equation(eqn.sig, inputs, eqn.outs, eqn.line)
        x = eqn.inputs[0] if eqn.inputs else None
        if len(eqn.outs) == 1 and self.tall(eqn.out) and (make := self._made(eqn)):
            made = self.write(eqn, *make)
            self.turned[eqn.out] = made
            self.write(eqn, _exchanged, [made], eqn.out)
        elif x in self.turned and exchanges(eqn.sig):
            self.now[eqn.out] = self.turned[x]
        elif x in self.turned and (axis := _along(eqn)):
            self.write(eqn, _reduced(eqn, axis), [self.turned[x]], eqn.out)
        else:
            self.eqns.append(eqn)

    def _made(self, eqn: Equation) -> tuple[Callable[..., Node], list[Any]] | None:
        """How the exchanged result is computed, and of what."""
        prim, out = eqn.prim, eqn.out.aval
        if prim.algebra is MATRIX_PRODUCT and self.tall(eqn.inputs[0]):
            return lambda a, b: prim(_exchanged(b), a), [self.side(eqn.inputs[0]), eqn.inputs[1]]
        if index_map(prim) == "broadcast_to" and not self.tall(eqn.inputs[0]):
            shape = (*out.shape[:-2], out.shape[-1], out.shape[-2])
            return lambda x: broadcast_to(_column(x), shape=shape), [eqn.inputs[0]]
        if prim.kind == "elementwise":
            xs = [self.side(a) if self.tall(a) else a for a in eqn.inputs]
            return lambda *xs: prim(*xs, **eqn.params), xs
        return None

    def side(self, atom: Any) -> Any:
        """*atom*, a tall stack, exchanged."""
        if atom not in self.turned:
            self.turned[atom] = self.write(None, _exchanged, [atom])
        return self.turned[atom]

    def write(
        self, like: Equation | None, make: Callable[..., Node], xs: list[Any], *outs: Any
    ) -> Any:
        """Add the equations of ``make(*xs)``; return the variable that it is."""
        eqns, found = recorded(make, xs, like and like.line, outs)
        self.eqns += eqns
        return found[0]


def _column(x: Node) -> Node:
    """What is broadcast, exchanged."""
    if x.ndim == 1:
        return reshape(x, shape=(x.shape[0], 1))  # type: ignore[no-any-return]
    return _exchanged(x) if x.ndim else x


def _along(eqn: Equation) -> tuple[int, ...] | None:
    """The axes of a sum, or the like, over one or both of the last two, of what is exchanged."""
    if eqn.prim.kind != "reduction" or "keepdims" not in eqn.params:
        return None
    axis, n = eqn.params["axis"], eqn.inputs[0].aval.ndim  # type: ignore[union-attr]
    other = {n - 1: n - 2, n - 2: n - 1}
    return None if other.keys().isdisjoint(axis) else tuple(sorted(other.get(k, k) for k in axis))


def _reduced(eqn: Equation, axis: tuple[int, ...]) -> Callable[[Node], Node]:
    params = {**eqn.params, "axis": axis}
    if params["keepdims"]:
        return lambda x: _exchanged(eqn.prim(x, **params))
    return lambda x: eqn.prim(x, **params)
