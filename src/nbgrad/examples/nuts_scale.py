"""Where the sampler of ``nuts.py`` is: points of ``x = centre + scale @ z``, and how a warm-up finds scale and step.

The scale is found of draws and gradients both, as nutpie does (Seyboldt, Carlson and Carpenter, "Preconditioning
Hamiltonian Monte Carlo by Minimizing Fisher Divergence", 2026), the step by dual averaging (Hoffman and Gelman, 3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
# No tests for divisions by zero, sums in any order, and other threads of Python go on.
options: Any = {"error_model": "numpy", "fastmath": {"contract", "reassoc"}, "nogil": True}
fast: Callable[[Function], Function] = njit(cache=True, **options)
# What makes no arrays need not count who holds them: of a step with ten numbers that is a tenth of the time.
uncounted: Callable[[Function], Function] = njit(cache=True, _nrt=False, **options)
# An array is passed as seven words or nine: parts of a step are written out where they are called.
within: Callable[[Function], Function] = njit(inline="always")
NEARLY = 0.25  # a share of its variance by which a gradient may differ from a normal posterior's
QUARTER = 0.5 * np.pi  # of a turn: the longest step that is split
# A diagonal serves where the variance of correlated directions differs by less, once coordinates have one: trajectories are
# at most twice as long, and a step takes no products with a triangle.
ALIKE = 4.0
MAX_DEPTH = 10  # of a tree
# Rows of the memory of a tree.
(LEFT_Z, LEFT_R, LEFT_G, RIGHT_Z, RIGHT_R, RIGHT_G, CHOSEN_Z, CHOSEN_G, CHOSEN_X, SUM, NEW_Z, NEW_G, NEW_X, PART, ZERO, FLAT, CENTRE, SIZE, KEPT) = range(19)  # fmt: skip
SUMS = KEPT + MAX_DEPTH


@fast
def memory(n: int) -> Any:
    """The memory of a tree, with a scale that is the identity."""
    w = np.zeros((SUMS + MAX_DEPTH, n))
    w[FLAT], w[SIZE] = 1.0, 1.0
    return w


@within
def stretch(scale: Any, w: Any, z: int, x: Any) -> None:
    """``x = w[CENTRE] + scale @ w[z]`` of a triangle: loops, as BLAS would go through the other one, too."""
    for i in range(x.size):
        total = w[CENTRE, i]
        for j in range(i + 1):
            total += scale[i, j] * w[z, j]
        x[i] = total


@within
def pull(scale: Any, slope: Any) -> None:
    """``slope = scale.T @ slope`` of a triangle, in place."""
    for i in range(slope.size):
        a = slope[i]
        slope[i] = 0.0
        for j in range(i + 1):
            slope[j] += scale[i, j] * a


@within
def copy(w: Any, source: int, target: int, rows: int) -> None:
    """Copy rows of the memory of a tree: loops, as slices cost more than short rows."""
    for k in range(rows):
        for i in range(w.shape[1]):
            w[target + k, i] = w[source + k, i]


@within
def add(w: Any, source: int, target: int) -> None:
    for i in range(w.shape[1]):
        w[target, i] += w[source, i]


@fast
def mean(x: Any) -> Any:
    """The mean of rows."""
    total = np.zeros(x.shape[1])
    for k in range(len(x)):
        total += x[k] / len(x)
    return total


@fast
def moments(x: Any) -> Any:
    """The covariance of rows, and of one more that says that it is the identity."""
    n, size = x.shape
    centred = x - mean(x)
    return (np.dot(centred.T, centred) + np.eye(size)) / (n + 1)


@fast
def flatten(triangle: Any) -> bool:
    """Make a diagonal of a triangle, in place, if it says of correlations no more than that directions are `ALIKE`."""
    n = len(triangle)
    size = np.empty(n)
    for i in range(n):
        size[i] = np.sqrt((triangle[i] ** 2).sum())
    even = triangle / size.reshape(n, 1)
    spread = np.linalg.eigvalsh(np.dot(even, even.T))
    if spread[-1] > ALIKE * spread[0]:
        return False
    triangle[:] = np.diag(size)
    return True


@fast
def improve(scale: Any, w: Any, draws: Any, slopes: Any) -> bool:
    """Set the scale by a window's draws and gradients, both by z; return whether the posterior is nearly round by it.

    The gradients of a normal posterior are ``S @ z``, S the inverse of its covariance. If C is the covariance of
    some draws, and G that of their gradients, then ``G = S @ C @ S``: there is one S that says so, which is exact
    for more draws than dimensions. A diagonal comes first, so that what few draws do not tell is of its scale.
    """
    n = w.shape[1]
    root = np.empty(n)
    for i in range(n):
        root[i] = ((np.var(draws[:, i]) + 1e-10) / (np.var(slopes[:, i]) + 1e-10)) ** 0.25
    w[CHOSEN_Z] /= root
    w[CHOSEN_G] *= root
    if w[FLAT, 0] != 0.0:
        w[SIZE] *= root
    scale *= root
    if 2 * len(draws) < n or len(scale) == 0:
        return False
    inner, outer = draws / root, slopes * root
    half = np.linalg.cholesky(moments(outer))
    values, vectors = np.linalg.eigh(np.dot(half.T, np.dot(moments(inner), half)))
    # Draws on the way from far have some that are rounded to below zero.
    values = np.maximum(values, 1e-12 * values[-1])
    wide = np.linalg.solve(half.T, vectors * values**0.25)  # wide @ wide.T is 1 / S
    found = np.dot(scale, np.linalg.cholesky(np.dot(wide, wide.T)))
    if flatten(found):
        if w[FLAT, 0] != 0.0:
            return False  # the diagonal above serves
        w[FLAT], w[SIZE] = 1.0, np.diag(found)
    else:
        w[FLAT], w[SIZE] = 0.0, 1.0
    lower = np.linalg.solve(scale, found)
    scale[:] = found
    w[CHOSEN_Z] = np.linalg.solve(lower, w[CHOSEN_Z])
    w[CHOSEN_G] = np.dot(lower.T, w[CHOSEN_G])
    # A round normal posterior has its middle at z + g, wherever z is.
    middles = np.linalg.solve(lower, inner.T).T + np.dot(outer, lower)
    middle = mean(middles)
    w[CHOSEN_Z] -= middle
    w[CENTRE] += np.dot(scale, middle)
    return bool(len(draws) > n and mean((middles - middle) ** 2).max() < NEARLY)


@fast
def window_ends(warmup: int) -> Any:
    """After how many draws of the warm-up the scale is set: windows that double."""
    last = warmup - max(warmup // 10, min(warmup, 20))
    at, size = 0, 10
    ends = [0 for _ in range(0)]
    while at < last:
        at += size
        size *= 2
        if at + size > last:
            at = last
        ends.append(at)
    return ends


@fast
def averaged(state: Any, accepted: float, target: float, split: bool) -> Any:
    """The next step of dual averaging: *state* is where it shrinks to, the error, the mean, how many."""
    state[3] += 1
    k = state[3]
    state[1] += (target - accepted - state[1]) / (k + 10)
    found = state[0] - np.sqrt(k) / 0.05 * state[1]
    if split:
        found = min(found, np.log(QUARTER))
    state[2] += k**-0.75 * (found - state[2])
    return np.exp(found)
