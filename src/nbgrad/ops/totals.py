"""NumPy's sum, in float64 where it would add a long row of float32 one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

FEW = 32  # what may be added up in single precision, one after the other


def total(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """NumPy's sum; where that would add a long row of float32 one by one, in float64."""
    if x.dtype.char in "eFf" and x.size > FEW:
        last = tuple(range(x.ndim - len(axis), x.ndim))
        if not (x.flags.c_contiguous and axis == last):  # else NumPy adds in pairs
            wide = np.sum(x, axis=axis, keepdims=keepdims, dtype=np.result_type(x, np.float64))
            return wide.astype(x.dtype)
    return np.sum(x, axis=axis, keepdims=keepdims)
