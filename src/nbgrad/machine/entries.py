"""Values brought to the places of a sparse matrix, in compiled code."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np

from nbgrad.machine.index_sets import call

Array = np.ndarray[Any, Any]

INTERLEAVE: Final = """
def interleave(lo, hi, values, width, apart, out):
    for i in range(lo, hi):
        for k in range(width):
            out[i * width + k] = values[k * apart + i]
"""
WRITTEN: Final = """
def interleave_{n}(lo, hi, values, width, apart, out):
    for i in range(lo, hi):
{lines}
"""
FEW: Final = 16  # rows that are written out
GATHER: Final = """
def gather(lo, hi, values, places, out):
    for e in range(lo, hi):
        out[e] = values[places[e]]
"""


def interleave(
    values: Array, first: int, width: int, apart: int, rows: int, out: Array, at: int
) -> None:
    """Write *width* columns of *rows* values each, *apart* from each other, as rows of *out*."""
    if values.dtype != np.float64:
        columns = [values[first + k * apart :][:rows] for k in range(width)]
        out[at : at + width * rows].reshape(rows, width)[...] = np.stack(columns, axis=1)
        return
    words = values.ctypes.data + 8 * first, width, apart, out.ctypes.data + 8 * at
    call(_written(width), "f8* i8 i8 f8*", rows, *words)


@cache
def _written(width: int) -> str:
    """The text for so many columns, written out if they are few."""
    if width > FEW:
        return INTERLEAVE
    lines = [f"out[i * {width} + {k}] = values[{k} * apart + i]" for k in range(width)]
    return WRITTEN.format(n=width, lines="\n".join([" " * 8 + line for line in lines]))


def gather(values: Array, places: Array, out: Array) -> None:
    """Write the values at *places*, 32-bit integers, to *out*."""
    if values.dtype == np.float64:
        call(GATHER, "f8* i4* f8*", len(places), values, places, out)
    else:
        np.take(values, places, out=out, mode="clip")
