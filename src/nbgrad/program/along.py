"""Where one dimension of an array goes: which equations keep it, sum over it, or make it by a broadcast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from nbgrad.core.node import Node
from nbgrad.core.primitive import bind
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.ops.arrays.reductions import mean
from nbgrad.ops.basis import broadcast_to, concatenate, full, pad, reshape, slice_, sum_, transpose
from nbgrad.ops.linalg.products import matmul

Axis = int | None  # None: the dimension is not there
WINDOWS: Final = (slice_, pad, concatenate)


class Lost(Exception):
    """An equation does with the dimension what cannot be done part by part."""


class Along:
    """Where the dimension is in the variables of a tape, from the operand that has it.

    ``axis`` has the variables in which it is, ``inside`` the results that are computed part by part, ``sums``
    those that are sums over all parts. What reads it otherwise is neither.
    """

    def __init__(self, tape: Tape, var: Var, at: int) -> None:
        self.tape = tape
        self.size = var.aval.shape[at]
        self.made = {out: eqn for eqn in tape.eqns for out in eqn.outs}
        self.axis: dict[Any, int] = {var: at}
        self.inside: set[Any] = set()
        self.sums: set[Any] = set()
        known = 0
        while known != len(self.axis):  # what an operand must be may bring others along
            known = len(self.axis)
            for eqn in tape.eqns:
                if any(a in self.axis for a in eqn.inputs):
                    self._forward(eqn)
        self._verify()

    def _verify(self) -> None:
        """What is found later may contradict what was found."""
        for eqn in self.tape.eqns:
            axes = [self.axis.get(a) for a in eqn.inputs]
            if eqn.out in self.inside and axes != _operands(eqn, self.axis[eqn.out]):
                raise Lost
            if eqn.out in self.sums and (eqn.out in self.axis or not _is_sum(eqn, axes)):
                raise Lost

    def _put(self, var: Any, at: Axis) -> None:
        """Say that *var* has it there, and so what it is computed of."""
        if at is None or var.__class__ is not Var:
            return
        if self.axis.setdefault(var, at) != at or var.aval.shape[at] != self.size:
            raise Lost
        eqn = self.made.get(var)
        if eqn is None or var in self.inside:
            return
        found = _operands(eqn, at)
        if found is not None:
            self.inside.add(var)
            for x, axis in zip(eqn.inputs, found, strict=True):
                self._put(x, axis)

    def _forward(self, eqn: Equation) -> None:
        try:
            found = _result(eqn, [self.axis.get(a) for a in eqn.inputs])
        except Lost:
            return  # reads all of it
        if found is not None:
            self._put(eqn.out, found)
            return
        self.sums.add(eqn.out)
        if eqn.prim is matmul:
            for x, axis in zip(eqn.inputs, _summed(eqn), strict=True):
                self._put(x, axis)


def _same_product(shape: Sequence[int], at: int, other: Sequence[int]) -> int:
    """The dimension of *other* that is number *at* of *shape*, in another shape of the same elements."""
    before = math.prod(shape[:at])
    for k, n in enumerate(other):
        if n == shape[at] and math.prod(other[:k]) == before:
            return k
    raise Lost


def _of_matmul(n: int, a: Axis, b: Axis) -> Axis:
    """Where it is in the result of a product of two operands of *n* dimensions."""
    batch = [k for k in (a, b) if k is not None and k < n - 2]
    if batch:
        return batch[0]
    if a == n - 1 or b == n - 2:  # summed over
        return None
    if a is not None and b is not None:
        raise Lost
    return a if a is not None else b


def _summed(eqn: Equation) -> list[int]:
    """The dimensions that a product of matrices sums over."""
    n = eqn.out.aval.ndim
    return [n - 1, n - 2]


def _is_sum(eqn: Equation, axes: list[Axis]) -> bool:
    return axes == _summed(eqn) if eqn.prim is matmul else _result(eqn, axes) is None


def _plain(eqn: Equation) -> bool:
    """Whether it is a reduction of which nothing but the dimensions is to be known."""
    return eqn.prim.kind == "reduction" and eqn.params.keys() == {"axis", "keepdims"}


def _through(eqn: Equation, at: int) -> bool:
    """Whether windows leave dimension *at* as it is, as operands side by side along another one do."""
    params = eqn.params
    if eqn.prim is concatenate:
        return bool(params["axis"] != at)
    x, y = eqn.inputs[0].aval, eqn.out.aval  # type: ignore[union-attr]
    same = x.ndim > at and x.shape[at] == y.shape[at]
    return bool(same and params["starts"][at] == 0 and params["steps"][at] == 1)


def _result(eqn: Equation, axes: Sequence[Axis]) -> Axis:
    """Where it is in the result of *eqn*; None if that is a sum over it."""
    prim, params = eqn.prim, eqn.params
    first = next(k for k, axis in enumerate(axes) if axis is not None)
    at, x = axes[first], eqn.inputs[first].aval  # type: ignore[union-attr]
    assert at is not None
    if len(eqn.outs) != 1:
        raise Lost
    if prim.kind == "elementwise":
        if any(k not in (None, at) for k in axes):
            raise Lost
        return at
    if prim in WINDOWS and _through(eqn, at):
        return at
    if prim is transpose:
        return list(params["perm"]).index(at)
    if prim is reshape:
        return _same_product(x.shape, at, params["shape"])
    if prim is broadcast_to:
        return at + len(params["shape"]) - x.ndim
    if prim is matmul:
        return _of_matmul(x.ndim, *axes)
    if _plain(eqn):
        if at not in params["axis"]:
            return at if params["keepdims"] else at - sum(k < at for k in params["axis"])
        if prim in (sum_, mean) and eqn.out.aval.inexact:
            return None
    raise Lost


def _operands(eqn: Equation, at: int) -> list[Axis] | None:
    """Where it is in the operands of *eqn*, in whose result it is at *at*; None if nobody knows."""
    prim, params = eqn.prim, eqn.params
    if len(eqn.outs) != 1:
        return None
    if prim.kind == "elementwise":
        return [at if a.__class__ is Var and a.aval.ndim else None for a in eqn.inputs]
    if prim is full:
        return [None]
    if not eqn.inputs or eqn.inputs[0].__class__ is not Var:
        return None
    x = eqn.inputs[0].aval
    if prim in WINDOWS and _through(eqn, at):
        return [at] * len(eqn.inputs)
    if prim is transpose:
        return [params["perm"][at]]
    if prim is reshape:
        return [_same_product(params["shape"], at, x.shape)]
    if prim is broadcast_to:
        axis = at - (len(params["shape"]) - x.ndim)
        return [axis if axis >= 0 and x.shape[axis] == params["shape"][at] else None]
    if prim is matmul:
        n = x.ndim
        return [at, at] if at < n - 2 else [at, None] if at == n - 2 else [None, at]
    if _plain(eqn):
        kept = [k for k in range(x.ndim) if k not in params["axis"]]
        return [at if params["keepdims"] else kept[at]]
    return None


def resized(eqn: Equation, xs: Sequence[Any], at: Axis, size: int) -> Node:
    """*eqn* on parts of its operands: its result is of *size* at *at*, or a sum, or its part of a mean, over so many."""
    params = eqn.params
    if at is not None:
        word = "sizes" if eqn.prim is slice_ else "shape"
        if word in params:
            shape = params[word]
            params = {**params, word: (*shape[:at], size, *shape[at + 1 :])}
    elif eqn.prim is mean:
        x = eqn.inputs[0].aval  # type: ignore[union-attr]
        return sum_(xs[0], **params) / math.prod([x.shape[k] for k in params["axis"]])  # type: ignore[no-any-return]
    return bind(eqn.prim, *xs, **params)  # type: ignore[no-any-return]
