"""Distributions of vectors, in the forms of ``scipy.stats``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.registry import register_object
from nbgrad.ops.elements.arithmetic import absolute, exp, log, square
from nbgrad.ops.elements.comparison import greater, greater_equal, less_equal, logical_and
from nbgrad.ops.elements.selection import where
from nbgrad.ops.special.entropy import xlogy
from nbgrad.ops.special.gamma import gammaln
from nbgrad.vocabulary.arrays.diagonals import diagonal
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.linalg.factors import cholesky
from nbgrad.vocabulary.linalg.systems import solve_triangular
from nbgrad.vocabulary.reductions.plain import all, sum
from nbgrad.vocabulary.shapes import concatenate, reshape, transpose
from nbgrad.vocabulary.stats.distribution import Distribution, in_one_dtype, scipy_method


def _normal_cases(d: Any) -> list[Any]:
    return [call(d(2, 2), d(2), d.spd(2, 2)), call(d(2), None, d.spd(2, 2))]


def _symmetrized(x: Any, mean: Any, cov: Any) -> Any:
    """Tests move the covariance among the symmetric matrices only."""
    return (x, mean, (cov + np.swapaxes(cov, -1, -2)) / 2), {}


@function(
    "stats",
    scipy_method("multivariate_normal", "logpdf"),
    name="multivariate_normal.logpdf",
    cases=_normal_cases,
    restrict=_symmetrized,
)
def normal_logpdf(x: Any, mean: Any = None, cov: Any = 1) -> Node:
    """Logarithm of the multivariate normal density of the vectors in the last dimension of *x*.

    *cov* must be positive definite (SciPy's pseudo-inverse of singular ones has no derivative). Its
    gradient is symmetric.
    """
    given = [x, cov] if mean is None else [x, cov, mean]
    x, cov, *means = in_one_dtype(*given)
    size = x.shape[-1] if x.ndim else 1
    x = x if x.ndim else reshape(x, (1,))
    if cov.ndim < 2:
        eye = np.eye(size, dtype=cov.dtype)
        cov = eye * (cov if not cov.ndim else reshape(cov, (-1, 1)))
    deviation = x - means[0] if means else x
    factor = cholesky(cov)
    columns = transpose(reshape(deviation, (-1, size)))
    scaled = solve_triangular(factor, columns, lower=True)
    distance = reshape(sum(square(scaled), 0), deviation.shape[:-1])
    spread = sum(log(diagonal(factor)))
    return -0.5 * (distance + size * math.log(2 * math.pi)) - spread


@function(
    "stats",
    scipy_method("multivariate_normal", "pdf"),
    name="multivariate_normal.pdf",
    cases=_normal_cases,
    restrict=_symmetrized,
)
def normal_pdf(x: Any, mean: Any = None, cov: Any = 1) -> Node:
    """Multivariate normal density of the vectors in the last dimension of *x*."""
    return exp(normal_logpdf(x, mean, cov))


register_object("stats", "multivariate_normal", Distribution("multivariate_normal"))


def _short_of_last(d: Any) -> list[Any]:
    x = d.unit(3) / 4
    return [call(x, d.positive(4) + 0.5)]


@function(
    "stats",
    scipy_method("dirichlet", "logpdf"),
    name="dirichlet.logpdf",
    cases=_short_of_last,
)
def dirichlet_logpdf(x: Any, alpha: Any) -> Node:
    """Logarithm of the Dirichlet density of the vector *x*, of components along the first axis.

    As in SciPy *x* may lack its last component, which is then 1 less the others. -inf outside of
    the simplex; on it, the derivatives by the components are those of the formula.
    """
    x, alpha = in_one_dtype(x, alpha)
    size = alpha.shape[0]
    if x.shape[0] == size - 1:
        last = 1 - sum(x, 0, keepdims=True)
        x = concatenate([x, last], 0)
    exponents = reshape(alpha, (size,) + (1,) * (x.ndim - 1)) - 1
    logs = sum(xlogy(exponents, x), 0)
    on = less_equal(absolute(sum(x, 0) - 1), 1e-9)
    inside = logical_and(all(greater_equal(x, 0), 0), on)
    constant = gammaln(sum(alpha)) - sum(gammaln(alpha))
    valid = all(greater(alpha, 0))
    return where(valid, where(inside, logs + constant, -math.inf), math.nan)


register_object("stats", "dirichlet", Distribution("dirichlet"))
