"""Exponentials and logarithms beside ``exp`` and ``log`` of arithmetic.py, and roots."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.ops.elements.activations import sigmoid
from nbgrad.ops.elements.arithmetic import NONZERO, POSITIVE, absolute, exp, power, square
from nbgrad.ops.elements.comparison import equal, logical_and
from nbgrad.ops.elements.selection import where
from nbgrad.ops.kinds.elementwise import elementwise
from nbgrad.ops.kinds.promotion import common_loop

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


__all__ = [
    "cbrt",
    "exp2",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "reciprocal",
    "shifted",
    "uniform_power",
]
