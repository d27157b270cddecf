"""Transcendental functions. ``exp``, ``log``, ``sqrt`` and ``power`` are in arithmetic.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.lazy import LazyModule
from nbgrad.ops.arithmetic import NONZERO, POSITIVE, exp, indicator, sqrt, square
from nbgrad.ops.comparison import greater
from nbgrad.ops.kinds import common_loop, elementwise

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
    partials=lambda out, x: (out + 1,),
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
    partials=lambda out, x: (1 - square(out),),
    doc="Hyperbolic tangent.",
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
arcsin = elementwise(
    "arcsin",
    expr="asin_{c}({x})",
    reference=np.arcsin,
    partials=lambda out, x: (1 / sqrt((1 - x) * (1 + x)),),
    domain=UNIT,
    grad_name="Asin",
    doc="Inverse sine, in radians.",
)
arccos = elementwise(
    "arccos",
    expr="acos_{c}({x})",
    reference=np.arccos,
    partials=lambda out, x: (-1 / sqrt((1 - x) * (1 + x)),),
    domain=UNIT,
    grad_name="Acos",
    doc="Inverse cosine, in radians.",
)
arctan = elementwise(
    "arctan",
    expr="atan_{c}({x})",
    reference=np.arctan,
    partials=lambda out, x: (1 / (1 + square(x)),),
    grad_name="Atan",
    doc="Inverse tangent, in radians.",
)


def _arctan2_partials(out: Any, y: Any, x: Any) -> tuple[Any, Any]:
    norm = square(x) + square(y)
    return x / norm, -(y / norm)


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
    # 1 - out would lose the digits of a small derivative.
    partials=lambda out, x: (out * sigmoid(-x),),
    doc="Logistic function 1 / (1 + exp(-x)).",
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
    dtypes="fi",
    doc="x where positive, else 0; derivative 0 at 0.",
)


def _erf(x: Any) -> Any:
    return special.erf(x)


def _erf_partials(out: Any, x: Node) -> tuple[Any]:
    return (TWO_OVER_SQRT_PI * exp(-square(x)),)


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
