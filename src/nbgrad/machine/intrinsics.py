"""The names that kernel source may use, with their meaning in plain Python.

The compiler replaces each function here by an LLVM instruction of the same meaning
(``frontend.instructions``); the CUDA simulator and the tests run these definitions as they are. The
names ``f4_as_i4`` ... come from ``vecmath.bits``, where the scalar mathematics is written with them.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from nbgrad.machine.vecmath.bits import f4_as_i4, f8_as_i8, i4_as_f4, i8_as_f8, rest_of


def reduce_add(a: Any, b: Any) -> Any:
    """Return ``a + b``, a sum that the compiler may reorder.

    This is what lets LLVM keep several partial sums of a floating-point loop in one vector. The
    order depends on the machine's vector width but never on the data or on the number of threads.
    """
    return a + b


def reduce_max(a: Any, b: Any) -> Any:
    """Return the larger of two floats, or NaN if one is: LLVM keeps several of a loop in one vector."""
    return a if (a >= b) | (a != a) else b


def reduce_min(a: Any, b: Any) -> Any:
    """Return the smaller of two floats, likewise."""
    return a if (a <= b) | (a != a) else b


def select(condition: Any, a: Any, b: Any) -> Any:
    """Return *a* where the condition holds, else *b*: both are computed, nothing is branched over."""
    return a if condition else b


# Bytes of a room, where a kernel keeps what lives between two of its loops: on the stack, so there are few.
ROOM: Final = 4096


def room_f4() -> Any:
    """A room of float32 of the function's own; another one at each place in its text."""
    return np.full(ROOM // 4, np.nan, np.float32)


def room_f8() -> Any:
    """A room of float64."""
    return np.full(ROOM // 8, np.nan)


# Casts, by the type codes of kernel signatures.
CASTS: Final = {
    "f8": np.float64,
    "f4": np.float32,
    "i8": np.int64,
    "i4": np.int32,
    "i2": np.int16,
    "i1": np.int8,
    "u8": np.uint64,
    "u4": np.uint32,
    "u2": np.uint16,
    "u1": np.uint8,
    "b1": np.bool_,
    "c16": np.complex128,
    "c8": np.complex64,
    # Of kernels on a card alone, where c8 and c16 are names of numbers.
    "f2": np.float16,
    "z16": np.complex128,
    "z8": np.complex64,
}
FUNCTIONS: Final = {
    f.__name__: f
    for f in (
        reduce_add,
        reduce_max,
        reduce_min,
        select,
        f8_as_i8,
        i8_as_f8,
        f4_as_i4,
        i4_as_f4,
        rest_of,
        room_f4,
        room_f8,
    )
}


def plain_namespace() -> dict[str, Any]:
    """Return the globals under which kernel source runs as ordinary Python."""
    return {"math": math, **CASTS, **FUNCTIONS}
