"""The plan of a program: which buffer each stored value has, and when it dies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nbgrad.core.tape import Tape, Var
from nbgrad.program.arrange import Arranged
from nbgrad.program.kernel import Load
from nbgrad.program.nests import Item

ALIGNMENT = 64


@dataclass(frozen=True)
class Plan:
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
    return [item.eqn.out]


def plan(tape: Tape, items: Sequence[Item], shared: Iterable[Var] = ()) -> Plan:
    """Place intermediate buffers in one arena, first fit by lifetime.

    A buffer is free again after the last step that reads it, never within that step: kernels are
    compiled on the promise that what they write is not what they read. The values *shared* are in
    the memory of outputs.
    """
    fixed = {*tape.inputs, *(a for a in tape.outputs if isinstance(a, Var)), *shared}
    last: dict[Var, int] = {}
    for k, item in enumerate(items):
        for var in (*reads(item), *writes(item)):
            last[var] = k
    live: list[tuple[int, int, int]] = []  # (offset, end, last step)
    offsets: dict[Var, int] = {}
    total = 0
    for k, item in enumerate(items):
        live = [slot for slot in live if slot[2] >= k]
        for var in writes(item):
            if var in fixed or var in offsets:
                continue
            size = -(-max(1, var.aval.nbytes) // ALIGNMENT) * ALIGNMENT
            offset = _first_fit(live, size)
            offsets[var] = offset
            live.append((offset, offset + size, last[var]))
            total = max(total, offset + size)
    return Plan(offsets, total)


def _first_fit(live: Sequence[tuple[int, int, int]], size: int) -> int:
    offset = 0
    for start, end, _ in sorted(live):
        if start - offset >= size:
            break
        offset = max(offset, end)
    return offset
