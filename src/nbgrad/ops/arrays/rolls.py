"""Rolls: elements that leave an axis at one end enter at the other.

In a kernel each point reads one of two windows, of which one alone holds there. What both read is put
together by its bits, which is exact, and nothing where one of the windows is known not to hold.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.tape import Tape
from nbgrad.ops.basis import concatenate, pad, slice_
from nbgrad.ops.kinds.elementwise import elementwise, ufunc_loop
from nbgrad.ops.kinds.forms import Call
from nbgrad.ops.kinds.linear import linear

FEW: Final = 8  # of the elements along an axis one may leave it: more are copied, not tested for


def _either(x: Any, y: Any) -> Any:
    a, b = np.broadcast_arrays(x, y)
    bits = f"i{a.dtype.itemsize}"
    return (np.array(a).view(bits) | np.array(b).view(bits)).view(a.dtype)


either = elementwise(
    "either",
    expr="either_{c}({x}, {y})",
    reference=_either,
    loop=ufunc_loop(np.nextafter),
    public=False,
    doc="The bits of both operands: one of them, where the other is a zero without a sign.",
)


def _equations(sig: Any) -> Tape:
    return _written(sig.operands[0], sig.params["shift"], sig.params["axis"])


@lru_cache(maxsize=256)
def _written(aval: Aval, shift: int, axis: int) -> Tape:
    """A roll as equations: windows for what kernels have bits of, else two parts joined."""
    x, n = placeholder(aval), aval.shape[axis]

    def part(start: int, size: int) -> Any:
        starts, sizes = [0] * aval.ndim, list(aval.shape)
        starts[axis], sizes[axis] = start, size
        return slice_(x, starts=tuple(starts), sizes=tuple(sizes), steps=(1,) * aval.ndim)

    def put(y: Any, start: int) -> Any:
        starts = [0] * aval.ndim
        starts[axis] = start
        return pad(y, shape=aval.shape, starts=tuple(starts), steps=(1,) * aval.ndim)

    head, tail = part(0, n - shift), part(n - shift, shift)
    if aval.dtype in (np.float64, np.float32) and FEW * min(shift, n - shift) <= n:
        return linearize([either(put(head, shift), put(tail, 0))], [x])[0]
    return linearize([concatenate(tail, head, axis=axis)], [x])[0]


roll = linear(
    "roll",
    aval=lambda x, shift, axis: x,
    adjoint=lambda ct, x, shift, axis: roll(ct, shift=x.shape[axis] - shift, axis=axis),
    evaluate=lambda x, shift, axis: np.roll(x, shift, axis),
    lower=Call(_equations),
    cases=(((5,), {"shift": 2, "axis": 0}), ((3, 4), {"shift": 3, "axis": 1})),
    doc="Elements shifted along an axis by less than its length, those that leave it put in front.",
)

__all__ = ["either", "roll"]
