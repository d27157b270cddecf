"""Incomplete gamma and beta functions (DLMF chapter 8), with derivatives by every argument."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.ops.elements.arithmetic import absolute, exp, log, sign, sqrt, square
from nbgrad.ops.elements.comparison import equal, less, logical_and
from nbgrad.ops.elements.exponential import log1p
from nbgrad.ops.elements.selection import minimum, where
from nbgrad.ops.special import incomplete_beta, numerics
from nbgrad.ops.special.gamma import betaln, digamma, digamma_difference, polygamma
from nbgrad.ops.special.incomplete_beta import beta_slope, log_derivatives, ratio, student_logs
from nbgrad.ops.special.incomplete_gamma import gamma_slope
from nbgrad.ops.special.quadrature import bell
from nbgrad.ops.special.tools import special, special_function

GAMMA = ((0.6, 4.0), (0.6, 4.0))
BETA = ((0.6, 3.0), (0.6, 3.0), (0.1, 0.9))
QUANTILE = ((0.6, 3.0), (0.1, 0.9))


def _weighted(density: Any, factor: Any) -> Any:
    """Their product; 0 where the density is, at the ends, whose logarithms are infinite."""
    return where(equal(density, 0), 0.0, density * factor)


def _gamma_kernel(a: Any, x: Any, k: int) -> Any:
    finite = np.where(x < np.inf, x, 1.0)
    logarithm = special.xlogy(a - 1 - k, finite) - finite - special.gammaln(a)
    return np.where(x < np.inf, np.exp(logarithm), 0.0)


def _gamma_kernel_partials(out: Any, a: Any, x: Any, k: int) -> tuple[Any, Any]:
    power = a - 1 - k  # which is not divided by x: that is right where the density underflows
    by_x = where(equal(power, 0), -out, gamma_kernel(a, x, k=k + 1) * (power - x))
    by_a = _weighted(out, log(x) - digamma(a))
    return by_a, where(less(x, np.inf), by_x, 0.0)


gamma_kernel = special_function(
    "gamma_kernel",
    _gamma_kernel,
    partials=_gamma_kernel_partials,
    text=lambda p: f"special_gamma_kernel({{x}}, {{y}}, {p['k']})",
    domain=GAMMA,
    cases=({"k": 0}, {"k": 1}),
    public=False,
    doc="x**(a - 1 - k) exp(-x) / gamma(a): the density of the gamma distribution for k = 0.",
)


def gamma_density(a: Any, x: Any) -> Any:
    """``x**(a - 1) exp(-x) / gamma(a)`` of nodes."""
    return gamma_kernel(a, x, k=0)


def _beta_kernel(a: Any, b: Any, x: Any, j: int, k: int) -> Any:
    logarithm = special.xlogy(a - 1 - j, x) + special.xlog1py(b - 1 - k, -x)
    return np.exp(logarithm - numerics.betaln(a, b))


def _beta_kernel_partials(
    out: Any, a: Any, b: Any, x: Any, j: int, k: int
) -> tuple[Any, Any, Any]:
    up, down = a - 1 - j, b - 1 - k
    rising, falling = (
        up * beta_kernel(a, b, x, j=j + 1, k=k),
        down * beta_kernel(a, b, x, j=j, k=k + 1),
    )
    by_x = beta_kernel(a, b, x, j=j + 1, k=k + 1) * (up * (1 - x) - down * x)
    by_x = where(equal(down, 0), rising, where(equal(up, 0), -falling, by_x))
    by_x = where(logical_and(equal(up, 0), equal(down, 0)), 0.0, by_x)
    by_a = _weighted(out, log(x) - digamma_difference(a, b))
    return by_a, _weighted(out, log1p(-x) - digamma_difference(b, a)), by_x


beta_kernel = special_function(
    "beta_kernel",
    _beta_kernel,
    partials=_beta_kernel_partials,
    text=lambda p: f"special_beta_kernel({{x}}, {{y}}, {{z}}, {p['j']}, {p['k']})",
    domain=BETA,
    cases=({"j": 0, "k": 0}, {"j": 1, "k": 0}, {"j": 0, "k": 1}),
    public=False,
    doc="x**(a - 1 - j) (1 - x)**(b - 1 - k) / beta(a, b): the density of the beta distribution.",
)


def beta_density(a: Any, b: Any, x: Any) -> Any:
    """``x**(a - 1) (1 - x)**(b - 1) / beta(a, b)`` of nodes."""
    return beta_kernel(a, b, x, j=0, k=0)


def _gamma_slope_partials(out: Any, a: Any, x: Any, n: int) -> tuple[Any, Any]:
    logs = [log(x) - digamma(a), *(-polygamma(k, a) for k in range(1, n))]
    return gammainc_slope(a, x, n=n + 1), _weighted(gamma_density(a, x), bell(n, logs))


gammainc_slope = special_function(
    "gammainc_slope",
    lambda a, x, n: gamma_slope(a, x, n),
    partials=_gamma_slope_partials,
    host="a quadrature over all elements at once",
    domain=GAMMA,
    cases=({"n": 1}, {"n": 2}),
    public=False,
    doc="n-th derivative of gammainc by its parameter, by quadrature of one sign.",
)
gammainc = special_function(
    "gammainc",
    lambda a, x: special.gammainc(a, x),
    partials=lambda out, a, x: (gammainc_slope(a, x, n=1), gamma_density(a, x)),
    domain=GAMMA,
    doc="Regularised lower incomplete gamma function P(a, x) (DLMF 8.2.4).",
)
gammaincc = special_function(
    "gammaincc",
    lambda a, x: special.gammaincc(a, x),
    partials=lambda out, a, x: (-gammainc_slope(a, x, n=1), -gamma_density(a, x)),
    domain=GAMMA,
    doc="Regularised upper incomplete gamma function Q(a, x) (DLMF 8.2.4).",
)


def _gammaincinv_partials(out: Any, a: Any, y: Any) -> tuple[Any, Any]:
    density = gamma_density(a, out)
    return -gammainc_slope(a, out, n=1) / density, 1 / density


gammaincinv = special_function(
    "gammaincinv",
    lambda a, y: special.gammaincinv(a, y),
    partials=_gammaincinv_partials,
    domain=QUANTILE,
    doc="Inverse of gammainc by its second operand (DLMF 8.12); differentiated implicitly.",
)


def _gammainccinv_partials(out: Any, a: Any, y: Any) -> tuple[Any, Any]:
    density = gamma_density(a, out)
    return -gammainc_slope(a, out, n=1) / density, -1 / density


gammainccinv = special_function(
    "gammainccinv",
    lambda a, y: special.gammainccinv(a, y),
    partials=_gammainccinv_partials,
    domain=QUANTILE,
    doc="Inverse of gammaincc by its second operand (DLMF 8.12); differentiated implicitly.",
)


def _beta_slope_partials(out: Any, a: Any, b: Any, x: Any, n: int, m: int) -> tuple[Any, ...]:
    def difference(at: Any, c: Any) -> Any:
        return digamma_difference(at, b if at is a else a)

    logs = (log(x), log(1 - x))
    given = log_derivatives(polygamma, difference, a, b, a + b, *logs)
    by_a, by_b = betainc_slope(a, b, x, n=n + 1, m=m), betainc_slope(a, b, x, n=n, m=m + 1)
    return by_a, by_b, _weighted(beta_density(a, b, x), ratio(n, m, given))


betainc_slope = special_function(
    "betainc_slope",
    lambda a, b, x, n, m: beta_slope(a, b, x, n, m),
    partials=_beta_slope_partials,
    host="a quadrature over all elements at once",
    domain=BETA,
    cases=({"n": 1, "m": 0}, {"n": 0, "m": 1}),
    public=False,
    doc="Derivative of betainc, n times by a and m times by b, by quadrature of one sign.",
)


def _betainc_partials(out: Any, a: Any, b: Any, x: Any) -> tuple[Any, Any, Any]:
    by_a, by_b = betainc_slope(a, b, x, n=1, m=0), betainc_slope(a, b, x, n=0, m=1)
    return by_a, by_b, beta_density(a, b, x)


betainc = special_function(
    "betainc",
    lambda a, b, x: special.betainc(a, b, x),
    partials=_betainc_partials,
    domain=BETA,
    doc="Regularised incomplete beta function I_x(a, b) (DLMF 8.17.2).",
)
betaincc = special_function(
    "betaincc",
    lambda a, b, x: special.betaincc(a, b, x),
    partials=lambda out, *xs: tuple(-p for p in _betainc_partials(out, *xs)),
    domain=BETA,
    doc="Complement 1 - I_x(a, b) of the incomplete beta function (DLMF 8.17.4).",
)


def _betaincinv_partials(out: Any, a: Any, b: Any, y: Any) -> tuple[Any, Any, Any]:
    density = beta_density(a, b, out)
    by_a, by_b = betainc_slope(a, b, out, n=1, m=0), betainc_slope(a, b, out, n=0, m=1)
    return -by_a / density, -by_b / density, 1 / density


betaincinv = special_function(
    "betaincinv",
    lambda a, b, y: special.betaincinv(a, b, y),
    partials=_betaincinv_partials,
    domain=BETA,
    doc="Inverse of betainc by its third operand (DLMF 8.17); differentiated implicitly.",
)


def _moved(z: Any, a0: Any, a: Any) -> Any:
    """*z* itself where nothing moves, so that a draw is returned to the bit."""
    z, a0, a = np.broadcast_arrays(z, a0, a)
    out = z.copy()
    moves = a != a0
    if moves.any():
        low, high = (f(a0[moves], z[moves]) for f in (special.gammainc, special.gammaincc))
        down, up = special.gammaincinv(a[moves], low), special.gammainccinv(a[moves], high)
        out[moves] = np.where(low < high, down, up)
    return out


def _moved_partials(out: Any, z: Any, a0: Any, a: Any) -> tuple[Any, Any, Any]:
    density = gamma_density(a, out)
    by_z, by_a0 = gamma_density(a0, z), gammainc_slope(a0, z, n=1)
    return by_z / density, by_a0 / density, -gammainc_slope(a, out, n=1) / density


gamma_transport = special_function(
    "gamma_transport",
    _moved,
    partials=_moved_partials,
    text="special_gamma_transport({x}, {y}, {z})",
    domain=((0.6, 3.0), (0.6, 3.0), (0.6, 3.0)),
    public=False,
    doc="A gamma draw z of shape a0, moved to shape a at the same probability P(a, .) = P(a0, z).",
)


# ----------------------------------------------------------------------------- Student's t


def _stdtr_density(df: Any, t: Any) -> Any:
    return exp(-0.5 * (df + 1) * log1p(square(t) / df) - betaln(0.5 * df, 0.5)) / sqrt(df)


def _stdtr_partials(out: Any, df: Any, t: Any) -> tuple[Any, Any]:
    """From ``1 - I_x(df/2, 1/2) / 2`` with x = df / (df + t^2) for t > 0 (DLMF 8.17).

    Near 0 the two terms by df would cancel, and x be 1.
    """
    density = _stdtr_density(df, t)
    near = less(absolute(t), minimum(1.5, sqrt(df)))
    x = where(near, 0.5, 1 / (1 + square(t) / df))
    slope = 0.5 * betainc_slope(0.5 * df, 0.5, x, n=1, m=0)
    far = -0.5 * (sign(t) * slope + t * density / df)
    return where(near, stdtr_slope(df, where(near, t, 0.0), n=1), far), density


def _stdtr_slope_partials(out: Any, df: Any, t: Any, n: int) -> tuple[Any, Any]:
    logs = student_logs(n, df, square(t), log1p, digamma_difference, polygamma)
    return stdtr_slope(df, t, n=n + 1), _stdtr_density(df, t) * bell(n, logs)


stdtr_slope = special_function(
    "stdtr_slope",
    lambda df, t, n: incomplete_beta.stdtr_slope(df, t, n),
    partials=_stdtr_slope_partials,
    host="a quadrature over all elements at once",
    domain=((1.5, 6.0), (-1.0, 1.0)),
    cases=({"n": 1}, {"n": 2}),
    public=False,
    doc="n-th derivative of stdtr by df near t = 0, by quadrature.",
)


stdtr = special_function(
    "stdtr",
    lambda df, t: special.stdtr(df, t),
    partials=_stdtr_partials,
    domain=((1.5, 6.0), (0.3, 2.0)),
    doc="Distribution function of Student's t with df degrees of freedom (DLMF 8.17).",
)


def _stdtrit_partials(out: Any, df: Any, p: Any) -> tuple[Any, Any]:
    by_df, density = _stdtr_partials(p, df, out)
    return -by_df / density, 1 / density


stdtrit = special_function(
    "stdtrit",
    lambda df, p: special.stdtrit(df, p),
    partials=_stdtrit_partials,
    domain=((1.5, 6.0), (0.55, 0.9)),
    doc="Inverse of stdtr by its second operand; differentiated implicitly (DLMF 8.17).",
)
