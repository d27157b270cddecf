"""NumPy's functions of elements that are no ufuncs: rounding to decimals, tests, phases, sinc."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.operands import as_operand
from nbgrad.core.values import value_of
from nbgrad.ops.basis import cast
from nbgrad.ops.elements import rounding, trigonometric
from nbgrad.ops.elements.arithmetic import absolute, add, positive, remainder
from nbgrad.ops.elements.comparison import (
    equal,
    greater,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_or,
    not_equal,
)
from nbgrad.ops.elements.complex_parts import from_parts
from nbgrad.ops.elements.selection import where
from nbgrad.ops.elements.trigonometric import arctan2
from nbgrad.ops.special import bessel
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.complex_parts import imag, real
from nbgrad.vocabulary.elements.composite import astype, detached
from nbgrad.vocabulary.elements.ufunc_methods import accumulate, no_out
from nbgrad.vocabulary.shapes import as_node, concatenate
from nbgrad.vocabulary.subscript import getitem


@function("numpy", np.sinc, cases=lambda d: [call(d(2, 3)), call(0 * d(2))], complex=True)
def sinc(x: Any) -> Node:
    """``sin(pi x) / (pi x)``, and 1 at 0; derivatives of every order are exact there too."""
    return trigonometric.sinc_derivative(as_node(x), n=0)


@function("numpy", np.i0, cases=lambda d: [call(d(2, 3)), call(d.integers(3, 2))])
def i0(x: Any) -> Node:
    """Modified Bessel function of the first kind of order 0."""
    node = as_node(x)
    if node.dtype.kind == "c":
        raise TypeError("i0: not defined for complex numbers; see nbgrad.special.iv")
    return bessel.i0(node)


# ---------------------------------------------------------------------------------------- rounding


@function(
    "numpy",
    np.round,
    aliases=("around",),
    also=(np.around,),
    cases=lambda d: [
        call(d(2, 3)),
        call(d.integers(9, 3) / 10 + 0.01, 1),
        call(100 * d(3), decimals=-1),
        call(d.integers(9, 3)),
    ],
    complex=True,
    method=True,
)
def round(a: Any, decimals: int = 0, out: Any = None) -> Node:
    """Round to *decimals*, halves to the even digit; derivative zero."""
    no_out("round", out)
    node, decimals = as_node(a), index(decimals)
    if not node.aval.inexact:
        if decimals >= 0:
            return astype(node, np.float16) if node.dtype.kind == "b" else positive(node)
        return astype(round(astype(node, np.float64), decimals), node.dtype)
    if not decimals:
        return rounding.rint(node)
    # Beyond the largest power of ten that is a float, as NumPy's product of tens is.
    scale = float(10 ** abs(decimals)) if abs(decimals) <= 308 else math.inf
    rounded = rounding.rint(node * scale if decimals > 0 else node / scale)
    return rounded / scale if decimals > 0 else rounded * scale


@function("numpy", np.fix, cases=lambda d: [call(d(2, 3)), call(d.integers(9, 3))])
def fix(x: Any, out: Any = None) -> Node:
    """The integer nearest towards zero; derivative zero."""
    no_out("fix", out)
    return rounding.trunc(as_node(x))


@function(
    "numpy",
    np.nan_to_num,
    cases=lambda d: [call(_extremes(d)), call(_extremes(d), nan=2.0, posinf=9.0, neginf=-9.0)],
    complex=True,
    differentiable=False,
    writes="uncopied",
)
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Node:
    """Replace NaN and infinities by numbers; what is replaced gets no gradient."""
    node = as_node(x)
    if node.dtype.kind == "c":
        parts = (real(node), imag(node))
        return from_parts(*(nan_to_num(p, copy, nan, posinf, neginf) for p in parts))
    if not node.aval.inexact:
        return positive(node)
    limits = np.finfo(node.dtype)
    upper = float(limits.max) if posinf is None else posinf
    lower = float(limits.min) if neginf is None else neginf
    bounded = where(equal(node, math.inf), upper, where(equal(node, -math.inf), lower, node))
    found = where(isnan(node), nan, bounded)
    if found.dtype.kind == "c":
        raise TypeError(
            f"nan_to_num: elements of {node.dtype} cannot be replaced by complex numbers"
        )
    return cast(found, dtype=node.dtype)


def _extremes(d: Any) -> Any:
    x = d(6)
    x[1:4] = [np.nan, np.inf, -np.inf]
    return x


# ------------------------------------------------------------------------------------------ complex


@function("numpy", np.angle, cases=lambda d: [call(d(2, 3)), call(d(3), deg=True)], complex=True)
def angle(z: Any, deg: bool = False) -> Node:
    """Phase of complex numbers, in radians or degrees; 0 or pi, of derivative 0, of real ones."""
    node = as_node(z)
    phase = arctan2(imag(node), real(node))
    return phase * (180.0 / math.pi) if deg else phase


@function(
    "numpy",
    np.real_if_close,
    cases=lambda d: [call(d(3)), call(d.real(3) + 0j)],
    complex=True,
    view=True,
)
def real_if_close(a: Any, tol: float = 100) -> Node:
    """The real part, if all imaginary parts are within *tol* roundings of 0 (or below it)."""
    node = as_node(a)
    if node.dtype.kind != "c":
        return node
    limit = tol * np.finfo(node.dtype).eps if tol > 1 else tol
    small = bool(np.all(np.abs(value_of(node).imag) < limit))
    return real(node) if small else node


@function("numpy", np.isreal, cases=lambda d: [call(d(3)), call(d.real(3) + 0j)], complex=True)
def isreal(x: Any) -> Node:
    """Whether the imaginary part is 0."""
    return equal(imag(as_node(x)), 0)


@function("numpy", np.iscomplex, cases=lambda d: [call(d(3)), call(d.real(3) + 0j)], complex=True)
def iscomplex(x: Any) -> Node:
    """Whether the imaginary part is not 0."""
    return not_equal(imag(as_node(x)), 0)


# ----------------------------------------------------------------------------------------- infinity


@function("numpy", np.isposinf, cases=lambda d: [call(_extremes(d)), call(d.integers(5, 2))])
def isposinf(x: Any, out: Any = None) -> Node:
    """Whether +inf."""
    no_out("isposinf", out)
    return logical_and(isinf(_ordered("isposinf", x)), greater(x, 0))


@function("numpy", np.isneginf, cases=lambda d: [call(_extremes(d)), call(d.integers(5, 2))])
def isneginf(x: Any, out: Any = None) -> Node:
    """Whether -inf."""
    no_out("isneginf", out)
    return logical_and(isinf(_ordered("isneginf", x)), less(x, 0))


def _ordered(name: str, x: Any) -> Node:
    node = as_node(x)
    if node.dtype.kind == "c":
        raise TypeError(f"{name}: not defined for {node.dtype}, which has no order")
    return node


@function(
    "numpy",
    np.isclose,
    cases=lambda d: [
        call(
            np.array([1.0, 1.0, np.nan, np.inf, -np.inf]),
            np.array([1.0, 1.1, np.nan, np.inf, 0.0]),
        ),
        call(d(3), d(3), rtol=0.5, equal_nan=True),
    ],
    complex=True,
)
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Node:
    """Whether ``abs(a - b) <= atol + rtol * abs(b)``, or both are the same infinity."""
    a, b = as_node(a), as_operand(b)
    b = b if b.__class__ is Node else as_node(b)
    b = b if b.aval.inexact else astype(b, np.result_type(b.dtype, 1.0))
    near = less_equal(absolute(a - b), atol + rtol * absolute(b))
    close = logical_or(logical_and(near, isfinite(b)), equal(a, b))
    return logical_or(close, logical_and(isnan(a), isnan(b))) if equal_nan else close


# ------------------------------------------------------------------------------------------- phases


@function(
    "numpy",
    np.unwrap,
    cases=lambda d: [call(4 * d(6)), call(4 * d(2, 5), axis=0, period=3.0), call(9 * d(5), 4.0)],
)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * math.pi) -> Node:
    """Add multiples of *period* so that steps along *axis* are at most half of it."""
    node = as_node(p)
    k = axis % node.ndim
    later, earlier = (
        getitem(node, (*[slice(None)] * k, s)) for s in (slice(1, None), slice(None, -1))
    )
    # The multiples are constant between their jumps, so they are no function of the phases.
    step = detached(later - earlier)
    whole = step.dtype.kind in "iu" and isinstance(period, int)
    high = period // 2 if whole else period / 2
    wrapped = remainder(step + high, period) - high
    if not whole or period % 2 == 0:
        both = logical_and(equal(wrapped, -high), greater(step, 0))
        wrapped = where(both, high, wrapped)
    limit = high if discont is None else discont
    correction = where(less(absolute(step), limit), 0, wrapped - step)
    total = accumulate(np.add, add, correction, k)
    first = getitem(node, (*[slice(None)] * k, slice(0, 1)))
    return concatenate([astype(first, total.dtype), later + total], k)
