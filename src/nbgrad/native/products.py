"""Products of matrices of active numbers, and systems of equations."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from nbgrad.machine.numba_inside import as_dtype
from nbgrad.native.active import ActiveComplex
from nbgrad.native.arrays import maker, ours_first, rank, unified
from nbgrad.native.reductions import magnitude, zero_of
from nbgrad.native.replacing import (
    STAND_INS,
    absent,
    compiled,
    element_of,
    holds_active,
    replaces,
)
from nbgrad.native.scalars import typing_context, value_of

DOT = {
    (1, 1): """
def impl(a, b):
    if a.shape[0] != b.shape[0]: raise ValueError("incompatible array sizes for np.dot(a, b) (vector * vector)")
    s = a[0] * b[0] if a.shape[0] else zero
    for k in range(1, a.shape[0]):
        s = s + a[k] * b[k]
    return s
""",
    (2, 1): """
def impl(a, b):
    if a.shape[1] != b.shape[0]: raise ValueError("incompatible array sizes for np.dot(a, b) (matrix * vector)")
    out = np.zeros(a.shape[0], {kind})
    for i in range(a.shape[0]):
        s = out[i]
        for k in range(a.shape[1]):
            s = s + a[i, k] * b[k]
        out[i] = s
    return out
""",
    (1, 2): """
def impl(a, b):
    if a.shape[0] != b.shape[0]: raise ValueError("incompatible array sizes for np.dot(a, b) (vector * matrix)")
    out = np.zeros(b.shape[1], {kind})
    for j in range(b.shape[1]):
        s = out[j]
        for k in range(a.shape[0]):
            s = s + a[k] * b[k, j]
        out[j] = s
    return out
""",
    (2, 2): """
def impl(a, b):
    if a.shape[1] != b.shape[0]: raise ValueError("incompatible array sizes for np.dot(a, b) (matrix * matrix)")
    out = np.zeros((a.shape[0], b.shape[1]), {kind})
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            s = out[i, j]
            for k in range(a.shape[1]):
                s = s + a[i, k] * b[k, j]
            out[i, j] = s
    return out
""",
}


def dot_of(a: Any, b: Any) -> Any:
    ranks = rank(a), rank(b)
    if 0 in ranks:
        return lambda a, b: a * b
    if ranks not in DOT:
        return None
    kind = unified(a, b)
    zero = as_dtype(getattr(kind, "base", kind)).type(0)
    space: dict[str, Any] = {"__name__": __name__, "np": np, "zero": zero}
    text = DOT[ranks].replace("{kind}", maker(kind, space))
    exec(text, space)
    return space["impl"]


@overload(operator.matmul, strict=False)
def _matmul(a: Any, b: Any) -> Any:
    return dot_of(a, b) if holds_active(a, b) and rank(a) and rank(b) else None


def dot(a: Any, b: Any) -> Any:
    raise NotImplementedError


@overload(dot, strict=False)
def _dot_itself(a: Any, b: Any) -> Any:
    return dot_of(a, b)


@replaces(np.dot, "dot")
def _dot(a: Any, b: Any, out: Any = None) -> Any:
    if absent(out):
        return lambda a, b, out=None: dot(a, b)

    def impl(a: Any, b: Any, out: Any = None) -> Any:
        out[...] = dot(a, b)
        return out

    return impl


@replaces(np.vdot)
def _vdot(a: Any, b: Any) -> Any:
    if isinstance(element_of(a), types.Complex | ActiveComplex):
        conjugate = STAND_INS[np.conjugate]
        return lambda a, b: dot(conjugate(a.ravel()), b.ravel())
    return lambda a, b: dot(a.ravel(), b.ravel())


@replaces(np.outer)
def _outer(a: Any, b: Any) -> Any:
    space: dict[str, Any] = {"__name__": __name__, "np": np}
    kind = maker(unified(a, b), space)
    exec(
        f"""
def impl(a, b):
    x, y = a.ravel(), b.ravel()
    out = np.empty((x.size, y.size), {kind})
    for i in range(x.size):
        for j in range(y.size):
            out[i, j] = x[i] * y[j]
    return out
""",
        space,
    )
    return space["impl"]


@replaces(np.trace)
def _trace(a: Any) -> Any:
    def impl(a: Any) -> Any:
        s = zero_of(a)
        for k in range(min(a.shape)):
            s = s + a[k, k]
        return s

    return impl


# ------------------------------------------------------------------------------------- systems


@compiled
def factored(a: Any) -> Any:
    """The factors of a matrix with rows exchanged, in one, the order of the rows, and its sign."""
    n = a.shape[0]
    if a.shape[1] != n:
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square.")
    lu = a.copy()
    order = np.arange(n)
    sign = 1.0
    for k in range(n):
        p = k
        for i in range(k + 1, n):
            if abs(value_of(lu[i, k])) > abs(value_of(lu[p, k])):
                p = i
        if p != k:
            sign = -sign
            order[k], order[p] = order[p], order[k]
            for j in range(n):
                t = lu[k, j]
                lu[k, j] = lu[p, j]
                lu[p, j] = t
        if value_of(lu[k, k]) == 0.0:
            continue
        for i in range(k + 1, n):
            f = lu[i, k] / lu[k, k]
            lu[i, k] = f
            for j in range(k + 1, n):
                lu[i, j] = lu[i, j] - f * lu[k, j]
    return lu, order, sign


@compiled
def substituted(lu: Any, order: Any, b: Any, x: Any) -> None:
    """Write into *x* the solution for one right side."""
    n = order.size
    for k in range(n):
        if value_of(lu[k, k]) == 0.0:
            raise np.linalg.LinAlgError("Matrix is singular to machine precision.")
    for i in range(n):
        s = b[order[i]] + zero_of(x)
        for j in range(i):
            s = s - lu[i, j] * x[j]
        x[i] = s
    for i in range(n - 1, -1, -1):
        s = x[i]
        for j in range(i + 1, n):
            s = s - lu[i, j] * x[j]
        x[i] = s / lu[i, i]


@replaces(np.linalg.solve)
def _solve(a: Any, b: Any) -> Any:
    space: dict[str, Any] = {
        "__name__": __name__,
        "np": np,
        "factored": factored,
        "substituted": substituted,
    }
    kind = maker(unified(a, b), space)
    body = (
        "    substituted(lu, order, b, x)"
        if rank(b) == 1
        else "    for j in range(b.shape[1]):\n        substituted(lu, order, b[:, j], x[:, j])"
    )
    exec(
        f"""
def impl(a, b):
    lu, order, sign = factored(a)
    x = np.zeros(b.shape, {kind})
{body}
    return x
""",
        space,
    )
    return space["impl"]


@replaces(np.linalg.inv)
def _inv(a: Any) -> Any:
    def impl(a: Any) -> Any:
        lu, order, _ = factored(a)
        x = np.zeros_like(a)
        unit = np.zeros(a.shape[0])
        for j in range(a.shape[0]):
            unit[j] = 1.0
            substituted(lu, order, unit, x[:, j])
            unit[j] = 0.0
        return x

    return impl


@replaces(np.linalg.det)
def _det(a: Any) -> Any:
    def impl(a: Any) -> Any:
        lu, _, sign = factored(a)
        d = zero_of(a) + sign
        for k in range(a.shape[0]):
            d = d * lu[k, k]
        return undivided(a) if value_of(d) == 0.0 else d

    return impl


@compiled
def undivided(a: Any) -> Any:
    """The determinant by products and sums alone (R. S. Bird, 2011), whose derivatives are those where it is 0, too."""
    n = a.shape[0]
    x = a.copy()
    for _ in range(n - 1):
        y = np.zeros_like(a)
        for i in range(n):
            below = zero_of(a)
            for j in range(i + 1, n):
                below = below - x[j, j]
            for j in range(n):
                s = below * a[i, j]
                for k in range(i + 1, n):
                    s = s + x[i, k] * a[k, j]
                y[i, j] = s
        x = y
    return -x[0, 0] if n % 2 == 0 else x[0, 0] * 1.0


@replaces(np.linalg.slogdet)
def _slogdet(a: Any) -> Any:
    if isinstance(element_of(a), ActiveComplex):
        return _complex_slogdet

    def impl(a: Any) -> Any:
        lu, _, sign = factored(a)
        total = zero_of(a)
        for k in range(a.shape[0]):
            if value_of(lu[k, k]) < 0.0:
                sign = -sign
            total = total + np.log(abs(lu[k, k]))
        return sign, total

    return impl


def _complex_slogdet(a: Any) -> Any:
    lu, _, exchanged = factored(a)
    sign = zero_of(a) + exchanged
    total = np.log(abs(sign))
    for k in range(a.shape[0]):
        size = abs(lu[k, k])
        sign = sign * (lu[k, k] / size)
        total = total + np.log(size)
    return sign, total


@replaces(np.linalg.cholesky)
def _cholesky(a: Any) -> Any:
    if isinstance(element_of(a), ActiveComplex):
        return None

    def impl(a: Any) -> Any:
        n = a.shape[0]
        out = np.zeros_like(a)
        for j in range(n):
            s = a[j, j]
            for k in range(j):
                s = s - out[j, k] * out[j, k]
            if not value_of(s) > 0.0:
                raise np.linalg.LinAlgError("Matrix is not positive definite.")
            d = np.sqrt(s)
            out[j, j] = d
            for i in range(j + 1, n):
                s = a[i, j]
                for k in range(j):
                    s = s - out[i, k] * out[j, k]
                out[i, j] = s / d
        return out

    return impl


@replaces(np.linalg.norm)
def _norm(x: Any) -> Any:
    def impl(x: Any) -> Any:
        s = magnitude(zero_of(x))
        for v in x.flat:
            s = s + magnitude(v)
        return np.sqrt(s)

    return impl


# Numba's own takes any dtype, and fails when it is lowered.
typing_context().refresh()
ours_first(operator.matmul)
