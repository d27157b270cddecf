"""The pattern of a recorded function: of all x, or at one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.machine import index_sets
from nbgrad.machine.index_sets import Sets, TooMany
from nbgrad.sparse.propagation import Known, Propagation
from nbgrad.sparse.tapes import Linear, Recorded, sizes_of


def pattern_of(
    of: Recorded, linear: Linear, point: Sequence[Any] | None, name: str
) -> tuple[Sets, Known]:
    """For each element of the results the elements of x that it depends on; and what is known.

    Parameters
    ----------
    of : Recorded
    linear : Linear
        Its tangents.
    point : sequence of ndarray or None
        The arguments at which it is asked for; None: the pattern is that of all.
    name : str
        Who asks.
    """
    inputs = linear.whole.inputs
    k = len(of.tape.inputs)
    values = dict(zip(inputs[of.given : k], of.constants, strict=True))
    values |= dict(zip(inputs[k + of.leaves :], linear.constants, strict=True))
    if point is not None:
        values |= dict(zip(inputs[: of.given], point, strict=True))
    known = Known(linear.whole, values)
    sizes = sizes_of(of.wrt)
    seeds, first = [], 0
    for size in sizes:
        seeds.append(index_sets.singles(size, first))
        first += size
    try:
        with np.errstate(all="ignore"):
            sets = [*seeds, *[None] * len(linear.held)]
            found = Propagation(first).run(linear.tape, sets, known)
        rows = sizes_of(linear.outputs)
        filled = [
            index_sets.nothing(n) if s is None else s for s, n in zip(found, rows, strict=True)
        ]
        return (index_sets.stacked(filled) if filled else index_sets.nothing(0)), known
    except TooMany as error:
        raise MemoryError(
            f"{name}: the pattern has more than {index_sets.MAX_INDICES} nonzeros on the way "
            f"({error}): something is not sparse. Use nbgrad.jvp and vjp, or a LinearOperator of them"
        ) from None
