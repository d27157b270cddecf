"""Continuous distributions in standard form."""

from __future__ import annotations

import math
from typing import Any

from nbgrad.ops.elements.activations import sigmoid
from nbgrad.ops.elements.arithmetic import absolute, exp, log, power, square
from nbgrad.ops.elements.comparison import greater
from nbgrad.ops.elements.exponential import expm1, log1p
from nbgrad.ops.elements.selection import where
from nbgrad.ops.elements.trigonometric import arctan2, tan
from nbgrad.ops.special.entropy import log_expit, logit, xlog1py, xlogy
from nbgrad.ops.special.erf import erf
from nbgrad.ops.special.error import erfc, log_ndtr, ndtr, ndtri
from nbgrad.ops.special.gamma import betaln, gammaln
from nbgrad.ops.special.incomplete import (
    betainc,
    betaincc,
    betaincinv,
    gammainc,
    gammaincc,
    gammainccinv,
    gammaincinv,
    stdtr,
    stdtrit,
)
from nbgrad.vocabulary.stats.distribution import Family, declare

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
RIGHT = (0.0, math.inf)
UNIT = (0.0, 1.0)


def _above_zero(z: Any, form: Any) -> Any:
    """*form* of z > 0; its limit at 0 is -inf, which the formula has as inf - inf."""
    above = greater(z, 0)
    return where(above, form(where(above, z, 1.0)), -math.inf)


norm = declare(
    Family(
        "norm",
        logpdf=lambda z: -0.5 * square(z) - HALF_LOG_TWO_PI,
        sample=lambda d: (d(2),),
        cdf=ndtr,
        sf=lambda z: ndtr(-z),
        logcdf=log_ndtr,
        logsf=lambda z: log_ndtr(-z),
        ppf=ndtri,
        isf=lambda q: -ndtri(q),
    )
)
halfnorm = declare(
    Family(
        "halfnorm",
        logpdf=lambda z: -0.5 * square(z) - (HALF_LOG_TWO_PI - math.log(2)),
        sample=lambda d: (d.positive(2),),
        support=RIGHT,
        cdf=lambda z: erf(z * math.sqrt(0.5)),
        sf=lambda z: erfc(z * math.sqrt(0.5)),
        ppf=lambda q: -ndtri(0.5 * (1 - q)),
        isf=lambda q: -ndtri(0.5 * q),
    )
)
lognorm = declare(
    Family(
        "lognorm",
        shapes=("s",),
        logpdf=lambda z, s: _above_zero(
            z, lambda u: -0.5 * square(log(u) / s) - log(s) - log(u) - HALF_LOG_TWO_PI
        ),
        sample=lambda d: (d.positive(2), d.positive(2)),
        support=RIGHT,
        cdf=lambda z, s: ndtr(log(z) / s),
        sf=lambda z, s: ndtr(-log(z) / s),
        logcdf=lambda z, s: log_ndtr(log(z) / s),
        logsf=lambda z, s: log_ndtr(-log(z) / s),
        ppf=lambda q, s: exp(s * ndtri(q)),
        isf=lambda q, s: exp(-s * ndtri(q)),
    )
)
student_t = declare(
    Family(
        "t",
        shapes=("df",),
        logpdf=lambda z, df: (
            -0.5 * (df + 1) * log1p(square(z) / df) - betaln(0.5 * df, 0.5) - 0.5 * log(df)
        ),
        sample=lambda d: (d(2), d.positive(2) + 2.0),
        cdf=lambda z, df: stdtr(df, z),
        sf=lambda z, df: stdtr(df, -z),
        ppf=lambda q, df: stdtrit(df, q),
        isf=lambda q, df: -stdtrit(df, q),
    )
)
cauchy = declare(
    Family(
        "cauchy",
        logpdf=lambda z: -log1p(square(z)) - math.log(math.pi),
        sample=lambda d: (d(2),),
        cdf=lambda z: arctan2(1.0, -z) / math.pi,
        sf=lambda z: arctan2(1.0, z) / math.pi,
        ppf=lambda q: tan(math.pi * (q - 0.5)),
        isf=lambda q: tan(math.pi * (0.5 - q)),
    )
)
laplace = declare(
    Family(
        "laplace",
        logpdf=lambda z: -absolute(z) - math.log(2),
        sample=lambda d: (d.positive(2),),
        cdf=lambda z: _laplace_below(z),
        sf=lambda z: _laplace_below(-z),
        ppf=lambda q: _laplace_quantile(q),
        isf=lambda q: -_laplace_quantile(q),
    )
)


def _laplace_below(z: Any) -> Any:
    tail = 0.5 * exp(-absolute(z))
    return where(greater(z, 0), 1 - tail, tail)


def _laplace_quantile(q: Any) -> Any:
    upper = greater(q, 0.5)
    return where(upper, -log(2 * where(upper, 1 - q, 0.5)), log(2 * where(upper, 0.5, q)))


logistic = declare(
    Family(
        "logistic",
        logpdf=lambda z: log_expit(z) + log_expit(-z),
        sample=lambda d: (d(2),),
        cdf=sigmoid,
        sf=lambda z: sigmoid(-z),
        logcdf=log_expit,
        logsf=lambda z: log_expit(-z),
        ppf=logit,
        isf=lambda q: -logit(q),
    )
)
gumbel_r = declare(
    Family(
        "gumbel_r",
        logpdf=lambda z: -z - exp(-z),
        sample=lambda d: (d(2),),
        cdf=lambda z: exp(-exp(-z)),
        sf=lambda z: -expm1(-exp(-z)),
        logcdf=lambda z: -exp(-z),
        ppf=lambda q: -log(-log(q)),
        isf=lambda q: -log(-log1p(-q)),
    )
)
uniform = declare(
    Family(
        "uniform",
        logpdf=lambda z: 0.0 * z,
        sample=lambda d: (d.unit(2),),
        support=UNIT,
        cdf=lambda z: z,
        ppf=lambda q: q,
    )
)
expon = declare(
    Family(
        "expon",
        logpdf=lambda z: -z,
        sample=lambda d: (d.positive(2),),
        support=RIGHT,
        cdf=lambda z: -expm1(-z),
        sf=lambda z: exp(-z),
        logsf=lambda z: -z,
        ppf=lambda q: -log1p(-q),
        isf=lambda q: -log(q),
    )
)
weibull_min = declare(
    Family(
        "weibull_min",
        shapes=("c",),
        logpdf=lambda z, c: log(c) + xlogy(c - 1, z) - power(z, c),
        sample=lambda d: (d.positive(2), d.positive(2) + 0.5),
        support=RIGHT,
        cdf=lambda z, c: -expm1(-power(z, c)),
        sf=lambda z, c: exp(-power(z, c)),
        logsf=lambda z, c: -power(z, c),
        ppf=lambda q, c: power(-log1p(-q), 1 / c),
        isf=lambda q, c: power(-log(q), 1 / c),
    )
)
pareto = declare(
    Family(
        "pareto",
        shapes=("b",),
        logpdf=lambda z, b: log(b) - (b + 1) * log(z),
        sample=lambda d: (d.positive(2) + 1.0, d.positive(2)),
        support=(1.0, math.inf),
        inside=2.0,
        cdf=lambda z, b: -expm1(-b * log(z)),
        sf=lambda z, b: power(z, -b),
        ppf=lambda q, b: exp(-log1p(-q) / b),
        isf=lambda q, b: power(q, -1 / b),
    )
)
gamma = declare(
    Family(
        "gamma",
        shapes=("a",),
        logpdf=lambda z, a: xlogy(a - 1, z) - z - gammaln(a),
        sample=lambda d: (d.positive(2), d.positive(2) + 0.5),
        support=RIGHT,
        cdf=lambda z, a: gammainc(a, z),
        sf=lambda z, a: gammaincc(a, z),
        ppf=lambda q, a: gammaincinv(a, q),
        isf=lambda q, a: gammainccinv(a, q),
    )
)
chi2 = declare(
    Family(
        "chi2",
        shapes=("df",),
        logpdf=lambda z, df: (
            xlogy(0.5 * df - 1, 0.5 * z) - 0.5 * z - gammaln(0.5 * df) - math.log(2)
        ),
        sample=lambda d: (d.positive(2), d.positive(2) + 1.0),
        support=RIGHT,
        cdf=lambda z, df: gammainc(0.5 * df, 0.5 * z),
        sf=lambda z, df: gammaincc(0.5 * df, 0.5 * z),
        ppf=lambda q, df: 2 * gammaincinv(0.5 * df, q),
        isf=lambda q, df: 2 * gammainccinv(0.5 * df, q),
    )
)
invgamma = declare(
    Family(
        "invgamma",
        shapes=("a",),
        logpdf=lambda z, a: _above_zero(z, lambda u: -(a + 1) * log(u) - gammaln(a) - 1 / u),
        sample=lambda d: (d.positive(2) + 0.5, d.positive(2) + 0.5),
        support=RIGHT,
        cdf=lambda z, a: gammaincc(a, 1 / z),
        sf=lambda z, a: gammainc(a, 1 / z),
        ppf=lambda q, a: 1 / gammainccinv(a, q),
        isf=lambda q, a: 1 / gammaincinv(a, q),
    )
)
beta = declare(
    Family(
        "beta",
        shapes=("a", "b"),
        logpdf=lambda z, a, b: xlogy(a - 1, z) + xlog1py(b - 1, -z) - betaln(a, b),
        sample=lambda d: (d.unit(2), d.positive(2) + 0.5, d.positive(2) + 0.5),
        support=UNIT,
        cdf=lambda z, a, b: betainc(a, b, z),
        sf=lambda z, a, b: betaincc(a, b, z),
        ppf=lambda q, a, b: betaincinv(a, b, q),
    )
)
