"""Sums of arrays that are zero but for a part each: what reading one array bit by bit leads to.

The adjoint of ``x[i]`` is as large as ``x``. Added one by one, those of n reads take n times the
size of ``x``; here the parts are put together first, so that they take as long as reading did. A few
large parts, as of a stencil, are left alone: they fuse into one loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import alike
from nbgrad.core.node import Node, constant
from nbgrad.ops.arrays.indexing import scatter_add
from nbgrad.ops.basis import concatenate, full, pad, reshape
from nbgrad.ops.kinds.cotangents import SMALL, plus

FEW = 8  # parts of a kind that are added as they are

Window = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]  # starts, sizes, steps


class Terms(list[Any]):
    """Contributions to one cotangent, in the order in which they came."""

    __slots__ = ()

    def total(self) -> Any:
        """Their sum."""
        terms: list[Any] = self
        for prim, merge in MERGES.items():
            alike = [t for t in terms if _made_by(t, prim)]
            if len(alike) > FEW and (fewer := merge(alike)) is not alike:
                first = next(k for k, t in enumerate(terms) if _made_by(t, prim))
                rest = [t for t in terms[first:] if not _made_by(t, prim)]
                terms = [*terms[:first], *fewer, *rest]
        total = terms[0]
        for term in terms[1:]:
            total = plus(total, term)
        return total


def partial(c: Any) -> bool:
    """Whether *c* is mostly zero by the way it was made, and may be put together with others."""
    return c.__class__ is Node and c.sig is not None and c.sig.prim in MERGES


def _made_by(c: Any, prim: Any) -> bool:
    return c.__class__ is Node and c.sig is not None and c.sig.prim is prim and bool(c.inputs)


def _merged_pads(pads: Sequence[Node]) -> Sequence[Node]:
    """Fewer nodes of the same sum: parts of one window are added before they are padded."""
    alike: dict[Any, list[Node]] = {}
    for node in pads:
        alike.setdefault(node.sig, []).append(node.inputs[0])
    windows: dict[Window, list[Node]] = {}
    for sig, xs in alike.items():
        params, shape = sig.params, xs[0].shape
        steps = tuple(s if n > 1 else 1 for s, n in zip(params["steps"], shape, strict=True))
        windows.setdefault((params["starts"], shape, steps), []).extend(xs)
    aval = pads[0].aval
    small = [w for w in windows if SMALL * math.prod(w[1]) < aval.size]
    if len(small) <= FEW:
        small = []
    if not small and len(windows) == len(pads):
        return pads
    sums = {w: _sum(xs) for w, xs in windows.items()}
    large = [
        pad(x, shape=aval.shape, starts=w[0], steps=w[2])
        for w, x in sums.items()
        if not small or SMALL * math.prod(w[1]) >= aval.size
    ]
    return [*large, _assembled({w: sums[w] for w in small}, aval)] if small else large


def _sum(xs: Sequence[Node]) -> Node:
    """The sum of nodes of one shape; of parts of one shape given another, in their own shape."""
    inner = [x.inputs[0] if _made_by(x, reshape) else None for x in xs]
    shapes = {None if x is None else x.shape for x in inner}
    if len(xs) > 2 and len(shapes) == 1 and None not in shapes and any(map(partial, inner)):
        return reshape(Terms(inner).total(), shape=xs[0].shape)  # type: ignore[no-any-return]
    return Terms(xs).total()  # type: ignore[no-any-return]


def _assembled(parts: dict[Window, Node], aval: Any) -> Node:
    """Zeros with each of *parts* added in its window."""
    for axis in range(aval.ndim):
        if (found := _side_by_side(parts, aval, axis)) is not None:
            return found
    flat = [_flat_range(window, aval.shape) for window in parts]
    runs = [run for run in flat if run is not None]
    if len(runs) == len(flat):
        line = alike(aval, (aval.size,))
        rows: dict[Window, Node] = {
            ((start,), (size,), (1,)): reshape(x, shape=(size,))
            for (start, size), x in zip(runs, parts.values(), strict=True)
        }
        if (found := _side_by_side(rows, line, 0)) is not None:
            return reshape(found, shape=aval.shape)  # type: ignore[no-any-return]
    index = np.concatenate([_positions(window, aval.shape) for window in parts])
    values = [reshape(x, shape=(x.size,)) for x in parts.values()]
    found = scatter_add(concatenate(*values, axis=0), constant(index), size=aval.size)
    return reshape(found, shape=aval.shape)  # type: ignore[no-any-return]


def _side_by_side(parts: dict[Window, Node], aval: Any, axis: int) -> Node | None:
    """The parts joined along *axis*, zeros between them; None if they do not lie so."""
    whole = aval.shape[:axis], aval.shape[axis + 1 :]
    for _, sizes, steps in parts:
        if (sizes[:axis], sizes[axis + 1 :]) != whole or any(step != 1 for step in steps):
            return None
    pieces, end = [], 0
    for (starts, sizes, _), x in sorted(parts.items(), key=lambda item: item[0][0][axis]):
        gap = starts[axis] - end
        if gap < 0:
            return None
        if gap:
            pieces.append(_zeros(aval, axis, gap))
        pieces.append(x)
        end = starts[axis] + sizes[axis]
    if end < aval.shape[axis]:
        pieces.append(_zeros(aval, axis, aval.shape[axis] - end))
    return concatenate(*pieces, axis=axis)  # type: ignore[no-any-return]


def _zeros(aval: Any, axis: int, extent: int) -> Node:
    shape = (*aval.shape[:axis], extent, *aval.shape[axis + 1 :])
    return full(0.0, shape=shape, dtype=aval.dtype)  # type: ignore[no-any-return]


def _flat_range(window: Window, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Start and size of a window that is one run of elements; None if it is not."""
    starts, sizes, steps = window
    axis = next((k for k, n in enumerate(sizes) if n != 1), len(sizes))
    if any(step != 1 for step in steps) or sizes[axis + 1 :] != shape[axis + 1 :]:
        return None
    start = 0
    for k, n in zip(starts, shape, strict=True):
        start = start * n + k
    return start, math.prod(sizes)


def _positions(window: Window, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Where the elements of a window lie in the flattened array."""
    at = np.zeros((), np.int64)
    for start, size, step, n in zip(*window, shape, strict=True):
        at = at[..., None] * n + (start + step * np.arange(size))
    return at.reshape(-1)


def _merged_scatters(nodes: Sequence[Node]) -> Sequence[Node]:
    """Small scatters into one array are one scatter."""
    small = [n for n in nodes if SMALL * n.inputs[0].size < n.size]
    if len(small) <= FEW:
        return nodes
    rows = small[0].shape[1:]
    values = [reshape(n.inputs[0], shape=(n.inputs[1].size, *rows)) for n in small]
    index = [reshape(n.inputs[1], shape=(n.inputs[1].size,)) for n in small]
    merged = scatter_add(
        concatenate(*values, axis=0), concatenate(*index, axis=0), **small[0].sig.params
    )
    chosen = set(small)
    return [*(n for n in nodes if n not in chosen), merged]


MERGES: dict[Any, Callable[[Sequence[Node]], Sequence[Node]]] = {
    pad: _merged_pads,
    scatter_add: _merged_scatters,
}
