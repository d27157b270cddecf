"""Casts and bit reinterpretations that every function of this package is written with.

These are the plain-Python meanings, which the CUDA simulator and the tests run. The compilers
replace the four ``a_as_b`` functions by bitcasts of the same names (`intrinsics.py` on the CPU).
The casts are NumPy's scalar types, which Numba understands as they are. A literal in float32 code
must be wrapped, ``f4(0.5)``, and so must the result of int32 arithmetic, ``i4(a + b)``: Numba
types a bare literal as 64 bits and would compute in that width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np

f4 = cast(Callable[[float], float], np.float32)
f8 = cast(Callable[[float], float], np.float64)
i4 = cast(Callable[[int], int], np.int32)

# NumPy's, because a Python float raises where the simulator must divide by zero.
INF = np.float64("inf")
NAN = np.float64("nan")
SIGN_F8 = -0x8000000000000000
SIGN_F4 = -0x80000000
# Clears 27 bits of a float64: what is left has 26, so the product of two such numbers is exact,
# and no fused multiply-add can change it.
HEAD_F8 = -0x8000000
HEAD_F4 = -0x1000  # 12 bits of float32, whose square is exact


def f8_as_i8(x: float) -> int:
    """Return the bits of a float64 as an int64."""
    return cast(int, np.float64(x).view(np.int64))


def i8_as_f8(bits: int) -> float:
    """Return the float64 whose bits are ``bits``."""
    return cast(float, np.int64(bits).view(np.float64))


def f4_as_i4(x: float) -> int:
    """Return the bits of a float32 as an int32."""
    return cast(int, np.float32(x).view(np.int32))


def i4_as_f4(bits: int) -> float:
    """Return the float32 whose bits are ``bits``."""
    return cast(float, np.int32(bits).view(np.float32))


def rest_of(x: float, y: float) -> float:
    """Return C's ``fmod(x, y)``: exact, with the sign of ``x``; float32 of float32."""
    return math.fmod(x, y) if (abs(x) < INF) & (y != 0.0) else NAN
