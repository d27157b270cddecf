"""Discrete distributions: differentiable in their parameters; the outcome is a whole number."""

from __future__ import annotations

import math
from typing import Any

from nbgrad.ops.elements.arithmetic import log
from nbgrad.ops.elements.comparison import equal, greater, greater_equal, less_equal, logical_and
from nbgrad.ops.elements.selection import where
from nbgrad.ops.special.entropy import xlog1py, xlogy
from nbgrad.ops.special.gamma import betaln, gammaln
from nbgrad.ops.special.incomplete import betainc, betaincc, gammainc, gammaincc
from nbgrad.vocabulary.stats.distribution import Family, declare


def _chance(*shapes: Any) -> Any:
    """The last shape is a probability; those before it are not negative."""
    *rest, p = shapes
    good = logical_and(greater_equal(p, 0), less_equal(p, 1))
    for n in rest:
        good = logical_and(good, greater_equal(n, 0))
    return good


poisson = declare(
    Family(
        "poisson",
        shapes=("mu",),
        logpdf=lambda k, mu: xlogy(k, mu) - gammaln(k + 1) - mu,
        sample=lambda d: (d.integers(5, 2), d.positive(2)),
        support=(0.0, math.inf),
        inside=1.0,
        valid=lambda mu: greater_equal(mu, 0),
        cdf=lambda k, mu: gammaincc(k + 1, mu),
        sf=lambda k, mu: gammainc(k + 1, mu),
        discrete=True,
    )
)
binom = declare(
    Family(
        "binom",
        shapes=("n", "p"),
        logpdf=lambda k, n, p: (
            -betaln(k + 1, n - k + 1) - log(n + 1) + xlogy(k, p) + xlog1py(n - k, -p)
        ),
        sample=lambda d: (d.integers(5, 2), d.integers(4, 2) + 5, d.unit(2)),
        support=lambda n, p: (0.0, n),
        inside=0.0,
        valid=_chance,
        cdf=lambda k, n, p: betaincc(k + 1, where(equal(n, k), 1.0, n - k), p),
        sf=lambda k, n, p: betainc(k + 1, where(equal(n, k), 1.0, n - k), p),
        discrete=True,
    )
)
bernoulli = declare(
    Family(
        "bernoulli",
        shapes=("p",),
        logpdf=lambda k, p: xlogy(k, p) + xlog1py(1 - k, -p),
        sample=lambda d: (d.integers(1, 2), d.unit(2)),
        support=(0.0, 1.0),
        inside=0.0,
        valid=_chance,
        cdf=lambda k, p: 1 - p,
        sf=lambda k, p: p,
        discrete=True,
    )
)
geom = declare(
    Family(
        "geom",
        shapes=("p",),
        logpdf=lambda k, p: xlog1py(k - 1, -p) + log(p),
        sample=lambda d: (d.integers(4, 2) + 1, d.unit(2)),
        support=(1.0, math.inf),
        inside=1.0,
        valid=lambda p: logical_and(greater(p, 0), less_equal(p, 1)),
        discrete=True,
    )
)
nbinom = declare(
    Family(
        "nbinom",
        shapes=("n", "p"),
        logpdf=lambda k, n, p: -betaln(n, k + 1) - log(n + k) + xlogy(n, p) + xlog1py(k, -p),
        sample=lambda d: (d.integers(5, 2), d.positive(2) + 1.0, d.unit(2)),
        support=(0.0, math.inf),
        inside=1.0,
        valid=lambda n, p: logical_and(greater(n, 0), _chance(p)),
        cdf=lambda k, n, p: betainc(n, k + 1, p),
        sf=lambda k, n, p: betaincc(n, k + 1, p),
        discrete=True,
    )
)
