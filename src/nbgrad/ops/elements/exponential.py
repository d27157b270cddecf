"""Elementary functions beside those of trigonometric.py: other bases, roots and inverses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.primitive import Primitive
from nbgrad.ops.elements.arithmetic import (
    ANY,
    NONZERO,
    POSITIVE,
    absolute,
    power,
    sqrt,
    square,
    where,
)
from nbgrad.ops.elements.comparison import equal, logical_and
from nbgrad.ops.elements.kinks import hypot_pull
from nbgrad.ops.elements.trigonometric import UNIT, complement, sigmoid
from nbgrad.ops.kinds.cotangents import add_up
from nbgrad.ops.kinds.names import common_loop, elementwise

LN2 = math.log(2.0)
LN10 = math.log(10.0)

exp2 = elementwise(
    "exp2",
    expr="exp2_{c}({x})",
    reference=np.exp2,
    partials=lambda out, x: (LN2 * out,),
    doc="2 to the power of the operand.",
)
log2 = elementwise(
    "log2",
    expr="log2_{c}({x})",
    reference=np.log2,
    partials=lambda out, x: (1 / LN2 * (1 / x),),
    domain=POSITIVE,
    doc="Logarithm to base 2.",
)
log10 = elementwise(
    "log10",
    expr="log10_{c}({x})",
    reference=np.log10,
    partials=lambda out, x: (1 / LN10 * (1 / x),),
    domain=POSITIVE,
    doc="Logarithm to base 10.",
)
cbrt = elementwise(
    "cbrt",
    expr="cbrt_{c}({x})",
    reference=np.cbrt,
    partials=lambda out, x: (1 / (3.0 * square(out)),),
    domain=NONZERO,
    doc="Cube root, negative for negative numbers; derivative +inf at 0.",
)
reciprocal = elementwise(
    "reciprocal",
    expr="{t}(1) / {x}",
    reference=np.reciprocal,
    partials=lambda out, x: (-square(out),),
    domain=NONZERO,
    doc="1 divided by the operand.",
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


def _shifted(x: Any, y: Any) -> Any:
    return np.where(x == y, np.zeros((), np.result_type(x, y)), np.subtract(x, y))


shifted = elementwise(
    "shifted",
    public=False,
    expr="({x} - {y} if {x} != {y} else {t}(0))",
    reference=_shifted,
    loop=common_loop(),
    partials=lambda out, x, y: (1, -1),
    grad_name="Sub",
    doc="Difference that is 0 where the operands are equal, infinities too.",
)

uniform_power = elementwise(
    "uniform_power",
    public=False,
    expr="(math.sqrt({x}) if {y} == {t}(0.5) else pow_{c}({x}, {y}))",
    reference=lambda x, y: np.power(x, y),
    loop=common_loop(floating=True),
    partials=power.partials,
    domain=POSITIVE,
    grad_name="Pow",
    doc="power with one exponent for all: NumPy takes the root for 0.5, which differs at -inf.",
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
    length="hypot",
    doc="Length of the vector (first, second), without overflow; derivative 0 at (0, 0).",
)


def _weights(out: Any, x: Any, y: Any, scale: float) -> tuple[Any, Any]:
    """Shares of the two terms of a sum of powers; both 0 where the sum is."""
    # Only infinities that are alike: at a finite tie the gap still moves, and so do the shares.
    alike = logical_and(equal(x, y), equal(absolute(x), math.inf))
    gap = where(alike, 0.0, x - y)
    empty = equal(out, -math.inf)
    return (
        where(empty, 0.0, sigmoid(scale * gap)),
        where(empty, 0.0, sigmoid(-scale * gap)),
    )


logaddexp = elementwise(
    "logaddexp",
    # The first case is there for infinities, whose difference is NaN.
    expr="({x} + {t}(0.6931471805599453) if {x} == {y} else "
    "max_{c}({x}, {y}) + softplus_{c}(-abs({x} - {y})))",
    reference=np.logaddexp,
    partials=lambda out, x, y: _weights(out, x, y, 1.0),
    doc="log(exp(x) + exp(y)), without overflow; derivatives 0 where both are -inf.",
)
logaddexp2 = elementwise(
    "logaddexp2",
    expr="({x} + {t}(1) if {x} == {y} else max_{c}({x}, {y}) + "
    "{t}(1.4426950408889634) * log1p_{c}(exp2_{c}(-abs({x} - {y}))))",
    reference=np.logaddexp2,
    partials=lambda out, x, y: _weights(out, x, y, LN2),
    doc="log2(2**x + 2**y), without overflow; derivatives 0 where both are -inf.",
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
__all__ = ["arccosh", "arcsinh", "arctanh", "cbrt", "deg2rad", "degrees", "direction", "exp2"]
__all__ += ["hypot", "log10"]
__all__ += ["log2", "logaddexp", "logaddexp2", "rad2deg", "radians", "reciprocal"]
__all__ += ["shifted", "sinc_derivative", "uniform_power"]
