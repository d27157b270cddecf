"""Several results of one factorization in one array.

A primitive has one result, so a factorization lays its results side by side along the last
dimension, each flattened; its function takes them apart again with slices, which cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.node import Node
from nbgrad.ops.basis import cast, concatenate, pad, reshape, slice_
from nbgrad.ops.elements import arithmetic
from nbgrad.ops.kinds.cotangents import is_number, materialize

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Packing:
    """Results of the shapes *parts* for each matrix of a *batch*."""

    batch: Shape
    parts: tuple[Shape, ...]

    @property
    def sizes(self) -> list[int]:
        return [math.prod(shape) for shape in self.parts]

    @property
    def windows(self) -> list[tuple[int, int]]:
        """First element and size of each part."""
        sizes = self.sizes
        return list(zip(accumulate([0, *sizes[:-1]]), sizes, strict=True))

    def aval(self, dtype: np.dtype[Any]) -> Aval:
        """The aval of the array that holds all of it."""
        return make_aval((*self.batch, sum(self.sizes)), dtype)

    def pack(self, arrays: Sequence[Any], dtype: np.dtype[Any]) -> Any:
        """Lay NumPy's results side by side."""
        flat = [np.reshape(a, (*self.batch, n)) for a, n in zip(arrays, self.sizes, strict=True)]
        return np.concatenate(flat, axis=-1, dtype=dtype)

    def join(self, nodes: Sequence[Node], dtype: np.dtype[Any]) -> Node:
        """Lay the tangents of the results side by side."""
        flat = [
            reshape(x if x.dtype == dtype else cast(x, dtype=dtype), shape=(*self.batch, n))
            for x, n in zip(nodes, self.sizes, strict=True)
        ]
        return concatenate(*flat, axis=len(self.batch))

    def unpack(self, packed: Node) -> list[Node]:
        """The results."""
        return [self._shaped(_slice(packed, *w), s) for w, s in self._places()]

    def cotangents(self, ct: Any, dtype: np.dtype[Any]) -> list[Node | None]:
        """The cotangent of each result; None where it is zero because nothing used the result."""
        if is_number(ct):
            ct = materialize(ct, self.aval(dtype))
        found = [(_part(ct, *w), s) for w, s in self._places()]
        return [None if x is None else self._shaped(x, s) for x, s in found]

    def _places(self) -> list[tuple[tuple[int, int], Shape]]:
        return list(zip(self.windows, self.parts, strict=True))

    def _shaped(self, flat: Node, shape: Shape) -> Node:
        return reshape(flat, shape=(*self.batch, *shape))


def _slice(x: Node, start: int, size: int) -> Node:
    lead = x.ndim - 1
    starts, sizes = (0,) * lead + (start,), (*x.shape[:-1], size)
    return slice_(x, starts=starts, sizes=sizes, steps=(1,) * x.ndim)


def _part(ct: Node, start: int, size: int) -> Node | None:
    """A window of a sum of padded windows, without making the sum: None where none meets it."""
    prim = ct.sig.prim if ct.sig is not None and ct.inputs else None
    if prim is arithmetic.add and all(x.__class__ is Node for x in ct.inputs):
        terms = [_part(x, start, size) for x in ct.inputs if x.shape == ct.shape]
        if len(terms) == len(ct.inputs):
            left, right = terms
            return right if left is None else left if right is None else left + right
    if prim is pad:
        x, at = ct.inputs[0], ct.sig.params["starts"][-1]
        if x.shape[:-1] == ct.shape[:-1] and ct.sig.params["steps"][-1] == 1:
            if at + x.shape[-1] <= start or start + size <= at:
                return None
            if (at, x.shape[-1]) == (start, size):
                return x
    return _slice(ct, start, size)
