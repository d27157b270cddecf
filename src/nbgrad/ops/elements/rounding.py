"""Rounding, and the parts of a floating-point number; derivatives are constant between kinks."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.primitive import Primitive
from nbgrad.ops.basis import cast
from nbgrad.ops.elements.arithmetic import NONZERO, sign
from nbgrad.ops.elements.comparison import (
    equal,
    greater_equal,
    indicator,
    isnan,
    logical_not,
    logical_or,
)
from nbgrad.ops.elements.kinks import ABSOLUTE, absolute_pull
from nbgrad.ops.kinds import ranges
from nbgrad.ops.kinds.cotangents import is_number
from nbgrad.ops.kinds.elementwise import elementwise

# Between whole and half numbers, on both sides of 0.
FRACTIONS = ((0.6, 0.9), (-1.9, -1.6))


def _rounding(name: str, doc: str, dtypes: str = "f") -> Primitive:
    """A function whose value is constant around almost every point."""
    return elementwise(
        name,
        expr=f"{{to}}({name}_{{c}}({{x}}))",
        dtypes=dtypes,
        reference=getattr(np, name),
        partials=lambda out, x: (0,),
        domain=FRACTIONS,
        bounds=ranges.same if "i" in dtypes else None,
        doc=doc,
    )


floor = _rounding("floor", "Largest integer that is not above; derivative zero.", "fiu")
ceil = _rounding("ceil", "Smallest integer that is not below; derivative zero.", "fiu")
trunc = _rounding("trunc", "The integer nearest towards zero; derivative zero.", "fiu")
rint = _rounding("rint", "The nearest integer, halves to the even; derivative 0.")
spacing = _rounding("spacing", "Distance to the nearest other number; derivative zero.")


def _fraction(x: Any) -> Any:
    return np.modf(x)[0]


fraction = elementwise(
    "fraction",
    public=False,
    expr="{to}(fraction_{c}({x}))",
    reference=_fraction,
    loop=lambda kinds: np.modf.resolve_dtypes((*kinds, None, None))[:2],
    partials=lambda out, x: (1,),
    domain=FRACTIONS,
    doc="What trunc leaves of a number, with its sign: the first result of modf.",
)


def _mantissa(x: Any) -> Any:
    return np.frexp(x)[0]


def _exponent(x: Any) -> Any:
    return np.frexp(x)[1]


def _power_of_two(n: Any, like: Any) -> Any:
    power = ldexp(1.0, n)
    return power if is_number(power) else cast(power, dtype=like.dtype)


exponent = elementwise(
    "exponent",
    public=False,
    expr="{to}(exponent_{c}({x}))",
    reference=_exponent,
    loop=lambda kinds: np.frexp.resolve_dtypes((*kinds, None, None))[::2],
    domain=FRACTIONS,
    doc="The power of 2 in a number: the second result of frexp.",
)
mantissa = elementwise(
    "mantissa",
    public=False,
    expr="{to}(mantissa_{c}({x}))",
    reference=_mantissa,
    loop=lambda kinds: np.frexp.resolve_dtypes((*kinds, None, None))[:2],
    partials=lambda out, x: (_power_of_two(-exponent(x), out),),
    domain=FRACTIONS,
    doc="A number without its power of 2, between 0.5 and 1: the first result of frexp.",
)
ldexp = elementwise(
    "ldexp",
    expr="{to}(ldexp_{to}({x}, {y}))",
    dtypes="fi",
    reference=np.ldexp,
    partials=lambda out, x, n: (_power_of_two(n, out), None),
    domain=((-2.0, 2.0), (-3, 4)),
    doc="The first operand times 2 to the integer power of the second.",
)
nextafter = elementwise(
    "nextafter",
    expr="{to}(nextafter_{c}({x}, {y}))",
    reference=np.nextafter,
    partials=lambda out, x, y: (1, 0),
    domain=FRACTIONS,
    doc="The number next to the first in the direction of the second; derivatives 1 and 0.",
)
signbit = elementwise(
    "signbit",
    expr="signbit_{c}({x})",
    reference=np.signbit,
    domain=NONZERO,
    doc="Whether the sign is minus.",
)
copysign = elementwise(
    "copysign",
    expr="{to}(math.copysign({x}, {y}))",
    reference=np.copysign,
    partials=lambda out, x, y: (None if is_number(x) else sign(x) * copysign(1.0, y), 0),
    domain=NONZERO,
    doc="The first operand with the sign of the second; derivative 0 where the first is 0.",
)
heaviside = elementwise(
    "heaviside",
    expr="{to}(heaviside_{c}({x}, {y}))",
    reference=np.heaviside,
    partials=lambda out, x, y: (0, indicator(equal(x, 0), out)),
    domain=NONZERO,
    doc="0 where the first is negative, 1 where positive, and the second where it is 0.",
)
fabs = elementwise(
    "fabs",
    expr="abs({x})",
    reference=np.fabs,
    vjp=lambda ct, out, xs, params, wants: (absolute_pull(ct, xs[0]),),
    jvp=lambda tangents, out, xs, params: absolute_pull(tangents[0], xs[0]),
    domain=NONZERO,
    grad_name="Abs",
    square=ABSOLUTE,
    doc="Absolute value as a floating-point number; derivative 0 at 0.",
)


def _quotient_truncated(out: Any, x: Any, y: Any) -> tuple[Any, Any]:
    return 1, -trunc(x / y)


fmod = elementwise(
    "fmod",
    expr="{to}(fmod_{c}({x}, {y}))",
    dtypes="fiu",
    reference=np.fmod,
    partials=_quotient_truncated,
    domain=((1.6, 1.9), (0.6, 0.75)),
    bounds=ranges.truncated_remainder,
    doc="Remainder with the sign of the first operand, as C's fmod.",
)


def _first_of(wins: Any) -> Any:
    """Partials of an extremum that passes over NaN; at a tie the first operand has it all."""

    def partials(out: Any, x: Any, y: Any) -> tuple[Any, Any]:
        first = logical_or(wins(x, y), isnan(y))
        return indicator(first, out), indicator(logical_not(first), out)

    return partials


fmax = elementwise(
    "fmax",
    expr="({x} if ({x} >= {y}) | ({y} != {y}) else {y})",
    dtypes="fiu",
    reference=np.fmax,
    partials=_first_of(greater_equal),
    bounds=ranges.corners(max),
    doc="Larger of two, or the one that is not NaN; at a tie the first has the gradient.",
)
fmin = elementwise(
    "fmin",
    expr="({x} if ({x} <= {y}) | ({y} != {y}) else {y})",
    dtypes="fiu",
    reference=np.fmin,
    partials=_first_of(lambda x, y: greater_equal(y, x)),
    bounds=ranges.corners(min),
    doc="Smaller of two, or the one that is not NaN; at a tie the first has the gradient.",
)

__all__ = ["ceil", "copysign", "exponent", "fabs", "floor", "fmax", "fmin", "fmod", "fraction"]
__all__ += ["heaviside", "ldexp", "mantissa", "nextafter", "rint", "signbit", "spacing", "trunc"]
