"""Transcendental functions. ``exp``, ``log``, ``sqrt`` and ``power`` are in arithmetic.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.lazy import LazyModule
from nbgrad.core.node import Node
from nbgrad.core.registry import primitives
from nbgrad.ops.elements.arithmetic import NONZERO, POSITIVE, exp, indicator, sqrt, square, where
from nbgrad.ops.elements.comparison import equal, greater
from nbgrad.ops.kinds.names import common_loop, elementwise

special = LazyModule("scipy.special")
UNIT = ((-0.9, 0.9),)
FLOATING = common_loop(floating=True)
TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)

log1p = elementwise(
    "log1p",
    expr="log1p_{c}({x})",
    reference=np.log1p,
    partials=lambda out, x: (1 / (1 + x),),
    domain=((-0.9, 3.0),),
    doc="Natural logarithm of 1 + x, accurate near zero.",
)
expm1 = elementwise(
    "expm1",
    expr="expm1_{c}({x})",
    reference=np.expm1,
    partials=lambda out, x: (exp(x),),  # out + 1 would lose the digits of a small one
    doc="Exponential minus 1, accurate near zero.",
)
sin = elementwise(
    "sin",
    expr="sin_{c}({x})",
    reference=np.sin,
    partials=lambda out, x: (cos(x),),
    doc="Sine, of an angle in radians.",
)
cos = elementwise(
    "cos",
    expr="cos_{c}({x})",
    reference=np.cos,
    partials=lambda out, x: (-sin(x),),
    doc="Cosine, of an angle in radians.",
)
tan = elementwise(
    "tan",
    expr="tan_{c}({x})",
    reference=np.tan,
    partials=lambda out, x: (1 + square(out),),
    domain=((-1.2, 1.2),),
    doc="Tangent, of an angle in radians.",
)
tanh = elementwise(
    "tanh",
    expr="tanh_{c}({x})",
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
    reference=np.sinh,
    partials=lambda out, x: (cosh(x),),
    doc="Hyperbolic sine.",
)
cosh = elementwise(
    "cosh",
    expr="cosh_{c}({x})",
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


def _sigmoid(x: Any) -> Any:
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    with np.errstate(over="ignore"):
        return (1 / (1 + np.exp(-wide))).astype(np.result_type(x, np.float16), copy=False)


sigmoid = elementwise(
    "sigmoid",
    namespace="special",
    expr="sigmoid_{c}({x})",
    reference=_sigmoid,
    loop=FLOATING,
    partials=lambda out, x: (sigmoid_slope(x),),
    doc="Logistic function 1 / (1 + exp(-x)).",
)
sigmoid_slope = elementwise(
    "sigmoid_slope",
    namespace="special",
    public=False,
    # 1 - sigmoid(x) would lose the digits of a small derivative.
    expr="sigmoid_{c}({x}) * sigmoid_{c}(-{x})",
    reference=lambda x: _sigmoid(x) * _sigmoid(-x),
    loop=FLOATING,
    partials=lambda out, x: (-out * tanh(0.5 * x),),
    grad_name="Sigmoid",
    doc="sigmoid(x) sigmoid(-x), the derivative of sigmoid.",
)


def _softplus(x: Any) -> Any:
    return np.logaddexp(x, np.zeros((), np.asarray(x).dtype))


softplus = elementwise(
    "softplus",
    namespace="special",
    expr="softplus_{c}({x})",
    reference=_softplus,
    loop=common_loop(floating=True, ordered=True),
    partials=lambda out, x: (sigmoid(x),),
    doc="log(1 + exp(x)), without overflow.",
)


def _relu(x: Any) -> Any:
    return np.where(x < 0, np.zeros((), np.asarray(x).dtype), x)


relu = elementwise(
    "relu",
    namespace="special",
    expr="({t}(0) if {x} < {t}(0) else {x})",
    reference=_relu,
    loop=common_loop(ordered=True),
    partials=lambda out, x: (indicator(greater(x, 0), out),),
    domain=NONZERO,
    dtypes="fiu",
    doc="x where positive, else 0; derivative 0 at 0.",
)


def _bell(x: Any, scale: float) -> Any:
    """The square is taken in two parts: its rounding would be an error of the exponent."""
    if np.asarray(x).dtype.kind == "c":
        return np.exp(scale * np.square(x))
    z = np.clip(np.asarray(x, np.float64), -40.0, 40.0)
    head = (np.asarray(z).view(np.int64) & -0x8000000).view(np.float64)
    with np.errstate(all="ignore"):
        rest = np.expm1(scale * ((z - head) * (z + head)))
        e = np.exp(scale * (head * head))
        return np.where(e < np.inf, e + e * rest, e).astype(np.result_type(x, np.float16))


bell = elementwise(
    "bell",
    namespace="special",
    public=False,
    expr=lambda params: f"bell_{{c}}({{x}}, {{t}}({params['scale']!r}))",
    reference=_bell,
    loop=FLOATING,
    partials=lambda out, x, scale: (2.0 * scale * x * out,),
    cases=({"scale": -1.0}, {"scale": -0.5}, {"scale": 0.5}),
    grad_name="Exp",
    doc="exp(scale x**2), to the last digit.",
)


def _erf(x: Any) -> Any:
    return special.erf(x)


def _erf_partials(out: Any, x: Node) -> tuple[Any]:
    return (TWO_OVER_SQRT_PI * bell(x, scale=-1.0),)


erf = elementwise(
    "erf",
    namespace="special",
    expr="erf_{c}({x})",
    reference=_erf,
    loop=FLOATING,
    partials=_erf_partials,
    doc="Error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x (DLMF 7.2.1).",
)
__all__ = ["POSITIVE", "arccos", "arcsin", "arctan", "arctan2", "cos", "cosh", "erf", "expm1"]
__all__ += ["log1p", "relu", "sigmoid", "sin", "sinh", "softplus", "tan", "tanh"]
