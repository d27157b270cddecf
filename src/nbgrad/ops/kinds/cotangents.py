"""The algebra of cotangents and tangents, which rules are written in.

A cotangent is a node, or a Python scalar that stands for an array filled with that number, so that
a seed of 1 costs nothing; None is an exact zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbgrad.config import settings
from nbgrad.core.aval import Aval
from nbgrad.core.node import Node
from nbgrad.core.record import record
from nbgrad.core.registry import primitives

SMALL = 8  # a part of an array is small if the whole has as many times its size


def is_number(x: Any) -> bool:
    """Whether a cotangent is a Python scalar: an array filled with it."""
    return x.__class__ is not Node


def times(ct: Any, partial: Any) -> Any:
    """Return ``ct * partial``, folding 0, 1 and -1.

    Unless ``nan_policy`` is ``ieee`` the product is exactly zero where ``ct`` is, even if
    ``partial`` is infinite or NaN there.
    """
    if partial is None or (is_number(partial) and partial == 0):
        return None
    for one, other in ((partial, ct), (ct, partial)):
        if is_number(one) and one == 1:
            return other
        if is_number(one) and one == -1:
            return -other
    if is_number(ct) or (is_number(partial) and partial * 0 == 0):
        return ct * partial
    product = "multiply" if settings.current.nan_policy == "ieee" else "strong_multiply"
    return primitives[product](ct, partial)


def conjugate(partial: Any) -> Any:
    """The complex conjugate of a partial derivative; real ones are returned as they are.

    Cotangents follow PyTorch: the gradient of a real loss is the direction of steepest ascent,
    so a holomorphic operation multiplies them by the conjugate of its derivative.
    """
    if partial.__class__ is complex:
        return partial.conjugate()
    if partial.__class__ is Node and partial.dtype.kind == "c":
        return primitives["conjugate"](partial)
    return partial


def materialize(ct: Any, aval: Aval) -> Node:
    """Return *ct* as a node of exactly *aval*: fill a number, cast, or sum to a 0-d operand."""
    if is_number(ct):
        if ct.__class__ is complex and aval.dtype.kind != "c":
            ct = ct.real  # the edge from complex to real
        ct = primitives["full"](ct, shape=aval.shape, dtype=aval.dtype)
    if ct.aval is aval:
        return ct
    if ct.aval.device != aval.device:
        ct = primitives["move"](ct, device=aval.device, back=True)
    if ct.aval.ndim and not aval.ndim:
        ct = primitives["sum"](ct, axis=tuple(range(ct.ndim)), keepdims=False)
    if ct.dtype != aval.dtype:
        ct = primitives["cast"](ct, dtype=aval.dtype)
    if aval.ndim and not ct.ndim:
        ct = primitives["broadcast_to"](ct, shape=aval.shape)
    return ct


def settle(ct: Any, x: Any, y_aval: Aval) -> Any:
    """Bring a cotangent in the shape of *y_aval* to its operand *x*, which may be 0-d.

    Numbers and 0-d nodes stand for a whole array of that value: a 0-d operand gets its sum.
    """
    if ct is None:
        return None
    if y_aval.ndim and not x.ndim and (is_number(ct) or not ct.ndim):
        ct = ct * y_aval.size
    return ct if is_number(ct) else materialize(ct, x.aval)


def add_up(terms: Sequence[Any]) -> Any:
    """Sum of the terms that are not None; None if there are none."""
    total = None
    for term in terms:
        if term is not None:
            total = term if total is None else total + term
    return total


def reduced_shape(shape: tuple[int, ...], axis: tuple[int, ...], keepdims: bool) -> Any:
    """Shape after reducing *axis*."""
    if keepdims:
        return tuple(1 if k in axis else n for k, n in enumerate(shape))
    return tuple(n for k, n in enumerate(shape) if k not in axis)


def expand(y: Any, x_aval: Aval, axis: tuple[int, ...]) -> Any:
    """Broadcast a reduction's result (or its cotangent) back over *axis*; numbers stay."""
    if is_number(y):
        return y
    kept = reduced_shape(x_aval.shape, axis, True)
    if y.shape != kept:
        y = primitives["reshape"](y, shape=kept)
    if kept != x_aval.shape:
        y = primitives["broadcast_to"](y, shape=x_aval.shape)
    return y


def plus(a: Any, b: Any) -> Any:
    """The sum of two cotangents, each a node or a number."""
    if a.__class__ is b.__class__ is Node and (sig := addition(a.aval, b.aval)) is not None:
        return record(sig, (a, b))
    return a + b if is_number(a) and is_number(b) else primitives["add"](a, b)


def addition(a: Aval, b: Aval) -> Any:
    """The signature of a sum that was recorded before and needs no cast or broadcast, or None."""
    return primitives["add"].signatures.get(((a, b), ()))
