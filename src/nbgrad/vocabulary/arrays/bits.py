"""Booleans packed into bytes, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.support import concrete, held


@function(
    "numpy",
    np.packbits,
    cases=lambda d: [call(d.booleans(2, 9), axis=1), call(d.booleans(5), bitorder="little")],
    differentiable=False,
)
def packbits(a: Any, /, axis: Any = None, bitorder: Any = "big") -> Node:
    """Bytes whose bits are the truth values along *axis*."""
    return held(np.packbits(concrete(a), axis, bitorder))


@function(
    "numpy",
    np.unpackbits,
    cases=lambda d: [call(np.array([[3], [7]], np.uint8), axis=1, count=6)],
    differentiable=False,
)
def unpackbits(a: Any, /, axis: Any = None, count: Any = None, bitorder: Any = "big") -> Node:
    """The bits of bytes, along *axis*, as zeros and ones.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.unpackbits(np.array([5], np.uint8))
    tensor([0, 0, 0, 0, 0, 1, 0, 1], dtype=uint8)
    """
    return held(np.unpackbits(concrete(a), axis, count, bitorder))
