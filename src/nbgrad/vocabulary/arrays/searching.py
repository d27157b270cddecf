"""Where elements are: ``where``, ``nonzero`` and their relatives.

nbgrad imports this file itself, not on first need: ``np.where`` has two meanings, and the
primitive, which answers to it otherwise, is only one of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.elements import selection
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.support import concrete, held


@function(
    "numpy",
    np.nonzero,
    cases=lambda d: [call(d.integers(2, 2, 3)), call(np.array([0.0, 2.0]))],
    method=True,
    differentiable=False,
)
def nonzero(a: Any) -> tuple[Node, ...]:
    """The indices of the elements that are not zero, an array for each dimension."""
    return tuple(held(index) for index in np.nonzero(concrete(a)))


@function("numpy", np.argwhere, cases=lambda d: [call(d.integers(2, 2, 3))], differentiable=False)
def argwhere(a: Any) -> Node:
    """The indices of the elements that are not zero, a row for each."""
    return held(np.argwhere(concrete(a)))


@function(
    "numpy", np.flatnonzero, cases=lambda d: [call(d.integers(2, 2, 3))], differentiable=False
)
def flatnonzero(a: Any) -> Node:
    """The positions of the elements of the flattened array that are not zero."""
    return held(np.flatnonzero(concrete(a)))


@function(
    "numpy",
    np.where,
    cases=lambda d: [
        call(d.booleans(2, 3), d(3), d(2, 1)),
        call(d.booleans(3), d(3), 1.0),
        call(d.booleans(4)),
    ],
    complex=True,
)
def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """*x* where *condition* holds, else *y*; with one argument, ``nonzero(condition)``.

    The branch not taken gets a gradient of exactly zero, whatever its derivative there.
    """
    if x is None and y is None:
        return nonzero(condition)
    if x is None or y is None:
        raise ValueError("where: either both or neither of x and y should be given")
    return selection.where(condition, x, y)
