"""Arranging a nest: drop and merge loops, put them in order, cut reductions in blocks.

The result has three levels: *cells* (kept loops, numbered linearly and run in parallel), *rows*
(the other loops but one, numbered linearly) and the innermost loop, which is vectorised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbgrad.core import frozen
from nbgrad.core.frozen import replace
from nbgrad.program.nest import Guard, Load, Nest, Select, Value

# Elements of one task. Fixed, so that the partition never depends on the number of threads.
BLOCK = 16384
# Columns accumulated at a time when the innermost loop is kept: 4 kB of partial sums.
CHUNK = 512
FEW_CELLS = 64
# Element-operations below which a nest runs in one thread: some 300 µs of vectorised work. Waking
# threads costs 1 µs on an idle machine, but a scheduler's quantum (8 ms) on a busy one.
PARALLEL_WORK = 2_000_000


class Arranged(frozen.Value):
    """A nest whose loops are ordered ``cells + rows + (inner,)``.

    ``columns`` says that the innermost loop is kept while rows are reduced, so that partial
    results are a row of memory. ``block`` is how much of the reduced range one task takes
    (0: all of it).
    """

    nest: Nest
    cells: int
    rows: int
    columns: bool = False
    block: int = 0

    @property
    def inner(self) -> int:
        return self.nest.extents[-1]

    @property
    def n_cells(self) -> int:
        return _product(self.nest.extents[: self.cells])

    @property
    def n_rows(self) -> int:
        return _product(self.nest.extents[self.cells : self.cells + self.rows])

    @property
    def kept(self) -> int:
        """Number of results of each reduction."""
        return self.n_cells * (self.inner if self.columns else 1)

    @property
    def reduced_size(self) -> int:
        return self.n_rows * (1 if self.columns else self.inner)

    @property
    def blocks(self) -> int:
        return max(1, -(-self.reduced_size // self.block)) if self.block else 1

    @property
    def tasks(self) -> int:
        """Length of the range ``[lo, hi)`` that the kernel is called with."""
        if not self.nest.reductions:
            return self.nest.size
        chunks = -(-self.inner // CHUNK) if self.columns else 1
        return self.blocks * self.n_cells * chunks

    @property
    def grain(self) -> int:
        """Length of one task, about BLOCK elements; 0 if waking a thread would cost more."""
        if self.nest.size * max(1, len(self.nest.body)) < PARALLEL_WORK:
            return 0
        if not self.nest.reductions:
            return BLOCK
        per_task = max(1, self.nest.size // max(1, self.tasks))
        return max(1, BLOCK // per_task)


def _product(extents: Sequence[int]) -> int:
    total = 1
    for n in extents:
        total *= n
    return total


def arrange(nest: Nest) -> Arranged:
    """Order and merge the loops of *nest*."""
    nest = _select_loops(nest, [k for k, n in enumerate(nest.extents) if n != 1])
    nest = _merge(nest, False)  # so that columns which follow one another are one row of them
    order, columns = _order(nest)
    nest = _merge(_select_loops(nest, order), columns)
    if not nest.extents:
        nest = _add_loop(nest)
    if not nest.reductions:
        return Arranged(nest, 0, len(nest.extents) - 1)
    if not columns and len(nest.extents) - 1 not in nest.reduced:
        nest = _add_loop(nest, reduced=True)
    kept = [k for k in range(len(nest.extents)) if k not in nest.reduced]
    cells = len(kept) - (1 if columns else 0)
    arranged = Arranged(nest, cells, len(nest.extents) - 1 - cells, columns)
    if arranged.kept < FEW_CELLS * (CHUNK if columns else 1):
        size = arranged.reduced_size * (arranged.inner if columns else 1)
        if size > 2 * BLOCK:
            block = max(1, BLOCK // arranged.inner) if columns else BLOCK
            arranged = replace(arranged, block=block)
    return arranged


def _order(nest: Nest) -> tuple[list[int], bool]:
    """Loops in the order cells, rows, inner; and whether the inner one is kept."""
    loops = list(range(len(nest.extents)))
    if not nest.reductions:
        return loops, False
    kept = [k for k in loops if k not in nest.reduced]
    reduced = [k for k in loops if k in nest.reduced]
    # Narrow rows would spend their time on loop overhead: then each column is a strided sum.
    columns = bool(kept and reduced) and loops[-1] in kept and nest.extents[-1] >= 8
    if columns:
        return kept[:-1] + reduced + [kept[-1]], True
    return kept + reduced, False


def _remap(value: Any, nest: Nest, keep: Sequence[int]) -> Any:
    """Give the strides and guards of one value to the loops *keep*, renumbered."""
    number = {old: new for new, old in enumerate(keep)}

    def guards(given: tuple[Guard, ...]) -> tuple[Guard, ...]:
        out = []
        for g in given:
            if g.loop in number:
                out.append(replace(g, loop=number[g.loop]))
            elif not g.lo <= 0 < g.hi:
                out.append(Guard(0, 0, 0))  # a dropped loop outside its window
        return tuple(out)

    if isinstance(value, Load):
        strides = tuple(value.strides[k] for k in keep)
        return replace(value, strides=strides, guards=guards(value.guards))
    if isinstance(value, Select):
        return replace(value, inner=guards(value.inner), guards=guards(value.guards))
    if hasattr(value, "guards"):
        return replace(value, guards=guards(value.guards))
    return value


def _select_loops(nest: Nest, keep: Sequence[int]) -> Nest:
    """Keep the loops *keep* in that order; the others have one iteration."""
    if list(keep) == list(range(len(nest.extents))):
        return nest
    if not keep and any(_guards(v) for v in nest.body):
        keep = [0]
    return replace(
        nest,
        extents=tuple(nest.extents[k] for k in keep),
        reduced=frozenset(n for n, k in enumerate(keep) if k in nest.reduced),
        body=tuple(_remap(v, nest, keep) for v in nest.body),
        stores=tuple(replace(s, strides=tuple(s.strides[k] for k in keep)) for s in nest.stores),
        reductions=tuple(
            replace(r, strides=tuple(r.strides[k] for k in keep)) for r in nest.reductions
        ),
    )


def _guards(value: Value) -> tuple[Guard, ...]:
    inner = value.inner if isinstance(value, Select) else ()
    return (*getattr(value, "guards", ()), *inner)


def _merge(nest: Nest, columns: bool) -> Nest:
    """Merge neighbouring loops that every operand walks through in one stride."""
    guarded = {g.loop for v in nest.body for g in _guards(v)}
    operands: list[Any] = [v for v in nest.body if isinstance(v, Load)]
    operands += [*nest.stores, *nest.reductions]
    k = 0
    while k + 1 < len(nest.extents):
        n = nest.extents[k + 1]
        same = (k in nest.reduced) == (k + 1 in nest.reduced)
        last_column = columns and k + 2 == len(nest.extents)
        if (
            same
            and not last_column
            and not {k, k + 1} & guarded
            and all(o.strides[k] == o.strides[k + 1] * n for o in operands)
        ):
            nest = _merge_pair(nest, k)
            guarded = {g - 1 if g > k else g for g in guarded}
            operands = [v for v in nest.body if isinstance(v, Load)]
            operands += [*nest.stores, *nest.reductions]
        else:
            k += 1
    return nest


def _merge_pair(nest: Nest, k: int) -> Nest:
    extents = list(nest.extents)
    extents[k + 1] *= extents[k]
    keep = [j for j in range(len(extents)) if j != k]
    return _select_loops(replace(nest, extents=tuple(extents)), keep)


def _add_loop(nest: Nest, reduced: bool = False) -> Nest:
    """Append a loop of one iteration, so that there always is an innermost one."""
    last = len(nest.extents)
    wide = [replace(v, strides=(*v.strides, 0)) if isinstance(v, Load) else v for v in nest.body]
    return replace(
        nest,
        extents=(*nest.extents, 1),
        reduced=nest.reduced | ({last} if reduced else set()),
        body=tuple(wide),
        stores=tuple(replace(s, strides=(*s.strides, 0)) for s in nest.stores),
        reductions=tuple(replace(r, strides=(*r.strides, 0)) for r in nest.reductions),
    )
