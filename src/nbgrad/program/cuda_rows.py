"""Rows on CUDA: what a nest makes of a row stays with the thread that made it, for the next nests.

The lanes of a row each have every so manyth of its points, in every phase the same. So what one phase leaves for
another is in shared memory, in places that no other thread looks at; only sums of a row are exchanged.
"""

from __future__ import annotations

from typing import Any

from nbgrad.core import frozen
from nbgrad.core.frozen import replace
from nbgrad.core.tape import Var
from nbgrad.program.arrange import Arranged
from nbgrad.program.cuda_reduce import THREADS, partial_code, power_of_two, tree
from nbgrad.program.cuda_text import CudaEmitter
from nbgrad.program.nest import Compute, Constant, Load, Nest, Reduce, Select, Store, Value
from nbgrad.program.rows import COLUMN, ROW, Bent, Rows
from nbgrad.program.text import CudaKernel, combined, identity_text, inline
from nbgrad.program.values import ALL_CODES

# Bytes of shared memory that a block may take, and points that a lane should have at least.
SHARED, PER_LANE = 40_000, 4


class Part(frozen.Value):
    """A phase as parts of the one nest that has the values of all phases."""

    values: range
    stores: range
    reductions: range
    points: bool
    columns: bool


def joined(rows: Rows) -> tuple[Nest, list[Part]]:
    """All phases as one nest, their values numbered on."""
    body: list[Value] = []
    stores: list[Store] = []
    reductions: list[Reduce] = []
    parts = []
    for phase in rows.phases:
        first, nest = len(body), phase.nest
        counts = len(body), len(stores), len(reductions)
        for value in nest.body:
            assert not isinstance(value, Select), "rows have no windows"
            if isinstance(value, Compute):
                value = replace(value, args=tuple([first + a for a in value.args]))
            body.append(value)
        stores += [replace(s, arg=first + s.arg) for s in nest.stores]
        reductions += [replace(r, arg=first + r.arg) for r in nest.reductions]
        ends = len(body), len(stores), len(reductions)
        values, kept, sums = map(range, counts, ends)
        parts.append(Part(values, kept, sums, phase.points, nest.reduced == COLUMN))
    nest = Nest((rows.rows, rows.points), ROW, tuple(body), tuple(stores), tuple(reductions))
    return nest, parts


class RowsEmitter(CudaEmitter):
    """Writes the kernel of ``Rows``."""

    def __init__(self, rows: Rows) -> None:
        nest, self.parts = joined(rows)
        super().__init__(Arranged(nest, 1, 0))
        self.rows_ = rows
        self.sums = {k for part in self.parts if part.columns for k in part.reductions}
        # Sums over rows are of one row after the other: then all threads are lanes of it.
        self.lanes = power_of_two(rows.points if self.sums else -(-rows.points // PER_LANE))
        self.slots = -(-rows.points // self.lanes)
        self.threads = self.lanes if self.sums else THREADS
        self.cached: dict[
            int, str
        ] = {}  # the array that keeps a value of a point for later phases
        self.totals: dict[int, str] = {}  # loads of what is one number a row
        self.again: dict[int, int] = {}  # loads of what an earlier value has, by number
        self.held: dict[int, int] = {}  # loads of what is the same in all rows: the first of each
        self.connect()
        if self.bytes() > SHARED:
            self.held = {}

    # -------------------------------------------------------------------- what is already there

    def connect(self) -> None:
        """Find for each load whether a phase before it has made, or loaded, the value."""
        made: dict[Var, tuple[str, Any]] = {}
        loaded: dict[Any, int] = {}
        for part in self.parts:
            mine: dict[Any, int] = {}
            for number in part.values:
                value = self.nest.body[number]
                if isinstance(value, Load):
                    self.connect_load(number, value, made, loaded, mine)
            loaded.update({key: loaded.get(key, number) for key, number in mine.items()})
            for k in part.stores:
                store = self.nest.stores[k]
                made[store.buffer] = ("point" if part.points else "row", store.arg)
            for k in part.reductions:
                made[self.nest.reductions[k].buffer] = ("total", f"total{k}")

    def connect_load(
        self, number: int, load: Load, made: dict[Var, Any], loaded: dict[Any, int], mine: Any
    ) -> None:
        key = load
        kind, what = made.get(load.buffer, ("", 0))
        if kind == "total":
            self.totals[number] = what
        elif kind == "row":
            self.again[number] = what
        elif kind == "point":
            self.keep(number, what)
        elif load.strides[1] and not load.strides[0]:
            self.held[number] = loaded.setdefault(key, number)
        elif all(load.strides):
            if key in loaded:
                self.keep(number, loaded[key])
            else:
                mine.setdefault(key, number)

    def keep(self, number: int, source: int) -> None:
        """Let the load *number* be what the value *source* of an earlier phase was."""
        if source in self.again:  # itself a load of such
            source = self.again[source]
        self.again[number] = source
        self.cached.setdefault(source, f"c{source}")

    def bytes(self) -> int:
        """Shared memory that a block takes."""
        kept = [*self.cached, *dict.fromkeys(self.held.values())]
        sizes = [self.nest.body[k].dtype.itemsize for k in kept]
        sizes += [self.nest.reductions[k].dtype.itemsize for k in self.sums]
        others = len(self.nest.reductions) - len(self.sums)
        return self.threads * (self.slots * sum(sizes) + 8 * others)

    # ------------------------------------------------------------------------------------ whole

    def kernel(self) -> CudaKernel:
        self.declare()
        self.uniforms()
        self.line(1, "lanes = min(lanes, cuda.blockDim.x)")
        self.line(1, "lane = cuda.threadIdx.x % lanes")
        self.line(1, "leader = cuda.threadIdx.x - lane")
        self.arrays()
        self.hold()
        many = self.threads // self.lanes
        if self.sums:
            self.in_spans()
            return self.finished(-(-self.rows_.rows // self.rows_.span))
        self.line(1, "many = cuda.blockDim.x // lanes")
        self.line(1, "for base in range(cuda.blockIdx.x * many, n0, cuda.gridDim.x * many):")
        # Lanes without a row compute the last one again: all threads have to meet.
        self.line(2, "at0 = min(base + cuda.threadIdx.x // lanes, n0 - 1)")
        self.row(2)
        return self.finished(-(-self.rows_.rows // many))

    def hold(self) -> None:
        """Load what is the same in all rows."""
        if self.held:
            self.slot_loop(1)
        for number in dict.fromkeys(self.held.values()):
            value = self.nest.body[number]
            assert isinstance(value, Load)
            place = self.address(f"x{number}", value.strides)
            self.line(2, f"h{number}[k] = {self.element(f'x{number}', value.buffer, place)}")
        if self.held:
            self.line(2, "k += cuda.blockDim.x")

    def in_spans(self) -> None:
        """Some rows one after the other, whose sums are kept by point."""
        self.line(
            1, "for part in range(cuda.blockIdx.x, (n0 + span - 1) // span, cuda.gridDim.x):"
        )
        self.slot_loop(2)
        for k in sorted(self.sums):
            self.line(
                3,
                f"q{k}[k] = {identity_text(self.nest.reductions[k], ALL_CODES[self.nest.reductions[k].dtype])}",
            )
        self.line(3, "k += cuda.blockDim.x")
        self.line(2, "for at0 in range(part * span, min((part + 1) * span, n0)):")
        self.row(3)
        self.slot_loop(2)
        for k in sorted(self.sums):
            place = self.element(f"r{k}", self.nest.reductions[k].buffer, "part * n1 + j")
            self.line(3, f"{place} = q{k}[k]")
        self.line(3, "k += cuda.blockDim.x")

    def slot_loop(self, depth: int) -> None:
        self.line(depth, "k = cuda.threadIdx.x")
        self.line(depth, "for j in range(lane, n1, lanes):")

    def from_memory(self, number: int) -> bool:
        """Whether a load is one: not of what is already there."""
        if number in self.again or number in self.totals:
            return False
        return self.held.get(number, number) == number

    def declare(self) -> None:
        for k, n in enumerate(self.nest.extents):
            self.integer(f"n{k}", n)
        self.integer("lanes", self.lanes)
        if self.sums:
            self.integer("span", self.rows_.span)
        for number, value in enumerate(self.nest.body):
            if isinstance(value, Load) and self.from_memory(number):
                self.pointer(f"x{number}", value.buffer, value.offset)
                if isinstance(value, Bent):
                    self.bends(number, value)
                self.strides(f"x{number}", value.strides)
            elif isinstance(value, Constant) and not inline(value.value):
                code = ALL_CODES[value.dtype]
                self.number(f"c{number}", value.value, code)
        for number, store in enumerate(self.nest.stores):
            if store.buffer in self.rows_.kept:
                self.pointer(f"y{number}", store.buffer, 0)
                self.strides(f"y{number}", store.strides)
        for number, r in enumerate(self.nest.reductions):
            if r.buffer in self.rows_.kept:
                self.pointer(f"r{number}", r.buffer, 0)
                if number not in self.sums:
                    self.strides(f"r{number}", r.strides)
            if r.finalize:
                self.number(f"m{number}", r.n, ALL_CODES[r.dtype])

    def arrays(self) -> None:
        """Shared memory; each array on a line of its own, as the simulator needs."""
        size = self.threads * self.slots
        held = {number: f"h{number}" for number in self.held.values()}
        for number, name in (*self.cached.items(), *held.items()):
            code = ALL_CODES[self.nest.body[number].dtype]
            self.line(1, f"{name} = cuda.shared.array({size}, {code})")
        for number, r in enumerate(self.nest.reductions):
            if number in self.sums:
                self.line(1, f"q{number} = cuda.shared.array({size}, {ALL_CODES[r.dtype]})")
            elif self.lanes > 1:
                self.line(1, f"s{number} = cuda.shared.array({self.threads}, {partial_code(r)})")

    # ------------------------------------------------------------------------------------- a row

    def row(self, depth: int) -> None:
        """All phases of the row ``at0``."""
        for number, value in enumerate(self.nest.body):
            there = number in self.again or number in self.totals
            if isinstance(value, Load) and value.strides[0] and not there:
                self.line(depth, f"x{number}_o = {self.start(depth, number, value)}")
                if not value.strides[1]:
                    place = self.element(f"x{number}", value.buffer, f"x{number}_o")
                    self.line(depth, f"v{number} = {place}")
                    self.operands[number] = f"v{number}"
        for k, store in enumerate(self.nest.stores):
            if store.buffer in self.rows_.kept:
                self.line(depth, f"y{k}_o = at0 * y{k}_s0")
        for part in self.parts:
            if part.points:
                self.over_points(depth, part)
            else:
                self.statements_of(depth, part)
                self.stores_of(depth, part)
        if len(self.sums) < len(self.nest.reductions) and self.lanes > 1:
            self.line(depth, "cuda.syncthreads()")

    def start(self, depth: int, number: int, load: Load) -> str:
        """Where the row ``at0`` starts."""
        if not isinstance(load, Bent):
            return f"at0 * x{number}_s0"
        rest, terms = "at0", []
        for k in reversed(range(len(load.along))):
            here = rest
            if k:
                self.line(depth, f"x{number}_q{k} = {self.quotient(rest, f'x{number}_n{k}')}")
                here = f"({rest} - x{number}_q{k} * x{number}_n{k})"
                rest = f"x{number}_q{k}"
            if load.along[k][1]:
                terms.append(f"{here} * x{number}_a{k}")
        return " + ".join(terms)

    def bends(self, number: int, load: Bent) -> None:
        """The params of ``start``."""
        for k, (extent, stride) in enumerate(load.along):
            if k:
                self.integer(f"x{number}_n{k}", extent)
            if stride:
                self.integer(f"x{number}_a{k}", stride)

    def statements_of(self, depth: int, part: Part) -> None:
        for number in part.values:
            value = self.nest.body[number]
            if number in self.totals:
                self.operands[number] = self.totals[number]
            elif number in self.again and self.again[number] not in self.cached:
                self.operands[number] = f"v{self.again[number]}"
            elif number not in self.operands:
                self.line(depth, f"v{number} = {self.right(number, value)}")
                self.operands[number] = f"v{number}"
            if number in self.cached and part.points:
                self.line(depth, f"{self.cached[number]}[k] = {self.operands[number]}")

    def right(self, number: int, value: Value) -> str:
        if isinstance(value, Load):
            if number in self.again:
                return f"{self.cached[self.again[number]]}[k]"
            if number in self.held:
                return f"h{self.held[number]}[k]"
            return self.element(
                f"x{number}", value.buffer, self.address(f"x{number}", value.strides)
            )
        assert isinstance(value, Compute)
        return self.text(value)

    def stores_of(self, depth: int, part: Part) -> None:
        for k in part.stores:
            store = self.nest.stores[k]
            if store.buffer not in self.rows_.kept:
                continue
            place = self.element(f"y{k}", store.buffer, self.address(f"y{k}", store.strides))
            if part.points:
                self.line(depth, f"{place} = {self.operands[store.arg]}")
            else:
                self.line(depth, "if lane == 0:")
                self.line(depth + 1, f"{place} = {self.operands[store.arg]}")

    def over_points(self, depth: int, part: Part) -> None:
        """One phase: each lane goes through its points, then what they sum up to is put together."""
        mine = [(k, self.nest.reductions[k]) for k in part.reductions]
        for k, r in mine if not part.columns else ():
            self.line(depth, f"acc{k} = {identity_text(r)}")
        self.slot_loop(depth)
        self.statements_of(depth + 1, part)
        self.stores_of(depth + 1, part)
        for k, r in mine:
            target = f"q{k}[k]" if part.columns else f"acc{k}"
            self.line(depth + 1, f"{target} = {combined(r, target, self.operands[r.arg])}")
        self.line(depth + 1, "k += cuda.blockDim.x")
        if not part.columns:
            self.totals_of(depth, mine)

    def totals_of(self, depth: int, mine: list[tuple[int, Reduce]]) -> None:
        if mine and self.lanes > 1:
            tree(self, depth, mine, "1")
        for k, r in mine:
            found = f"s{k}[leader]" if self.lanes > 1 else f"acc{k}"
            self.line(depth, f"total{k} = {self.final(k, r, found)}")
            if r.buffer in self.rows_.kept:
                place = self.element(f"r{k}", r.buffer, f"at0 * r{k}_s0")
                self.line(depth, "if lane == 0:")
                self.line(depth + 1, f"{place} = total{k}")


def fits(rows: Rows) -> bool:
    """Whether the points of a row have room in shared memory."""
    return RowsEmitter(rows).bytes() <= SHARED


def cuda_kernel(item: Arranged | Rows) -> CudaKernel:
    """The kernel of *item*."""
    return (RowsEmitter(item) if isinstance(item, Rows) else CudaEmitter(item)).kernel()
