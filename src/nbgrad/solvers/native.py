"""What all loops of solvers are written with: words of their state, evaluation, sums of vectors.

Functions of this folder's modules ``native``, ``searching``, ``bfgs`` ... that take pointers are compiled into one
kernel a solver (``compiled.py``). Three arrays hold all there is of a solve, so that it can be left after
any iteration and gone on with: ``k`` whole numbers, ``s`` numbers, ``w`` vectors, which begin at offsets. The
objective reads the point it is called at from ``w``, and writes to ``s`` and ``w``.
"""

from __future__ import annotations

import math
from typing import Any

from nbgrad.machine.intrinsics import reduce_add
from nbgrad.machine.pointers import call_frame
from nbgrad.machine.vecmath.bits import f8_as_i8, i8_as_f8

# Words of k: parameters, residuals, what stopped it, counts of calls, limits; where it goes on.
(N, M, STATUS, ITERATIONS, CALLS, JACOBIANS, PRODUCTS, MOST_ITERATIONS, MOST_CALLS, PAUSE, BEGUN, FAULT, BRACKETED,
 FIRST, FRESH, FREE, LOSS, BOUNDED, SCALED, MEMORY, HELD, HEAD) = range(22)  # fmt: skip
K_WORDS = 24
# Words of s: the value, at the point and at the one that is tried; limits; the line search and its bracket.
(F, FT, GNORM, FTOL, GTOL, XTOL, BEFORE, DECREASE, CURVATURE, STEP, RADIUS, LONGEST, LAMBDA, LENGTH, F_SCALE,
 WIDTH, WIDER, LOW, HIGH, BX, BFX, BDX, BY, BFY, BDY, THETA, NARROW) = range(27)  # fmt: skip
S_WORDS = 32
# What stopped it.
(
    RUNNING,
    PAUSED,
    GRADIENT,
    SMALL_STEP,
    SMALL_CHANGE,
    BOTH,
    NO_STEP,
    TOO_MANY,
    NOT_FINITE,
    FAILED,
) = range(10)


def evaluate(run: Any, frame: Any, k: Any) -> bool:
    """Call the objective; False if it failed, which ends the solve."""
    k[CALLS] += 1
    found = call_frame(run, frame)
    if found != 0:
        k[FAULT] = found
        k[STATUS] = FAILED
    return found == 0


def evaluate_more(run: Any, frame: Any, k: Any, count: int) -> Any:
    """Call another function, whose calls are counted in that word; False if it failed."""
    k[count] += 1
    found = call_frame(run, frame)
    if found != 0:
        k[FAULT] = found
        k[STATUS] = FAILED
    return found == 0


def dot(w: Any, a: int, b: int, n: int) -> float:
    """The product of two vectors."""
    total = 0.0
    for i in range(n):
        total = reduce_add(total, w[a + i] * w[b + i])
    return total


def largest(w: Any, a: int, n: int) -> float:
    """The largest element of a vector, by magnitude; NaN if one is: as bits, of which vectors know the largest."""
    most = 0
    for i in range(n):
        most = max(most, f8_as_i8(abs(w[a + i])))
    return i8_as_f8(most)


def norm(w: Any, a: int, n: int) -> float:
    """The length of a vector."""
    return math.sqrt(dot(w, a, a, n))


def copy(w: Any, to: int, a: int, n: int) -> None:
    """Copy a vector."""
    for i in range(n):
        w[to + i] = w[a + i]


def finite(w: Any, a: int, n: int) -> bool:
    """Whether all elements are finite."""
    total = 0.0
    for i in range(n):
        total = reduce_add(total, 0.0 * w[a + i])
    return total == 0.0
