"""Rows: nests one after another over the same rows, as one pass of memory.

A softmax is three nests over the same numbers: the largest of each row, the sum of its exponentials, the
quotients. Where a row fits into the fast memory of a processor, one kernel can do all of it: what a nest makes
for a row, the next ones find there. Sums over rows go on as sums of what each row, or some rows, make.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from nbgrad.core.aval import make_aval
from nbgrad.core.frozen import Value, replace
from nbgrad.core.tape import Var
from nbgrad.program.arrange import Arranged, arrange
from nbgrad.program.index import merged_stride
from nbgrad.program.nest import Load, Nest, Reduce, Select, Store, Strides

# Rows that are added up before what they make goes to memory.
MOST_ROWS, FEWEST_ROWS, PARTS = 64, 8, 512
ROW, COLUMN = frozenset({1}), frozenset({0})


class Phase(Value):
    """A nest over all rows and their points, or if not *points* over rows alone."""

    nest: Nest
    points: bool


class Rows(Value):
    """Phases that are gone through row by row.

    Attributes
    ----------
    rows, points : int
        The extents.
    phases : tuple of Phase
        Their reductions are over points, or over rows: then of ``span`` rows each.
    kept : frozenset of Var
        What must be in memory of all that they make.
    """

    rows: int
    points: int
    phases: tuple[Phase, ...]
    kept: frozenset[Var]

    @property
    def span(self) -> int:
        """Rows of one partial result of a sum over rows."""
        return max(FEWEST_ROWS, min(MOST_ROWS, self.rows // PARTS))

    @property
    def made(self) -> list[Var]:
        """What the phases make, whether it is kept or not."""
        found: list[Store | Reduce] = []
        for phase in self.phases:
            found += [*phase.nest.stores, *phase.nest.reductions]
        return [x.buffer for x in found]

    @property
    def reads(self) -> list[Var]:
        """What they read that is made by nobody here."""
        found = [v.buffer for p in self.phases for v in p.nest.body if isinstance(v, Load)]
        made = set(self.made)
        return [buffer for buffer in dict.fromkeys(found) if buffer not in made]

    @property
    def writes(self) -> list[Var]:
        return [buffer for buffer in self.made if buffer in self.kept]


class Group:
    """Phases of the same rows, while they are collected; ``after`` is what can only follow them."""

    def __init__(self, rows: int, points: int) -> None:
        self.rows, self.points = rows, points
        self.items: list[Arranged] = []
        self.phases: list[Phase] = []
        self.after: list[Arranged] = []
        self.places: dict[Var, Strides] = {}  # strides of rows and points in what is made here

    def add(self, item: Arranged) -> bool:
        """Take *item* in, if it can be."""
        nest = self.over_rows(item)
        if nest is None:
            return False
        later = {r.buffer for a in self.after for r in a.nest.reductions}
        for load in (v for v in nest.body if isinstance(v, Load)):
            if load.buffer in later:
                return False
            place = self.places.get(load.buffer)
            away = load.offset or isinstance(load, Bent)
            if place is not None and (away or place != load.strides):
                return False
        if nest.extents[1] == 1 and nest.reductions:
            if nest.stores:
                return False
            self.after.append(item)
            return True
        self.items.append(item)
        nest, following = self.by_rows(nest)
        self.after += following
        self.phases.append(Phase(nest, nest.extents[1] > 1))
        self.places |= {s.buffer: s.strides for s in nest.stores}
        self.places |= {r.buffer: r.strides for r in nest.reductions if nest.reduced == ROW}
        return True

    def over_rows(self, item: Arranged) -> Nest | None:
        """The nest of *item* over rows and points, or over rows; None if it is neither."""
        nest = item.nest
        if any(isinstance(v, Select) or getattr(v, "guards", ()) for v in nest.body):
            return None
        if any(s.offset for s in nest.stores):
            return None
        there = nest.size == self.rows * self.points and not nest.extents[-1] % self.points
        points = self.points if there else 1
        return regrouped(nest, points) if nest.size == self.rows * points else None

    def by_rows(self, nest: Nest) -> tuple[Nest, list[Arranged]]:
        """*nest* with sums of points, or of some rows; and nests that add these up."""
        if not nest.reductions or nest.reduced == ROW:
            return nest, []
        made, following = [], []
        whole = len(nest.reduced) == 2
        parts = -(-self.rows // Rows(self.rows, self.points, (), frozenset()).span)
        for r in nest.reductions:
            shape = (self.rows,) if whole else (parts, self.points)
            buffer = Var(make_aval(shape, r.dtype))
            strides = (1, 0) if whole else (self.points, 1)
            made.append(replace(r, buffer=buffer, strides=strides, finalize=""))
            load = Load(buffer, (1,) if whole else strides, 0, r.dtype)
            kept = (0,) if whole else (0, r.strides[1])
            last = replace(r, arg=0, strides=kept)
            following.append(arrange(Nest(shape, COLUMN, (load,), (), (last,))))
        reduced = ROW if whole else COLUMN
        return replace(nest, reduced=reduced, reductions=tuple(made)), following


class Bent(Load):
    """A load whose rows are not one stride apart: *along* are extents and strides that make up their number."""

    along: tuple[tuple[int, int], ...] = ()


def regrouped(nest: Nest, points: int) -> Nest | None:
    """*nest* with two loops, the inner one of so many *points*; None if it sums over some of the rows."""
    *outer, last = nest.extents
    extents = (*outer, last // points)
    summed = {k in nest.reduced for k, n in enumerate(extents) if n > 1}
    if len(summed) > 1:
        return None
    reduced = {0} if summed == {True} else set()
    if points > 1 and len(outer) in nest.reduced:
        reduced.add(1)

    def wide(x: Any) -> Any:
        *before, step = x.strides
        along = (*before, step * points)
        found = merged_stride(extents, along)
        if found is not None:
            return replace(x, strides=(found, step if points > 1 else 0))
        if not isinstance(x, Load):
            return None
        strides = (1, step if points > 1 else 0)
        return Bent(
            x.buffer, strides, x.offset, x.dtype, x.guards, tuple(zip(extents, along, strict=True))
        )

    stores = [wide(store) for store in nest.stores]
    reductions = [wide(r) for r in nest.reductions]
    if None in stores or None in reductions:
        return None
    body = tuple([wide(v) if isinstance(v, Load) else v for v in nest.body])
    rows = nest.size // points
    return Nest((rows, points), frozenset(reduced), body, tuple(stores), tuple(reductions))


def begins(item: Any) -> bool:
    """Whether rows may begin with *item*: a sum of each row, none of them cut."""
    if not isinstance(item, Arranged) or not item.cells or item.rows or item.block:
        return False
    return item.nest.reduced == {item.cells} and item.inner > 1


def collected(items: Sequence[Any], k: int) -> tuple[Group, int] | None:
    """The group that begins with item *k* and where it ends; None if that is no group."""
    if not begins(items[k]):
        return None
    group, stop = Group(items[k].n_cells, items[k].inner), k
    while stop < len(items) and isinstance(items[stop], Arranged) and group.add(items[stop]):
        stop += 1
    return (group, stop) if len(group.items) > 1 else None


def by_rows(
    items: Sequence[Any], outside: Iterable[Var], fits: Callable[[Rows], bool]
) -> Iterator[Any]:
    """*items* with those over the same rows as one, where that ``fits``.

    *outside* are the variables that somebody reads afterwards.
    """
    uses = Counter(outside)
    for item in items:
        uses.update(read_by(item))
    k = 0
    while k < len(items):
        found = collected(items, k)
        if found is not None:
            group, stop = found
            inside = Counter(var for item in group.items for var in read_by(item))
            made = Rows(group.rows, group.points, tuple(group.phases), frozenset())
            kept = {v for v in made.made if v not in uses or uses[v] > inside[v]}
            rows = replace(made, kept=frozenset(kept))
            if fits(rows):
                yield rows
                yield from group.after
                k = stop
                continue
        yield items[k]
        k += 1


def read_by(item: Any) -> set[Var]:
    """The buffers that a step reads."""
    if isinstance(item, Arranged):
        return {v.buffer for v in item.nest.body if isinstance(v, Load)}
    return set(item.reads)
