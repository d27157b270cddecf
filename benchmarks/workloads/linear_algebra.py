"""Linear algebra: no factorisation twice, no product that is thrown away."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import scipy.linalg
from scipy.linalg import lapack

from benchmarks.libraries import likelihood
from benchmarks.problems import gp_inputs
from benchmarks.workloads.base import Sides, Workload, of_libraries, written

_KERNEL = """
def kernel(gaps, out, parameters, n):
    amplitude = parameters[0]
    factor = -0.5 / (parameters[1] * parameters[1])
    for i in range(n):
        for j in range(i + 1):
            gap = gaps[i * n + j]
            out[i * n + j] = amplitude * amplitude * exp_f8(factor * gap * gap)
    return 0
"""
_SUMS = """
def sums(gaps, kernel, inverse, solved, out, n):
    by_amplitude = 0.0
    by_scale = 0.0
    by_noise = 0.0
    for i in range(n):
        s = solved[i]
        for j in range(i):
            k = i * n + j
            w = 2.0 * (inverse[k] - s * solved[j]) * kernel[k]
            by_amplitude = reduce_add(by_amplitude, w)
            by_scale = reduce_add(by_scale, w * gaps[k] * gaps[k])
        w = inverse[i * n + i] - s * s
        by_noise += w
        by_amplitude = reduce_add(by_amplitude, w * kernel[i * n + i])
    out[0] = by_amplitude
    out[1] = by_scale
    out[2] = by_noise
    return 0
"""


def process() -> Sides:
    """By hand: a triangle of the kernel, one factorisation, one inverse of it, sums over a triangle."""
    logs, gaps, y, _ = gp_inputs()
    n, target = len(gaps), y[:, 0].copy()
    kernel = written(_KERNEL, "kernel", "f8* f8* f8* i8")
    sums = written(_SUMS, "sums", "f8* f8* f8* f8* f8* i8")
    near, out = np.empty((n, n)), np.empty(3)

    def hand() -> tuple[Any, Any]:
        parameters = np.exp(logs)
        scale, noise = parameters[1:]
        kernel(gaps, near, parameters, n)
        matrix = near.copy()
        matrix.ravel()[:: n + 1] += noise * noise
        # A lower triangle by rows is an upper one by columns, as LAPACK has it.
        factor, _ = lapack.dpotrf(matrix.T, lower=0, overwrite_a=1, clean=0)
        solved, _ = lapack.dpotrs(factor, target, lower=0)
        value = 0.5 * (target @ solved) + np.log(factor.diagonal()).sum()
        inverse, _ = lapack.dpotri(factor, lower=0, overwrite_c=1)
        sums(gaps, near, inverse.T, solved, out, n)
        by_scale = 0.5 * out[1] / (scale * scale)
        return value, np.array([out[0], by_scale, noise * noise * out[2]])

    return Sides(likelihood("nbgrad-jit"), hand, {"torch": lambda: likelihood("torch")})


def solved(d: Any, a: Any, b: Any, xp: Any) -> Any:
    """Squares of the solution of (A + diag d) x = b."""
    x = xp.linalg.solve(a + xp.diag(d), b)
    return (x * x).sum()


def solve() -> Sides:
    n = 500
    rng = np.random.default_rng(0)
    a, b, d = rng.normal(size=(n, n)), rng.normal(size=n), np.full(n, 30.0)

    def hand() -> tuple[Any, Any]:
        matrix = a.copy()
        matrix.ravel()[:: n + 1] += d
        factors = scipy.linalg.lu_factor(matrix, overwrite_a=True, check_finite=False)
        x = scipy.linalg.lu_solve(factors, b, check_finite=False)
        back = scipy.linalg.lu_solve(factors, 2 * x, trans=1, check_finite=False)
        return x @ x, -back * x

    ours, peers = of_libraries(solved, (d, a, b))
    return Sides(ours, hand, peers)


def weighed(a: Any, b: Any, xp: Any) -> Any:
    """A quadratic form of an inverse and the logarithm of the determinant."""
    return (b * xp.linalg.solve(a, b)).sum() + xp.linalg.slogdet(a)[1]


def determinant(n: int) -> Sides:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(n, n)) + n * np.eye(n), rng.normal(size=n)

    def hand() -> tuple[Any, Any]:
        factors, pivots, _ = lapack.dgetrf(a.T)
        x, _ = lapack.dgetrs(factors, pivots, b, trans=1)
        back, _ = lapack.dgetrs(factors, pivots, b)
        slope, _ = lapack.dgetrs(factors, pivots, np.eye(n))
        slope -= back[:, None] * x
        return b @ x + np.log(abs(factors.diagonal())).sum(), slope

    ours, peers = of_libraries(weighed, (a, b))
    return Sides(ours, hand, peers)


WORKLOADS = [
    Workload("Gaussian process, n = 500, three parameters", process, 1.5),
    Workload("solve, n = 500", solve, 1.1),
    *[Workload(f"solve and log-determinant, n = {n}", partial(determinant, n)) for n in (10, 100)],
]
