"""Where the inputs of a tape with loops come from: what is given for the tape as it was recorded.

A loop reads Python numbers step by step from an array, which is made each time. Most are the same in
all steps, as the size of a step or the 2 of a formula are. Found so once, such numbers are taken to be
one constant; the next time they are only compared, and if they differ then, the tape is made anew.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np

from nbgrad.core.memory import Buffer, host, place
from nbgrad.core.node import Node, leaf_node
from nbgrad.core.tape import Tape, Var

Array = np.ndarray[Any, Any]


class Differ(Exception):
    """Numbers that a tape was made for as if they were always alike are not."""


@dataclass(frozen=True)
class Alike:
    """The places of arguments, two or more, that are the same Python number."""

    places: tuple[int, ...]
    pick: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pick", itemgetter(*self.places))

    def of(self, args: Sequence[Any]) -> Any:
        """The number, None if there are several."""
        found = self.pick(args)
        first = found[0]
        if found.count(first) < len(found):
            return None
        if first and first.__class__ is not complex:
            return first
        return first if len(set(map(repr, found))) == 1 else None  # 0.0 and -0.0 are equal

    @staticmethod
    def is_value(number: Any, value: Any) -> bool:
        """Whether the array *value* holds *number*, bit by bit."""
        if value.__class__ is not np.ndarray or value.shape:
            return False
        return _array(number, value.dtype).tobytes() == value.tobytes()


# Where an input of the new tape comes from: an input of the old one; several of these, each a row, or
# several rows, of an array of the input's dtype; several that are one number; an array.
Source = int | tuple[int, ...] | Alike | Array


@dataclass(frozen=True)
class Rerolled:
    """A tape with loops, and where each of its inputs comes from: of a tape, or of what *before* is.

    ``alike`` are numbers that are what some argument holds, which stands for them.
    """

    tape: Tape
    sources: tuple[Source, ...]
    alike: tuple[tuple[Alike, int], ...] = ()
    before: Rerolled | None = None

    def given(self, args: Sequence[Any]) -> list[Any]:
        """The arguments of the new tape for those of the old one; raises Differ."""
        args = args if self.before is None else self.before.given(args)
        self._compare(args)
        return [
            args[source] if isinstance(source, int) else self._made(var, source, args)
            for var, source in zip(self.tape.inputs, self.sources, strict=True)
        ]

    def rest(self, first: int, args: Sequence[Any]) -> list[Array]:
        """The arguments from the place *first* on, which are all made; raises Differ."""
        pairs = zip(self.tape.inputs[first:], self.sources[first:], strict=True)
        return [self._made(var, source, args) for var, source in pairs]

    def nodes(self, leaves: Sequence[Node]) -> list[Node]:
        """The same for nodes, those that are stacked being leaves."""
        leaves = leaves if self.before is None else self.before.nodes(leaves)
        values = [leaf.value for leaf in leaves]
        return [
            leaves[source]
            if isinstance(source, int)
            else leaf_node(self._made(var, source, values))
            for var, source in zip(self.tape.inputs, self.sources, strict=True)
        ]

    def after(self, before: Rerolled | None) -> Rerolled:
        """The same, made of the tape of *before*."""
        return Rerolled(self.tape, self.sources, self.alike, before)

    def free(self, stackable: Collection[Var]) -> set[Var]:
        """The inputs that may be stacked, where *stackable* ones of the old tape may."""
        made = [s.__class__ is not int for s in self.sources]
        return {v for v, new in zip(self.tape.inputs, made, strict=True) if new or v in stackable}

    def _compare(self, args: Sequence[Any]) -> None:
        for alike, k in self.alike:
            number = alike.of(args)
            if number is None or not alike.is_value(number, args[k]):
                raise Differ

    def _made(self, var: Var, source: Any, args: Sequence[Any]) -> Array:
        aval = var.aval
        if isinstance(source, Alike):
            number = source.of(args)
            if number is None:
                raise Differ
            source = _array(number, aval.dtype)
        elif isinstance(source, tuple):
            rows = [args[k] for k in source]
            if isinstance(rows[0], (np.ndarray, Buffer)):
                rows = [host(row) for row in rows]
            one_each = len(rows) == aval.shape[0]  # else each is several rows
            source = _array(rows, aval.dtype) if one_each else np.concatenate(rows)
        found: Array = host(source).reshape(aval.shape)
        return place(found, aval.device) if aval.device is not None else found


def _array(numbers: Any, dtype: Any) -> Array:
    if dtype.itemsize >= 8:
        return np.array(numbers, dtype)
    with np.errstate(over="ignore"):  # beyond float32: infinity, as in NumPy
        return np.array(numbers, dtype)
