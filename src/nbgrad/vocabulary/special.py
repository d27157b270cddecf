"""Functions of ``nbgrad.special`` that are composed of others; importing it declares the rest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.elements import activations, exponential
from nbgrad.ops.elements.arithmetic import exp, log
from nbgrad.ops.special import bessel, entropy, error, gamma, incomplete
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements.composite import below_top
from nbgrad.vocabulary.reductions.plain import sum
from nbgrad.vocabulary.shapes import as_node
from nbgrad.vocabulary.support import repeats

__all__ = ["bessel", "entropy", "incomplete"]


@function("special", "scipy.special.expit", cases=lambda d: [call(d(3))])
def expit(x: Any) -> Node:
    """Logistic function 1 / (1 + exp(-x)) (DLMF 4.2)."""
    return activations.sigmoid(as_node(x))


@function("special", "scipy.special.psi", cases=lambda d: [call(d.positive(3))])
def psi(x: Any) -> Node:
    """Logarithmic derivative of gamma: the name SciPy gives digamma (DLMF 5.2.2)."""
    return gamma.digamma(as_node(x))


@function("special", "scipy.special.log1p", cases=lambda d: [call(d.positive(3))])
def log1p(x: Any) -> Node:
    """Logarithm of 1 + x, accurate near zero (DLMF 4.2)."""
    return exponential.log1p(as_node(x))


@function("special", "scipy.special.expm1", cases=lambda d: [call(d(3))])
def expm1(x: Any) -> Node:
    """Exponential minus 1, accurate near zero (DLMF 4.2)."""
    return exponential.expm1(as_node(x))


def _unboxed_log(y: Any, lmbda: Any) -> Node:
    """``log1p(lmbda y) / lmbda``, y at lmbda = 0, with derivatives that do not cancel."""
    y, lmbda = as_node(y), as_node(lmbda)
    return y * entropy.log1p_mean(lmbda * y, n=0)


@function("special", "scipy.special.inv_boxcox", cases=lambda d: [call(d.unit(3), d.unit(3))])
def inv_boxcox(y: Any, lmbda: Any) -> Node:
    """The x whose Box-Cox transform is y: ``(1 + lmbda y)**(1 / lmbda)``, exp(y) at 0."""
    return exp(_unboxed_log(y, lmbda))


@function("special", "scipy.special.inv_boxcox1p", cases=lambda d: [call(d.unit(3), d.unit(3))])
def inv_boxcox1p(y: Any, lmbda: Any) -> Node:
    """The x whose Box-Cox transform of 1 + x is y."""
    return exponential.expm1(_unboxed_log(y, lmbda))


@function("special", "scipy.special.fresnel", cases=lambda d: [call(d(3))])
def fresnel(z: Any) -> tuple[Node, Node]:
    """Fresnel's integrals S and C of sin and cos of pi t^2 / 2 (DLMF 7.2)."""
    node = as_node(z)
    return error.fresnel_s(node), error.fresnel_c(node)


@function("special", "scipy.special.multigammaln", cases=lambda d: [call(d.unit(2) + 2.0, 3)])
def multigammaln(a: Any, d: int) -> Node:
    """Logarithm of the multivariate gamma function of dimension d (DLMF 35.3.4)."""
    node, size = as_node(a), repeats("multigammaln", "d", d)
    total = gamma.gammaln(node)
    for k in range(1, size):
        total = total + gamma.gammaln(node - 0.5 * k)
    return total + np.float64(0.25 * size * (size - 1) * math.log(math.pi))  # float64 in SciPy


@function("special", "scipy.special.log_softmax", cases=lambda d: [call(d(2, 3), axis=1)])
def log_softmax(x: Any, axis: Any = None) -> Node:
    """Logarithm of softmax over *axis* (all axes by default), without overflow."""
    node = as_node(x)
    if node.ndim == 0:
        return node * 0.0
    below = below_top(node, axis)
    return below - log(sum(exp(below), axis, keepdims=True))
