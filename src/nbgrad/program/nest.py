"""Kernel: one fused loop nest as frozen data, neutral to the target that will run it."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core import frozen
from nbgrad.core.tape import Var

Strides = tuple[int, ...]


class Guard(frozen.Value):
    """A condition ``lo <= loop index < hi`` on one loop of the nest."""

    loop: int
    lo: int
    hi: int


class Load(frozen.Value):
    """Read ``buffer[offset + sum(strides * loop indices)]``; strides and offset in elements."""

    buffer: Var
    strides: Strides
    offset: int
    dtype: np.dtype[Any]
    guards: tuple[Guard, ...] = ()


class Constant(frozen.Value):
    """A number of the tape's structure."""

    value: Any
    dtype: np.dtype[Any]


class Compute(frozen.Value):
    """One scalar statement: ``text`` over the values ``args`` (indices in the body)."""

    name: str
    text: str
    args: tuple[int, ...]
    dtype: np.dtype[Any]
    loop_dtype: np.dtype[Any]
    guards: tuple[Guard, ...] = ()
    uniform: bool = False


class Select(frozen.Value):
    """A padded value: that of ``arg`` where the guards hold, else zero."""

    arg: int
    dtype: np.dtype[Any]
    inner: tuple[Guard, ...]
    guards: tuple[Guard, ...] = ()


Value = Load | Constant | Compute | Select


class Store(frozen.Value):
    """Write value ``arg`` to ``buffer`` at every point of the nest.

    ``onto`` is the number of the load in whose place it is written, element by element.
    """

    arg: int
    buffer: Var
    strides: Strides
    dtype: np.dtype[Any]
    offset: int = 0
    onto: int | None = None


class Reduce(frozen.Value):
    """Combine value ``arg`` over the reduced loops into ``buffer``, indexed by the kept ones.

    ``combine`` and ``identity`` are the texts of the reduction, ``finalize`` is applied to the
    complete result, with ``n`` the number of elements combined.
    """

    name: str
    arg: int
    buffer: Var
    strides: Strides
    dtype: np.dtype[Any]
    combine: str
    identity: str
    finalize: str
    n: int


class Nest(frozen.Value):
    """A loop nest before emission.

    ``kept`` and ``reduced`` number loops of ``extents``; every strides tuple has one entry for
    each loop. Results of reductions are written at the kept loops.
    """

    extents: tuple[int, ...]
    reduced: frozenset[int]
    body: tuple[Value, ...]
    stores: tuple[Store, ...] = ()
    reductions: tuple[Reduce, ...] = ()

    @property
    def size(self) -> int:
        """Number of points of the nest."""
        total = 1
        for n in self.extents:
            total *= n
        return total
