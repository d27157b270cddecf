"""Gamma, beta and related functions (DLMF chapters 5 and 25)."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.elements.comparison import equal
from nbgrad.ops.elements.selection import where
from nbgrad.ops.special import numerics
from nbgrad.ops.special.tools import special, special_function

UP = ((0.6, 4.0),)
# Of 1/gamma at 0 (DLMF 5.7.1).
RGAMMA_SERIES = (
    0.0,
    1.0,
    0.5772156649015329,
    -0.6558780715202539,
    -0.04200263503409524,
    0.16653861138229148,
    -0.04219773455554433,
    -0.009621971527876973,
    0.0072189432466631,
    -0.0011651675918590652,
    -0.00021524167411495098,
    0.0001280502823881162,
    -2.013485478078824e-05,
    -1.2504934821426706e-06,
    1.133027231981696e-06,
    -2.056338416977607e-07,
    6.116095104481416e-09,
    5.002007644469223e-09,
    -1.18127457048702e-09,
    1.0434267116911005e-10,
    7.782263439905071e-12,
    -3.696805618642206e-12,
    5.100370287454476e-13,
    -2.0583260535665066e-14,
    -5.348122539423018e-15,
    1.2267786282382608e-15,
    -1.1812593016974588e-16,
)


def _polygamma(n: Any, x: Any) -> Any:
    """By the Hurwitz zeta function; reflected to the right half-line below 0 (DLMF 5.15.6)."""
    out = np.asarray(special.polygamma(n, np.where((x > 0) | np.isnan(x), x, 1.0)))
    out = np.where(n == 0, special.digamma(x), out)
    left = (n > 0) & (x <= 0)
    return np.where(left, _reflected(n, np.where(left, x, -0.5)), out) if left.any() else out


def _reflected(n: Any, x: Any) -> Any:
    """By sums over the numbers above and below 0, those that cancel pair by pair; inf or nan at the poles."""
    known = (n > 0) & (n <= 170) & (n == np.floor(n))  # n! is no number from there on
    s = np.where(known, n + 1.0, 2.0)
    m = np.floor(0.5 - np.maximum(x, -1e15))  # from there on all are integers
    r = np.where(x > -1e15, x + m, 0.0)
    sign = np.where(s % 2 == 1, 1.0, -1.0)
    with np.errstate(all="ignore"):
        near = r**-s - sign * (1.0 - r) ** -s
        far = special.zeta(s, 1.0 + r) - sign * special.zeta(s, 2.0 - r)
        out = -sign * (near + far + sign * special.zeta(s, m + 1.0 - r)) * special.gamma(s)
    pole = np.where((s % 2 == 0) & np.isfinite(x), np.inf, np.nan)
    return np.where(known, np.where(r == 0.0, pole, out), np.nan)


polygamma = special_function(
    "polygamma",
    _polygamma,
    partials=lambda out, n, x: (None, polygamma(n + 1, x)),
    fixed=(0,),
    text="special_polygamma({x}, {y})",
    domain=((0, 3), (0.6, 4.0)),
    doc="n-th derivative of digamma (DLMF 5.15); the derivative is polygamma(n + 1, x).",
)
digamma = special_function(
    "digamma",
    lambda x: special.digamma(x),
    partials=lambda out, x: (polygamma(1, x),),
    domain=UP,
    doc="Logarithmic derivative of gamma (DLMF 5.2.2).",
)
gamma = special_function(
    "gamma",
    lambda x: special.gamma(x),
    partials=lambda out, x: (out * digamma(x),),
    domain=UP,
    doc="Gamma function (DLMF 5.2.1).",
)
rgamma = special_function(
    "rgamma",
    lambda x: special.rgamma(x),
    partials=lambda out, x: (_rgamma_slope(x, n=1),),
    domain=UP,
    doc="Reciprocal of gamma, which is entire (DLMF 5.2).",
)


def _rgamma_derivative(x: Any, n: int) -> Any:
    """The first or second derivative of 1/gamma; by its series next to the poles of gamma."""
    return np.where(x < 0.5, _by_series(np.minimum(x, 0.5), n), _by_digamma(x, n))


def _by_digamma(x: Any, n: int) -> Any:
    psi = special.digamma(x)
    factor = psi if n == 1 else special.polygamma(1, np.where(x > 0, x, 1.0)) - psi * psi
    return -special.rgamma(x) * factor


def _by_series(x: Any, n: int) -> Any:
    """Of 1/gamma(x) = x (x + 1) ... (u - 1) / gamma(u), where u is x without its whole part."""
    whole = np.round(-x)
    u = x + whole
    series = np.polynomial.Polynomial(RGAMMA_SERIES)
    r, dr, ddr = (series.deriv(k)(u) if k else series(u) for k in range(3))
    # (u - 1) (u - 2) ... (u - whole), and the sums of 1 / (u - k) and of its square.
    sign = np.where(whole % 2 == 0, 1.0, -1.0)
    product = sign * special.gamma(1 + whole - u) / special.gamma(1 - u)
    first = special.digamma(1 - u) - special.digamma(1 + whole - u)
    if n == 1:
        return product * (dr + r * first)
    second = special.polygamma(1, 1 - u) - special.polygamma(1, 1 + whole - u)
    return product * (ddr + 2 * dr * first + r * (first * first - second))


def _rgamma_partial(out: Any, x: Node, n: int) -> tuple[Any]:
    if n == 1:
        return (_rgamma_slope(x, n=2),)
    psi, slope = digamma(x), polygamma(1, x)
    return (rgamma(x) * (psi * (3 * slope - psi * psi) - polygamma(2, x)),)


_rgamma_slope = special_function(
    "rgamma_slope",
    _rgamma_derivative,
    partials=_rgamma_partial,
    host="at the poles of gamma a series of 27 terms, by SciPy's polygamma elsewhere",
    domain=UP,
    cases=({"n": 1}, {"n": 2}),
    public=False,
    doc="First or second derivative of 1/gamma, at the poles of gamma too.",
)
gammaln = special_function(
    "gammaln",
    lambda x: special.gammaln(x),
    partials=lambda out, x: (digamma(x),),
    domain=UP,
    doc="Logarithm of the absolute value of gamma (DLMF 5.2); +inf at 0, -1, -2 ...",
)
loggamma = special_function(
    "loggamma",
    lambda x: special.loggamma(x),
    partials=lambda out, x: (where(x < 0, np.nan, digamma(x)),),
    domain=UP,
    doc="Principal branch of log(gamma) (DLMF 5.2), NaN for negative numbers.",
)
gammasgn = special_function(
    "gammasgn",
    lambda x: special.gammasgn(x),
    partials=lambda out, x: (0,),
    domain=UP,
    doc="Sign of gamma; derivative zero.",
)


digamma_difference = special_function(
    "digamma_difference",
    numerics.digamma_difference,
    partials=lambda out, a, b: (polygamma(1, a) - polygamma(1, a + b), -polygamma(1, a + b)),
    text="special_digamma_difference({x}, {y})",
    domain=((0.6, 4.0), (0.6, 4.0)),
    public=False,
    doc="digamma(a) - digamma(a + b), without cancellation for large a.",
)


def _beta(a: Any, b: Any) -> Any:
    large = (np.minimum(a, b) > 0) & (np.maximum(a, b) > 10)
    return np.where(large, np.exp(numerics.betaln(a, b)), special.beta(a, b))


beta = special_function(
    "beta",
    _beta,
    partials=lambda out, a, b: (out * digamma_difference(a, b), out * digamma_difference(b, a)),
    text="special_beta({x}, {y})",
    domain=UP,
    doc="Beta function gamma(a) gamma(b) / gamma(a + b) (DLMF 5.12.1).",
)
betaln = special_function(
    "betaln",
    numerics.betaln,
    partials=lambda out, a, b: (digamma_difference(a, b), digamma_difference(b, a)),
    text="special_betaln({x}, {y})",
    domain=UP,
    doc="Logarithm of the absolute value of the beta function (DLMF 5.12).",
)


def _zeta_partials(out: Any, x: Node, q: Node) -> tuple[Any, Any]:
    return None, -x * zeta(x + 1, q)


zeta = special_function(
    "zeta",
    lambda x, q: special.zeta(x, q),
    partials=_zeta_partials,
    fixed=(0,),
    host="SciPy has it of arrays only",
    domain=((2, 5), (0.6, 4.0)),
    doc="Hurwitz zeta function sum (k + q)^-x (DLMF 25.11.1); no derivative by x.",
)


def _binom_partials(out: Any, n: Node, k: Node) -> tuple[Any, Any]:
    rest = n - k + 1
    by_n, by_k = out * (digamma(n + 1) - digamma(rest)), out * (digamma(rest) - digamma(k + 1))
    # At a pole below, such as for whole k above n, the value is 0, and the slope is not.
    zero, top, under = equal(out, 0), gamma(n + 1), rgamma(k + 1)
    pole = top * under * _rgamma_slope(rest, n=1)
    other = top * _rgamma_slope(k + 1, n=1) * rgamma(rest)
    return where(zero, out * digamma(n + 1) + pole, by_n), where(zero, other - pole, by_k)


binom = special_function(
    "binom",
    lambda n, k: special.binom(n, k),
    partials=_binom_partials,
    domain=((4.2, 6.0), (0.6, 3.0)),
    doc="Binomial coefficient of real numbers (DLMF 1.2.6).",
)


def _poch_partials(out: Any, z: Node, m: Node) -> tuple[Any, Any]:
    top = digamma(z + m)
    return where(equal(m, 0), 0.0, -out * digamma_difference(z, m)), out * top


poch = special_function(
    "poch",
    lambda z, m: special.poch(z, m),
    partials=_poch_partials,
    domain=UP,
    doc="Rising factorial gamma(z + m) / gamma(z) (DLMF 5.2.4).",
)
