"""The plan of a program: which buffer each stored value has, and when it dies."""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from nbgrad.core.frozen import Value
from nbgrad.core.tape import Tape, Var
from nbgrad.program.arrange import Arranged
from nbgrad.program.nest import Load
from nbgrad.program.nests import Item
from nbgrad.program.rows import Rows
from nbgrad.program.views import Stage

ALIGNMENT = 64


class Plan(Value):
    """Offsets in the arena of the values that are neither inputs nor outputs."""

    offsets: dict[Var, int]
    arena_bytes: int


def reads(item: Item) -> list[Var]:
    """Buffers that a step reads."""
    if isinstance(item, Arranged):
        return [v.buffer for v in item.nest.body if isinstance(v, Load)]
    return list(item.reads)


def writes(item: Item) -> list[Var]:
    """Buffers that a step writes."""
    if isinstance(item, Arranged):
        stores = [s.buffer for s in item.nest.stores]
        return stores + [r.buffer for r in item.nest.reductions]
    return list(item.writes if isinstance(item, Rows | Stage) else item.eqn.outs)


def plan(
    tape: Tape,
    items: Sequence[Item],
    shared: Iterable[Var] = (),
    over: Mapping[Var, Var] = MappingProxyType({}),
    units: Sequence[int] = (),
) -> Plan:
    """Place intermediate buffers in one arena, first fit by lifetime.

    A buffer is free again after the last step that reads it, never within that step: kernels are
    compiled on the promise that what they write is not what they read. The values *shared* are in
    the memory of outputs. Those that *over* names are written in the place of others. Steps with the
    same number among *units*, which are in order, are run together: all that they read and write lives meanwhile.
    """
    at = units or range(len(items))
    first: dict[Var, Var] = {}
    for out, var in over.items():
        first[out] = first.get(var, var)
    fixed = {*tape.inputs, *(a for a in tape.outputs if isinstance(a, Var)), *shared}
    last: dict[Var, int] = {}
    for k, item in zip(at, items, strict=True):
        for var in (*reads(item), *writes(item)):
            last[first.get(var, var)] = k
    dying: dict[int, list[Var]] = defaultdict(list)
    offsets: dict[Var, int] = {}
    space = Space()
    for k, item in zip(at, items, strict=True):
        for var in dying.pop(k - 1, ()):
            space.give(offsets[var], _size(var))
        for var in writes(item):
            if var in fixed or var in offsets:
                continue
            if var in first:
                offsets[var] = offsets[first[var]]
                continue
            offsets[var] = space.take(_size(var))
            dying[last[var]].append(var)
    return Plan(offsets, space.end)


def _size(var: Var) -> int:
    return -(-max(1, var.aval.nbytes) // ALIGNMENT) * ALIGNMENT


class Space:
    """Memory that grows at its end; ``gaps`` are free, in order, none next to another.

    Looking at few gaps keeps planning linear: a long tape may have thousands of small ones.

    Examples
    --------
    >>> space = Space()
    >>> space.take(64), space.take(128), space.take(64)
    (0, 64, 192)
    >>> space.give(64, 128)
    >>> space.take(64), space.take(128), space.end
    (64, 256, 384)
    """

    LOOKS = 64

    def __init__(self) -> None:
        self.gaps: list[tuple[int, int]] = []
        self.end = 0

    def take(self, size: int) -> int:
        """The lowest place that *size* bytes fit in."""
        for k, (start, stop) in enumerate(self.gaps[: self.LOOKS]):
            if stop - start >= size:
                if stop - start == size:
                    del self.gaps[k]
                else:
                    self.gaps[k] = (start + size, stop)
                return start
        start = self.end
        if self.gaps and self.gaps[-1][1] == start:  # the last gap, and as much more as it takes
            start = self.gaps.pop()[0]
        self.end = start + size
        return start

    def give(self, start: int, size: int) -> None:
        """Free what ``take`` gave."""
        gaps = self.gaps
        k = bisect(gaps, (start, start))
        stop = start + size
        if k < len(gaps) and gaps[k][0] == stop:
            stop = gaps.pop(k)[1]
        if k and gaps[k - 1][1] == start:
            start = gaps.pop(k - 1)[0]
            k -= 1
        gaps.insert(k, (start, stop))
