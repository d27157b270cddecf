"""Values brought to the places of a sparse matrix, in compiled code."""

from __future__ import annotations

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


def interleave(values: Array, out: Array) -> None:
    """Write the columns of *values*, a contiguous matrix or some columns of one, one after the other."""
    width, count = values.shape
    apart = values.strides[0] // values.itemsize
    if values.dtype != np.float64:
        out.reshape(count, width)[...] = values.T
        return
    text = INTERLEAVE
    if width <= FEW:
        lines = [f"out[i * {width} + {k}] = values[{k} * apart + i]" for k in range(width)]
        text = WRITTEN.format(n=width, lines="\n".join([" " * 8 + line for line in lines]))
    words = values.ctypes.data, width, apart, out.ctypes.data
    call(text, "f8* i8 i8 f8*", count, *words)


def gather(values: Array, places: Array, out: Array) -> None:
    """Write the values at *places*, 32-bit integers, to *out*."""
    if values.dtype == np.float64:
        call(GATHER, "f8* i4* f8*", len(places), values, places, out)
    else:
        np.take(values, places, out=out, mode="clip")
