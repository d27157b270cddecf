"""Selection of elements: extrema, clipping, and by a condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.basis import cast
from nbgrad.ops.elements.comparison import (
    equal,
    greater,
    greater_equal,
    indicator,
    less,
    less_equal,
)
from nbgrad.ops.kinds import ranges
from nbgrad.ops.kinds.cotangents import is_number, materialize
from nbgrad.ops.kinds.elementwise import elementwise
from nbgrad.ops.kinds.promotion import common_loop


def _extremum_partials(wins: Any) -> Any:
    def partials(out: Any, x: Any, y: Any) -> tuple[Any, Any]:
        tie = 0.5 * indicator(equal(x, y), out)
        return indicator(wins(x, y), out) + tie, indicator(wins(y, x), out) + tie

    return partials


maximum = elementwise(
    "maximum",
    expr="({x} if ({x} >= {y}) | ({x} != {x}) else {y})",
    reference=np.maximum,
    partials=_extremum_partials(greater),
    dtypes="fiu",
    bounds=ranges.corners(max),
    doc="Larger of two; NaN wins; a tie gives each operand half of the gradient.",
)


minimum = elementwise(
    "minimum",
    expr="({x} if ({x} <= {y}) | ({x} != {x}) else {y})",
    reference=np.minimum,
    partials=_extremum_partials(less),
    dtypes="fiu",
    bounds=ranges.corners(min),
    doc="Smaller of two; NaN wins; a tie gives each operand half of the gradient.",
)


def _clip(x: Any, lo: Any, hi: Any) -> Any:
    return np.minimum(np.maximum(x, lo), hi)


def _clip_partials(out: Any, x: Any, lo: Any, hi: Any) -> tuple[Any, Any, Any]:
    inside = cast(greater_equal(x, lo), dtype=out.dtype) * indicator(less_equal(x, hi), out)
    below = indicator(less(x, lo), out) * indicator(less_equal(lo, hi), out)
    return inside, below, indicator(greater(maximum(x, lo), hi), out)


clip = elementwise(
    "clip",
    expr="min_{c}(max_{c}({x}, {y}), {z})",
    reference=_clip,
    loop=common_loop(),
    partials=_clip_partials,
    dtypes="fiu",
    grad_name="Clamp",
    bounds=ranges.corners(lambda x, lo, hi: min(max(x, lo), hi)),
    doc="Limit to [lo, hi]; derivative 1 on the bounds, so that a projection can leave them.",
)


def _where_loop(kinds: Sequence[Any]) -> tuple[Any, ...]:
    return (np.dtype(bool), *common_loop()(kinds[1:]))


def _where_vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, Any, Any]:
    ct = materialize(ct, y.aval) if is_number(ct) else ct
    return None, where(xs[0], ct, 0.0), where(xs[0], 0.0, ct)


def _where_jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Any:
    _, tx, ty = tangents
    if tx is None and ty is None:
        return None
    both = (0.0 if tx is None else tx, 0.0 if ty is None else ty)
    if is_number(both[0]) and is_number(both[1]):
        both = (materialize(both[0], y.aval), both[1])
    return where(xs[0], *both)


where = elementwise(
    "where",
    expr="({y} if {x} else {z})",
    reference=np.where,
    loop=_where_loop,
    vjp=_where_vjp,
    jvp=_where_jvp,
    dtypes="fiubc",
    bounds=ranges.chosen,
    doc="Second operand where the first holds, else the third; the other branch gets exactly 0.",
)
