"""Stacks of arrays that are 1 in one place and 0 elsewhere: what the rows of a Jacobian are seeded with.

They are computed where they are read, of the places alone, so that none lie in memory.
"""

from __future__ import annotations

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.node import Node, leaf_node
from nbgrad.core.placing import moved
from nbgrad.ops.basis import cast
from nbgrad.ops.elements.comparison import equal

EXACT = {4: 1 << 24}  # numbers of so many bytes tell integers apart up to here


def units(aval: Aval, start: int, stop: int) -> Node:
    """The arrays like *aval* with a 1 in one place, from *start* to *stop*, stacked."""
    real = np.zeros(0, aval.dtype).real.dtype
    if aval.size >= EXACT.get(real.itemsize, 1 << 53):
        real = np.dtype(np.int64)
    places = leaf_node(np.arange(aval.size, dtype=real).reshape(aval.shape))
    chosen = leaf_node(np.arange(start, stop, dtype=real).reshape(-1, *(1,) * aval.ndim))
    if aval.device is not None:
        places = moved(places, aval.device)
    return cast(equal(chosen, places), dtype=aval.dtype)  # type: ignore[no-any-return]
