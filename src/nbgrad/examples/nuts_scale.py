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
def across(x: Any) -> Any:
    """A transpose as Numba's products like it best, so that it compiles one kind of them."""
    found = np.empty((x.shape[1], x.shape[0]))
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            found[j, i] = x[i, j]
    return found


@fast
def inverse(triangle: Any) -> Any:
    """The inverse of a lower triangle."""
    n = triangle.shape[0]
    found = np.zeros((n, n))
    for i in range(n):
        found[i, i] = 1.0
        for k in range(i):
            a = triangle[i, k]
            for j in range(k + 1):
                found[i, j] -= a * found[k, j]
        for j in range(i + 1):
            found[i, j] /= triangle[i, i]
    return found


@fast
def moments(x: Any) -> Any:
    """The covariance of columns, whose rows are *x*, and of one more that says that it is the identity."""
    size, n = x.shape
    centred = np.empty((size, n))
    for i in range(size):
        total = 0.0
        for k in range(n):
            total += x[i, k]
        for k in range(n):
            centred[i, k] = x[i, k] - total / n
    found = np.dot(centred, across(centred))
    for i in range(size):
        found[i, i] += 1.0
        for j in range(size):
            found[i, j] /= n + 1
    return found


@within
def correlations(triangle: Any, size: Any) -> Any:
    """Those of ``triangle @ triangle.T``; roots of variances are written to *size*."""
    n = size.size
    even = np.empty((n, n))
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += triangle[i, j] ** 2
        size[i] = np.sqrt(total)
        for j in range(n):
            even[i, j] = triangle[i, j] / size[i]
    return np.dot(even, across(even))


@within
def flatten(triangle: Any) -> bool:
    """Make a diagonal of a triangle, in place, if it says of correlations no more than that directions are `ALIKE`."""
    n = triangle.shape[0]
    size = np.empty(n)
    spread = np.linalg.eigvalsh(correlations(triangle, size))
    alike = spread[n - 1] <= ALIKE * spread[0]
    if alike:
        for i in range(n):
            for j in range(n):
                triangle[i, j] = size[i] if i == j else 0.0
    return bool(alike)


@within
def variance(x: Any, i: int) -> Any:
    """That of row *i*."""
    n, mean, total = x.shape[1], 0.0, 0.0
    for k in range(n):
        mean += x[i, k] / n
    for k in range(n):
        total += (x[i, k] - mean) ** 2
    return total / n


@within
def moved(scale: Any, w: Any, found: Any, inner: Any, outer: Any) -> bool:
    """Take z and its gradient to the scale *found*, the centre to where the posterior's is: whether it is nearly round."""
    n, count = inner.shape
    lower = np.dot(inverse(scale), found)
    back = inverse(lower)
    # A round normal posterior has its middle at z + g, wherever z is.
    middles, along, worst = np.dot(back, inner), np.dot(across(lower), outer), 0.0
    z, g = np.empty(n), np.empty(n)
    for i in range(n):
        z[i], g[i] = w[CHOSEN_Z, i], w[CHOSEN_G, i]
    for i in range(n):
        at, slope, middle = 0.0, 0.0, 0.0
        for k in range(count):
            middles[i, k] += along[i, k]
            middle += middles[i, k] / count
        for j in range(n):
            at += back[i, j] * z[j]
            slope += lower[j, i] * g[j]
            w[CENTRE, j] += found[j, i] * middle
            scale[i, j] = found[i, j]
        w[CHOSEN_Z, i], w[CHOSEN_G, i] = at - middle, slope
        worst = max(worst, variance(middles, i))
    return count > n and worst < NEARLY


@fast
def improve(scale: Any, w: Any, draws: Any, slopes: Any) -> bool:
    """Set the scale by a window's draws and gradients, both by z; return whether the posterior is nearly round by it.

    The gradients of a normal posterior are ``S @ z``, S the inverse of its covariance. If C is the covariance of
    some draws, and G that of their gradients, then ``G = S @ C @ S``: there is one S that says so, which is exact
    for more draws than dimensions. A diagonal comes first, so that what few draws do not tell is of its scale.
    """
    n, count = w.shape[1], draws.shape[0]
    inner, outer = across(draws), across(slopes)
    for i in range(n):
        root = ((variance(inner, i) + 1e-10) / (variance(outer, i) + 1e-10)) ** 0.25
        w[CHOSEN_Z, i] /= root
        w[CHOSEN_G, i] *= root
        if w[FLAT, 0] != 0.0:
            w[SIZE, i] *= root
        for k in range(scale.shape[0]):
            scale[k, i] *= root
        for k in range(count):
            inner[i, k] /= root
            outer[i, k] *= root
    if 2 * count < n or scale.shape[0] == 0:
        return False
    half = np.linalg.cholesky(moments(outer))
    values, vectors = np.linalg.eigh(np.dot(across(half), np.dot(moments(inner), half)))
    wide = np.empty((n, n))
    for j in range(n):
        # Draws on the way from far have some that are rounded to below zero.
        root = max(values[j], 1e-12 * values[n - 1]) ** 0.25
        for i in range(n):
            wide[i, j] = vectors[i, j] * root
    wide = np.dot(across(inverse(half)), wide)  # wide @ wide.T is 1 / S
    found = np.dot(scale, np.linalg.cholesky(np.dot(wide, across(wide))))
    flat = flatten(found)
    if flat and w[FLAT, 0] != 0.0:
        return False  # the diagonal above serves
    for i in range(n):
        w[FLAT, i], w[SIZE, i] = (1.0, found[i, i]) if flat else (0.0, 1.0)
    return moved(scale, w, found, inner, outer)


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


@within
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
