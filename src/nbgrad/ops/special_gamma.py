"""Gamma, beta and related functions (DLMF chapters 5 and 25)."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops import special_numerics as numerics
from nbgrad.ops.arithmetic import where
from nbgrad.ops.comparison import equal
from nbgrad.ops.special_tools import special, special_function

UP = ((0.6, 4.0),)


def _polygamma(n: Any, x: Any) -> Any:
    """By the Hurwitz zeta function; reflected to the right half-line below 0 (DLMF 5.15.6)."""
    out = np.asarray(special.polygamma(n, np.where(x > 0, x, 1.0)))
    out = np.where(n == 0, special.digamma(x), out)
    left = (n > 0) & (x <= 0)
    return np.where(left, _reflected(n, np.where(left, x, -0.5)), out) if left.any() else out


def _reflected(n: Any, x: Any) -> Any:
    """psi_n(x) = (-1)^n psi_n(1 - x) - pi d^n/dx^n cot(pi x), and inf at the poles."""
    sign = np.where(n % 2 == 0, 1.0, -1.0)
    out = np.full(np.broadcast_shapes(n.shape, x.shape), np.nan)
    orders, points = np.broadcast_to(n, out.shape), np.broadcast_to(x, out.shape)
    for order in np.unique(orders):
        chosen = orders == order
        u = points[chosen]
        # cot and its derivatives are polynomials in c = cot(pi x): d/dx P(c) = -pi (1 + c^2) P'(c).
        p = np.polynomial.Polynomial([0.0, 1.0])
        for _ in range(int(order)):
            p = -np.pi * np.polynomial.Polynomial([1.0, 0.0, 1.0]) * p.deriv()
        r = u - np.round(u)
        out[chosen] = -np.pi * p(np.cos(np.pi * r) / np.sin(np.pi * r))
    out = out + sign * special.polygamma(n, 1.0 - x)
    return np.where(x == np.floor(x), np.where(n % 2 == 1, np.inf, np.nan), out)


polygamma = special_function(
    "polygamma",
    _polygamma,
    partials=lambda out, n, x: (None, polygamma(n + 1, x)),
    fixed=(0,),
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
    partials=lambda out, x: (_rgamma_slope(x),),
    domain=UP,
    doc="Reciprocal of gamma, which is entire (DLMF 5.2).",
)


def _slope_of_rgamma(x: Any) -> Any:
    pole = (x <= 0) & (x == np.floor(x))
    n = np.where(pole, -x, 0.0)
    # 1/gamma(z) = (-1)^n n! (z + n) + ... at -n (DLMF 5.2.1).
    limit = np.where(n % 2 == 0, 1.0, -1.0) * special.gamma(n + 1.0)
    safe = np.where(pole, 1.0, x)
    return np.where(pole, limit, -special.rgamma(safe) * special.digamma(safe))


_rgamma_slope = special_function(
    "rgamma_slope",
    _slope_of_rgamma,
    partials=lambda out, x: (rgamma(x) * (digamma(x) ** 2 - polygamma(1, x)),),
    domain=UP,
    public=False,
    doc="Derivative of 1/gamma, with its limit at the poles of gamma.",
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
    domain=UP,
    doc="Beta function gamma(a) gamma(b) / gamma(a + b) (DLMF 5.12.1).",
)
betaln = special_function(
    "betaln",
    numerics.betaln,
    partials=lambda out, a, b: (digamma_difference(a, b), digamma_difference(b, a)),
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
    domain=((2, 5), (0.6, 4.0)),
    doc="Hurwitz zeta function sum (k + q)^-x (DLMF 25.11.1); no derivative by x.",
)


def _binom_partials(out: Any, n: Node, k: Node) -> tuple[Any, Any]:
    rest = n - k + 1
    return out * (digamma(n + 1) - digamma(rest)), out * (digamma(rest) - digamma(k + 1))


binom = special_function(
    "binom",
    lambda n, k: special.binom(n, k),
    partials=_binom_partials,
    domain=((4.2, 6.0), (0.6, 3.0)),
    doc="Binomial coefficient of real numbers (DLMF 1.2.6), where gamma has no pole.",
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
