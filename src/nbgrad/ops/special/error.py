"""Error functions, the normal distribution and exponential integrals (DLMF chapters 6 and 7)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.elements.arithmetic import absolute, exp, square
from nbgrad.ops.elements.comparison import greater, greater_equal, less
from nbgrad.ops.elements.selection import maximum, where
from nbgrad.ops.elements.trigonometric import cos, sin
from nbgrad.ops.special.erf import TWO_OVER_SQRT_PI, bell
from nbgrad.ops.special.tools import special, special_function

ANY = ((-2.0, 2.0),)
UNIT = ((0.1, 0.9),)
ROOT_TWO_PI = math.sqrt(2.0 * math.pi)
ROOT_HALF_PI = math.sqrt(0.5 * math.pi)
FAR = 6.5


erfc = special_function(
    "erfc",
    lambda x: special.erfc(x),
    partials=lambda out, x: (-TWO_OVER_SQRT_PI * bell(x, scale=-1.0),),
    domain=ANY,
    doc="Complementary error function 1 - erf(x), accurate where it is small (DLMF 7.2.2).",
)


def _erfcx_partials(out: Any, x: Node) -> tuple[Any]:
    far = greater(x, FAR)
    return (where(far, _erfcx_far(x, n=0), 2 * x * out - TWO_OVER_SQRT_PI),)


_erfcx_far = special_function(
    "erfcx_far",
    lambda x, n: _asymptotic(x, -1.0, n) * TWO_OVER_SQRT_PI,
    partials=lambda out, x, n: (_erfcx_far(x, n=n + 1),),
    text=lambda params: f"{TWO_OVER_SQRT_PI!r} * series_asymptotic_f8({{x}}, -1.0, {params['n']})",
    domain=((12.0, 20.0),),
    cases=({"n": 0}, {"n": 1}),
    public=False,
    doc="n-th derivative of 2 x erfcx(x) - 2/sqrt(pi) for large x, by its series (DLMF 7.12.1).",
)


def _asymptotic(x: Any, sign: float, n: int) -> Any:
    """N-th derivative of the sum of sign^k (2k - 1)!! / (2 x^2)^k from k = 1, for |x| >= FAR."""
    far = np.where(np.abs(x) < FAR, FAR, x)
    inverse = sign * 0.5 / np.square(far)
    total = np.zeros_like(x)
    for k in range(40, 0, -1):
        rising = math.prod(range(2 * k, 2 * k + n))
        total = (rising + total) * ((2 * k - 1) * inverse)
    return total * (-1.0 / far) ** n


erfcx = special_function(
    "erfcx",
    lambda x: special.erfcx(x),
    partials=_erfcx_partials,
    domain=ANY,
    doc="Scaled complementary error function exp(x^2) erfc(x) (DLMF 7.6).",
)
erfi = special_function(
    "erfi",
    lambda x: special.erfi(x),
    partials=lambda out, x: (TWO_OVER_SQRT_PI * bell(x, scale=1.0),),
    domain=ANY,
    doc="Imaginary error function -i erf(i x) (DLMF 7.5).",
)
dawsn_far = special_function(
    "dawsn_far",
    lambda x, n: -_asymptotic(x, 1.0, n),
    partials=lambda out, x, n: (dawsn_far(x, n=n + 1),),
    text=lambda params: f"-series_asymptotic_f8({{x}}, 1.0, {params['n']})",
    domain=((12.0, 20.0),),
    cases=({"n": 0}, {"n": 1}),
    public=False,
    doc="n-th derivative of 1 - 2 x dawsn(x) for large |x|, by its series (DLMF 7.12).",
)


def _dawsn_partials(out: Any, x: Node) -> tuple[Any]:
    return (where(greater(absolute(x), FAR), dawsn_far(x, n=0), 1 - 2 * x * out),)


dawsn = special_function(
    "dawsn",
    lambda x: special.dawsn(x),
    partials=_dawsn_partials,
    domain=ANY,
    doc="Dawson's integral exp(-x^2) times that of exp(t^2) from 0 to x (DLMF 7.2.5).",
)
erfinv = special_function(
    "erfinv",
    lambda y: special.erfinv(y),
    partials=lambda out, y: (bell(out, scale=1.0) / TWO_OVER_SQRT_PI,),
    domain=((-0.9, 0.9),),
    doc="Inverse of erf (DLMF 7.17.1); -inf and inf at -1 and 1, with derivative inf.",
)
erfcinv = special_function(
    "erfcinv",
    lambda y: special.erfcinv(y),
    partials=lambda out, y: (-bell(out, scale=1.0) / TWO_OVER_SQRT_PI,),
    domain=UNIT,
    doc="Inverse of erfc (DLMF 7.17.2).",
)
ndtr = special_function(
    "ndtr",
    lambda x: special.ndtr(x),
    partials=lambda out, x: (bell(x, scale=-0.5) / ROOT_TWO_PI,),
    domain=ANY,
    doc="Distribution function of the standard normal, erfc(-x / sqrt(2)) / 2 (DLMF 7.2).",
)


def _log_ndtr_partials(out: Any, x: Node) -> tuple[Any]:
    """The density over ndtr; on the left, where both vanish, by erfcx."""
    left = less(x, 0)
    near = bell(where(left, 0.0, x), scale=-0.5) / (ROOT_TWO_PI * ndtr(where(left, 0.0, x)))
    far = 1 / (ROOT_HALF_PI * erfcx(where(left, x, 0.0) * -math.sqrt(0.5)))
    return (where(left, far, near),)


log_ndtr = special_function(
    "log_ndtr",
    lambda x: special.log_ndtr(x),
    partials=_log_ndtr_partials,
    domain=ANY,
    doc="Logarithm of ndtr, also where that underflows (DLMF 7.2).",
)
ndtri = special_function(
    "ndtri",
    lambda y: special.ndtri(y),
    partials=lambda out, y: (ROOT_TWO_PI * bell(out, scale=0.5),),
    domain=UNIT,
    doc="Inverse of ndtr; -inf and inf at 0 and 1, with derivative inf (DLMF 7.17).",
)
fresnel_s = special_function(
    "fresnel_s",
    lambda x: special.fresnel(x)[0],
    partials=lambda out, x: (sin((0.5 * math.pi) * square(x)),),
    text="special_fresnel_s({x})",
    domain=ANY,
    public=False,
    doc="Fresnel's integral of sin(pi t^2 / 2) (DLMF 7.2.8).",
)
fresnel_c = special_function(
    "fresnel_c",
    lambda x: special.fresnel(x)[1],
    partials=lambda out, x: (cos((0.5 * math.pi) * square(x)),),
    text="special_fresnel_c({x})",
    domain=ANY,
    public=False,
    doc="Fresnel's integral of cos(pi t^2 / 2) (DLMF 7.2.7).",
)


# --------------------------------------------------------------------------- exponential integrals

exp1 = special_function(
    "exp1",
    lambda x: special.exp1(x),
    partials=lambda out, x: (-exp(-x) / x,),
    domain=((0.3, 3.0),),
    doc="Exponential integral E1, of exp(-t)/t from x to infinity (DLMF 6.2.1).",
)
expi = special_function(
    "expi",
    lambda x: special.expi(x),
    partials=lambda out, x: (exp(x) / x,),
    domain=((0.3, 3.0),),
    doc="Exponential integral Ei, of exp(t)/t up to x, principal value (DLMF 6.2.5).",
)


def _expn_partials(out: Any, n: Node, x: Node) -> tuple[Any, Any]:
    """E_n' = -E_(n-1), and E_0 = exp(-x) / x."""
    lower = expn(maximum(n - 1, 0), x)
    return None, where(greater_equal(n, 1), -lower, -out * (1 + 1 / x))


expn = special_function(
    "expn",
    lambda n, x: special.expn(n, x),
    partials=_expn_partials,
    fixed=(0,),
    # SciPy would cut the order to 32 bits, and warn.
    text="scipy_expn((trunc_f8({x}) if abs({x}) < 2147483648.0 else -1.0), {y})",
    domain=((0, 4), (0.3, 3.0)),
    doc="Generalised exponential integral E_n(x) of integer n >= 0 (DLMF 8.19.2).",
)
