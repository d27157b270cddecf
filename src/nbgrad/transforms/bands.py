"""Bands: where an element of a result depends on a few neighbours of an element of the argument.

So it is with sums over neighbours, differences and stencils. Directions that are 1 at every w-th
element then tell the w diagonals of a Jacobian that has no others (Curtis, Powell and Reid 1974).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core.node import Node, leaf_node
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.ops.arrays.indexing import scatter_add, take
from nbgrad.ops.basis import reshape
from nbgrad.ops.kinds.forms import View

Band = tuple[int, int]  # of the elements i + low to i + high, an element i depends on
LEAST = 1 << 12  # elements of a Jacobian that is worth the trouble
SHARE = 8  # of the columns: the most diagonals that there may be


def band_of(tape: Tape, x: Var) -> Band | None:
    """The band in which the outputs of *tape*, which is linear in *x*, depend on it; None if wide."""
    if x.aval.ndim != 1 or settings.current.nan_policy == "ieee":  # where 0 times infinity is NaN
        return None
    found: dict[Any, Band] = {x: (0, 0)}
    for eqn in tape.eqns:
        if found.keys().isdisjoint(eqn.inputs):
            continue
        band = _of_equation(eqn, found)
        if band is None:
            return None
        found[eqn.out] = band
    bands = [found[y] for y in tape.outputs if y in found]
    if not bands or any(y.aval.ndim != 1 for y in tape.outputs):  # type: ignore[union-attr]
        return None
    low, high = min(b[0] for b in bands), max(b[1] for b in bands)
    large = x.aval.size * max(y.aval.size for y in tape.outputs) >= LEAST  # type: ignore[union-attr]
    return (low, high) if large and SHARE * (high - low + 1) <= x.aval.size else None


def _of_equation(eqn: Equation, found: dict[Any, Band]) -> Band | None:
    """The band of the result of *eqn*, some of whose operands depend on the argument."""
    out, (form, params) = eqn.out.aval, (eqn.prim.lower, eqn.params)
    if len(eqn.outs) > 1 or out.ndim != 1:
        return None
    given = [x for x in eqn.inputs if x.__class__ is Var and x in found]
    low, high = min(found[x][0] for x in given), max(found[x][1] for x in given)
    if form.__class__ is View and params.get("steps") == (1,):
        shift = params["starts"][0] if form.name == "slice" else -params["starts"][0]
        return low + shift, high + shift
    aligned = eqn.prim.kind == "elementwise" or _unmoved(eqn)
    return (low, high) if aligned and all(x.aval.shape == out.shape for x in given) else None


def _unmoved(eqn: Equation) -> bool:
    """Whether it is another view of the same elements, in the same places."""
    return eqn.prim.lower.__class__ is View and eqn.inputs[0].aval is eqn.out.aval  # type: ignore[union-attr]


def directions(x: Any, band: Band) -> Node:
    """A direction for each diagonal: 1 at every element that is so far from the last one."""
    width = band[1] - band[0] + 1
    which = np.arange(x.size) % width
    return leaf_node((np.arange(width)[:, None] == which).astype(x.dtype))


def spread(tangents: Node, size: int, band: Band) -> Node:
    """The Jacobian, of *size* columns, of which *tangents* are those along :func:`directions`."""
    width, rows = tangents.shape
    i, d = np.meshgrid(np.arange(rows), np.arange(band[0], band[1] + 1))
    inside = (i + d >= 0) & (i + d < size)
    i, j = i[inside], (i + d)[inside]
    values = take(reshape(tangents, shape=(width * rows,)), leaf_node(j % width * rows + i))
    found = scatter_add(values, leaf_node(i * size + j), size=rows * size)
    return reshape(found, shape=(rows, size))  # type: ignore[no-any-return]
