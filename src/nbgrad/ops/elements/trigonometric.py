"""Trigonometric and hyperbolic functions, their inverses, angles and lengths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.lazy import LazyModule
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import primitives
from nbgrad.ops.elements.arithmetic import (
    ANY,
    NONZERO,
    POSITIVE,
    sqrt,
    square,
)
from nbgrad.ops.elements.comparison import equal
from nbgrad.ops.elements.kinks import HYPOT, hypot_pull
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.cotangents import add_up
from nbgrad.ops.kinds.elementwise import elementwise
from nbgrad.ops.kinds.promotion import common_loop

special = LazyModule("scipy.special")
UNIT = ((-0.9, 0.9),)
FLOATING = common_loop(floating=True)

sin = elementwise(
    "sin",
    expr="sin_{c}({x})",
    dtypes="fc",
    reference=np.sin,
    partials=lambda out, x: (cos(x),),
    doc="Sine, of an angle in radians.",
)
cos = elementwise(
    "cos",
    expr="cos_{c}({x})",
    dtypes="fc",
    reference=np.cos,
    partials=lambda out, x: (-sin(x),),
    doc="Cosine, of an angle in radians.",
)
tan = elementwise(
    "tan",
    expr="tan_{c}({x})",
    dtypes="fc",
    reference=np.tan,
    partials=lambda out, x: (1 + square(out),),
    domain=((-1.2, 1.2),),
    doc="Tangent, of an angle in radians.",
)
tanh = elementwise(
    "tanh",
    expr="tanh_{c}({x})",
    dtypes="fc",
    reference=np.tanh,
    partials=lambda out, x: (tanh_slope(x),),
    doc="Hyperbolic tangent.",
)


def _tanh_slope(x: Any) -> Any:
    e = np.exp(-2 * np.where(np.real(x) < 0, -x, x))
    return 4 * e / np.square(1 + e)


tanh_slope = elementwise(
    "tanh_slope",
    public=False,
    expr="sech2_{c}({x})",
    reference=_tanh_slope,
    loop=FLOATING,
    partials=lambda out, x: (-2 * tanh(x) * out,),
    grad_name="Tanh",
    doc="1 - tanh(x)**2, without cancellation.",
)
sinh = elementwise(
    "sinh",
    expr="sinh_{c}({x})",
    dtypes="fc",
    reference=np.sinh,
    partials=lambda out, x: (cosh(x),),
    doc="Hyperbolic sine.",
)
cosh = elementwise(
    "cosh",
    expr="cosh_{c}({x})",
    dtypes="fc",
    reference=np.cosh,
    partials=lambda out, x: (sinh(x),),
    doc="Hyperbolic cosine.",
)


def _complement(x: Any) -> Any:
    return (1 - x) * (1 + x)


complement = elementwise(
    "complement",
    public=False,
    expr="({t}(1) - {x}) * ({t}(1) + {x})",
    reference=_complement,
    loop=FLOATING,
    partials=lambda out, x: (-2 * x,),
    domain=UNIT,
    doc="1 - x**2, without cancellation.",
)
arcsin = elementwise(
    "arcsin",
    expr="asin_{c}({x})",
    reference=np.arcsin,
    partials=lambda out, x: (1 / sqrt(complement(x)),),
    domain=UNIT,
    grad_name="Asin",
    doc="Inverse sine, in radians.",
)
arccos = elementwise(
    "arccos",
    expr="acos_{c}({x})",
    reference=np.arccos,
    partials=lambda out, x: (-1 / sqrt(complement(x)),),
    domain=UNIT,
    grad_name="Acos",
    doc="Inverse cosine, in radians.",
)
arctan = elementwise(
    "arctan",
    expr="atan_{c}({x})",
    reference=np.arctan,
    partials=lambda out, x: (arctan_slope(x),),
    grad_name="Atan",
    doc="Inverse tangent, in radians.",
)
arctan_slope = elementwise(
    "arctan_slope",
    public=False,
    expr="({t}(1) / ({t}(1) + {x} * {x}))",
    reference=lambda x: 1 / (1 + np.square(x)),
    loop=FLOATING,
    # Of factors in an order that does not underflow.
    partials=lambda out, x: (-2 * (x * out) * out,),
    grad_name="Atan",
    doc="1 / (1 + x**2).",
)


def _arctan2_partials(out: Any, y: Any, x: Any) -> tuple[Any, Any]:
    length = primitives["hypot"](x, y)  # no square that overflows, or vanishes
    length = where(equal(length, 0), math.nan, length)
    return (x / length) / length, -((y / length) / length)


arctan2 = elementwise(
    "arctan2",
    expr="atan2_{c}({x}, {y})",
    reference=np.arctan2,
    partials=_arctan2_partials,
    domain=NONZERO,
    grad_name="Atan2",
    doc="Angle of the point (second, first) in radians, in (-pi, pi]; derivative NaN at (0, 0).",
)


def _arcsinh_slope(x: Any) -> Any:
    if x.dtype.kind == "c":
        return 1 / sqrt(1 + square(x))
    return 1 / hypot(x, 1.0)  # the square would overflow


arcsinh = elementwise(
    "arcsinh",
    expr="asinh_{c}({x})",
    reference=np.arcsinh,
    partials=lambda out, x: (_arcsinh_slope(x),),
    grad_name="Asinh",
    doc="Inverse hyperbolic sine.",
)


arccosh = elementwise(
    "arccosh",
    expr="acosh_{c}({x})",
    reference=np.arccosh,
    # Two roots: that of the product has another branch cut in the left half of the plane.
    partials=lambda out, x: (1 / (sqrt(x - 1) * sqrt(x + 1)),),
    domain=((1.2, 3.0),),
    grad_name="Acosh",
    doc="Inverse hyperbolic cosine; derivative +inf at 1.",
)


arctanh = elementwise(
    "arctanh",
    expr="atanh_{c}({x})",
    reference=np.arctanh,
    partials=lambda out, x: (1 / complement(x),),
    domain=UNIT,
    grad_name="Atanh",
    doc="Inverse hyperbolic tangent.",
)


def _scaling(name: str, top: float, bottom: float, doc: str) -> Primitive:
    return elementwise(
        name,
        # A quotient in the dtype, as NumPy has it.
        expr=f"{{x}} * ({{t}}({top!r}) / {{t}}({bottom!r}))",
        reference=getattr(np, name),
        partials=lambda out, x: (top / bottom,),
        doc=doc,
    )


degrees = _scaling("degrees", 180.0, math.pi, "An angle in radians, in degrees.")
rad2deg = _scaling("rad2deg", 180.0, math.pi, "An angle in radians, in degrees.")
radians = _scaling("radians", math.pi, 180.0, "An angle in degrees, in radians.")
deg2rad = _scaling("deg2rad", math.pi, 180.0, "An angle in degrees, in radians.")


def _direction(x: Any, y: Any) -> Any:
    length = np.hypot(x, y)
    return x / np.where(length == 0, np.asarray(np.inf, length.dtype), length)


def _direction_partials(out: Any, x: Any, y: Any) -> tuple[Any, Any]:
    length = hypot(x, y)
    length = where(equal(length, 0), math.inf, length)
    across = y / length
    # Not (1 - out**2) / length, which cancels where y is small.
    return across * (across / length), -out * (across / length)


direction = elementwise(
    "direction",
    public=False,
    expr="direction_{c}({x}, {y})",
    reference=_direction,
    loop=common_loop(floating=True, ordered=True),
    partials=_direction_partials,
    domain=NONZERO,
    grad_name="Hypot",
    doc="The first over the length of the vector (first, second): a cosine; 0 at (0, 0).",
)


def _hypot_vjp(ct: Any, out: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
    pairs = zip(xs, xs[::-1], wants, strict=True)
    return [hypot_pull(ct, x, y) if want else None for x, y, want in pairs]


hypot = elementwise(
    "hypot",
    expr="hypot_{c}({x}, {y})",
    reference=np.hypot,
    vjp=_hypot_vjp,
    jvp=lambda tangents, out, xs, params: add_up(
        [
            hypot_pull(t, x, y)
            for t, x, y in zip(tangents, xs, xs[::-1], strict=True)
            if t is not None
        ]
    ),
    domain=ANY,
    square=HYPOT,
    doc="Length of the vector (first, second), without overflow; derivative 0 at (0, 0).",
)


SERIES_TERMS = 20


def _sinc_derivative(x: Any, n: int) -> Any:
    """``d^n/dx^n sinc(x)``: a series near 0, elsewhere by recurrence over the order."""
    if n == 0:
        return np.sinc(x)
    x = np.asarray(x)
    work = x.astype(np.result_type(x, np.float32), copy=False)
    u = np.pi * work
    near = np.abs(u) < max(n, 2)
    safe = np.where(near, np.asarray(max(n, 2), u.dtype), u)
    # s_n(u) is the n-th derivative of sin(u) / u, and u s_n = sin^(n)(u) - n s_(n-1).
    # Whole turns are taken off before the product with pi, whose rounding would turn the angle.
    angle = np.pi * (work - 2 * np.round(0.5 * work))
    far = np.sin(angle) / safe
    for k in range(1, n + 1):
        far = (_sine_derivative(angle, k) - k * far) / safe
    small = np.where(near, u, np.zeros((), u.dtype))
    series = np.zeros_like(small)
    for k in range((n + 1) // 2 + SERIES_TERMS, (n + 1) // 2 - 1, -1):
        power = 2 * k - n
        series += (-1.0) ** k / ((2 * k + 1) * math.factorial(power)) * small**power
    found = np.where(near, series, far) * np.pi**n
    return found.astype(np.sinc(x[()]).dtype, copy=False)


def _sine_derivative(u: Any, order: int) -> Any:
    value = np.sin(u) if order % 2 == 0 else np.cos(u)
    return -value if order % 4 in (2, 3) else value


def _sinc_loop(kinds: Any) -> Any:
    x = kinds[0] if isinstance(kinds[0], np.dtype) else np.dtype(kinds[0])
    return (x, np.sinc(np.zeros((), x)).dtype)


sinc_derivative = elementwise(
    "sinc_derivative",
    public=False,
    expr=lambda params: f"{{to}}(sinc_{{c}}({{x}}, {params['n']}))",
    reference=_sinc_derivative,
    loop=_sinc_loop,
    partials=lambda out, x, n: (sinc_derivative(x, n=n + 1),),
    cases=tuple({"n": n} for n in (0, 1, 2, 5)),
    grad_name="Sinc",
    doc="Derivative of order n of sin(pi x) / (pi x), exact at 0 too.",
)


__all__ = [
    "POSITIVE",
    "arccos",
    "arcsin",
    "arctan",
    "arctan2",
    "cos",
    "cosh",
    "sin",
    "sinh",
    "tan",
    "tanh",
]
