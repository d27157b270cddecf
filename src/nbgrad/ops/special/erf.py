"""The error function, and the bell curve that its derivative is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.elements.trigonometric import FLOATING, special
from nbgrad.ops.kinds.elementwise import elementwise

TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)


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
