"""Many rows written, or added, by index on CUDA: sorted once by row, in time linear in their number, the same bits always.

Indices are sorted by the digits of their rows, the lowest first; equal ones stay in their order. A block has a chunk of
them, of which each thread counts, and then places, those with a digit of its own: nothing depends on which thread comes
first. What is added is cut in pieces of a fixed number; a piece writes the rows that lie within it, and what it
has of a row that goes on in the next piece is added up afterwards, in order.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core.aval import make_aval
from nbgrad.core.tape import Var
from nbgrad.program.cuda_library import StageEmitter
from nbgrad.program.values import ALL_CODES, HALF
from nbgrad.program.views import LibraryCall, Operand, Stage

# Indices that one thread looks through sooner than they are sorted.
FEW = 4096
# Digits of a row number, one for each thread of a block.
DIGITS = 256
# Indices of a chunk at least, chunks at most, and how many a thread reads ahead.
CHUNK, CHUNKS, AHEAD = 2048, 1024, 8
# Indices of a piece at least, and pieces that keep a card busy.
PIECE, PIECES = 64, 1 << 14
# What the card adds to memory in one step.
ATOMIC = ("f8", "f4", "i8", "i4", "u8", "u4")


def staged(call: LibraryCall) -> list[Stage] | None:
    """The kernels of a sum, or of writing, by many indices; None of others."""
    if call.kernel not in ("scatter_add", "put") or not call.eqn.out.aval.size:
        return None
    index, v = call.operands[1], call.operands[0 if call.kernel == "scatter_add" else 2]
    code = ALL_CODES[call.eqn.out.aval.dtype]
    if call.kernel == "scatter_add" and settings.current.cuda_atomics and code in ATOMIC:
        return ByAtomics(call, index, v).stages() if index.extents[0] else None
    return ByRows(call, index, v).stages() if index.extents[0] > FEW else None


class ByRows:
    """Writes the kernels."""

    def __init__(self, call: LibraryCall, index: Operand, v: Operand) -> None:
        self.call, self.index, self.v = call, index, v
        self.y = call.eqn.out
        self.size, self.width = self.y.aval.shape[0], v.extents[1]
        self.count = v.extents[0]
        self.made: list[Stage] = []
        self.number = np.dtype(np.int32 if max(self.count, self.size) < 1 << 31 else np.int64)
        self.chunk = max(CHUNK, -(-self.count // CHUNKS))
        self.chunks = -(-self.count // self.chunk)
        self.piece = max(PIECE, self.count // PIECES)
        self.pieces = -(-self.count // self.piece)

    def buffer(self, size: int, dtype: np.dtype[Any] | None = None) -> Var:
        return Var(make_aval((size,), dtype or self.number))

    @cached_property
    def places(self) -> Var:
        """The row of each index."""
        return self.buffer(self.count)

    def stages(self) -> list[Stage]:
        """All kernels, in order."""
        self.begin()
        order, rows, weight = None, None, 1
        while weight == 1 or weight < self.size:
            last = weight * DIGITS >= self.size
            order, rows = self.sort(order, weight, last)
            weight *= DIGITS
        assert order is not None and rows is not None
        if self.call.kernel == "put":
            self.write(order, rows)
        else:
            self.add(order, rows)
        return self.made

    # ------------------------------------------------------------------------------- of a kernel

    def emitter(self, what: str, tasks: int, **numbers: int) -> StageEmitter:
        e = StageEmitter(self.call, tasks, what)
        for name, value in numbers.items():
            e.integer(name, value)
        return e

    def done(
        self,
        e: StageEmitter,
        reads: tuple[Var, ...],
        *writes: Var,
        blocks: int = 0,
        sizes: tuple[int, ...] = (),
    ) -> None:
        self.made.append(Stage(self.call, e.done(blocks, sizes), reads, writes))

    def value(self, e: StageEmitter, k: str) -> str:
        """Element ``j`` of row *k* of what is written."""
        return e.value("v", self.v.buffer, f"{k} * v_0 + j * v_1")

    # ------------------------------------------------------------------------------------ stages

    def begin(self) -> None:
        """The rows that the indices say, and what the result is where none does."""
        total = self.size * self.width
        e = self.emitter("begin", max(total, self.count), size=self.size, count=self.count)
        e.integer("total", total)
        e.integer("width", self.width)
        e.operand("index", self.index)
        e.pointer("place_", self.places, 0)
        e.pointer("y", self.y, 0)
        reads: tuple[Var, ...] = (self.index.buffer,)
        start = f"{ALL_CODES[self.y.aval.dtype]}(0)"
        if self.call.kernel == "put":
            x = self.call.operands[0]
            e.operand("x", x)
            start, reads = e.element("x", x.buffer, "k * x_0 + j * x_1"), (*reads, x.buffer)
        e.line(1, "for t in range(cuda.grid(1), max(total, count), cuda.gridsize(1)):")
        e.line(2, "if t < total:")
        e.line(3, f"k = {e.quotient('t', 'width')}")
        e.line(3, "j = t - k * width")
        e.line(3, f"{e.element('y', self.y, 't')} = {start}")
        e.line(2, "if t < count:")
        e.checked(3, e.element("index", self.index.buffer, "t * index_0"))
        e.line(3, f"{e.element('place_', self.places, 't')} = max(place, 0)")
        self.done(e, reads, self.places, self.y, sizes=(self.size,))

    def sort(self, order: Var | None, weight: int, last: bool) -> tuple[Var, Var | None]:
        """Sort by the digit of *weight*; if it is the *last*, say the rows in order too."""
        ahead = -(-self.chunks // AHEAD) * AHEAD
        counts, totals = self.buffer(ahead * DIGITS), self.buffer(DIGITS)
        new, rows = self.buffer(self.count), self.buffer(self.count) if last else None
        self.counted(order, weight, counts, ahead)
        self.summed(counts, totals, ahead)
        e = self.digits("place", order, weight, self.chunks)
        e.pointer("counts", counts, 0)
        e.pointer("totals", totals, 0)
        e.pointer("new", new, 0)
        e.line(3, f"to = {e.element('counts', counts, 'c * digits + digit')}")
        e.line(3, "for d in range(digit):")
        e.line(4, f"to += {e.element('totals', totals, 'd')}")
        self.look(e, order)
        e.line(5, f"{e.element('new', new, 'to')} = k")
        if rows is not None:
            e.pointer("rows", rows, 0)
            e.line(5, f"{e.element('rows', rows, 'to')} = row")
        e.line(5, "to += 1")
        reads = (self.places, counts, totals, *([order] if order else []))
        self.done(e, reads, new, *([rows] if rows else []), blocks=self.chunks)
        return new, rows

    def digits(self, what: str, order: Var | None, weight: int, chunks: int) -> StageEmitter:
        """The loops over chunks, and the digits of a thread."""
        e = self.emitter(
            what, max(self.count, self.size), count=self.count, chunk=self.chunk, chunks=chunks
        )
        e.integer("digits", DIGITS)
        e.integer("weight", weight)
        e.pointer("place_", self.places, 0)
        if order is not None:
            e.pointer("order", order, 0)
        e.line(1, "for c in range(cuda.blockIdx.x, chunks, cuda.gridDim.x):")
        e.line(2, "for digit in range(cuda.threadIdx.x, digits, cuda.blockDim.x):")
        return e

    def look(self, e: StageEmitter, order: Var | None) -> None:
        """The loop over those of a chunk that have the digit: index ``k`` of ``row``."""
        e.line(3, "for i in range(c * chunk, min((c + 1) * chunk, count)):")
        e.line(4, f"k = {'i' if order is None else e.element('order', order, 'i')}")
        e.line(4, f"row = {e.element('place_', self.places, 'k')}")
        e.line(4, f"if {e.quotient('row', 'weight')} % digits == digit:")

    def counted(self, order: Var | None, weight: int, counts: Var, chunks: int) -> None:
        """How many there are of each digit in each chunk."""
        e = self.digits("count", order, weight, chunks)
        e.pointer("counts", counts, 0)
        e.line(3, "many = 0")
        self.look(e, order)
        e.line(5, "many += 1")
        e.line(3, f"{e.element('counts', counts, 'c * digits + digit')} = many")
        reads = (self.places, *([order] if order else []))
        self.done(e, reads, counts, blocks=chunks)

    def summed(self, counts: Var, totals: Var, chunks: int) -> None:
        """How many there are in the chunks before each, and in all."""
        e = self.emitter("sum", DIGITS, digits=DIGITS, chunks=chunks)
        e.pointer("counts", counts, 0)
        e.pointer("totals", totals, 0)
        e.line(1, "for digit in range(cuda.grid(1), digits, cuda.gridsize(1)):")
        e.line(2, "many = 0")
        e.line(2, f"for c in range(0, chunks, {AHEAD}):")
        at = [e.element("counts", counts, f"(c + {k}) * digits + digit") for k in range(AHEAD)]
        for k, place in enumerate(
            at
        ):  # all are read before one is written: none waits for another
            e.line(3, f"n{k} = {place}")
        for k, place in enumerate(at):
            e.line(3, f"{place} = many")
            e.line(3, f"many += n{k}")
        e.line(2, f"{e.element('totals', totals, 'digit')} = many")
        self.done(e, (counts,), counts, totals, blocks=8)

    def row(self, e: StageEmitter, rows: Var, i: str) -> str:
        """Row number *i* of those in order."""
        return e.element("rows", rows, i)

    def write(self, order: Var, rows: Var) -> None:
        """Of equal rows the last one is written."""
        e = self.emitter("write", self.count * self.width, count=self.count, width=self.width)
        self.sorted(e, order, rows)
        e.line(1, "for t in range(cuda.grid(1), count * width, cuda.gridsize(1)):")
        e.line(2, f"i = {e.quotient('t', 'width')}")
        e.line(2, "j = t - i * width")
        e.line(2, f"row = {e.element('rows', rows, 'i')}")
        after = e.element("rows", rows, "min(i + 1, count - 1)")
        e.line(2, f"if i == count - 1 or {after} != row:")
        e.line(3, f"k = {e.element('order', order, 'i')}")
        place = e.element("y", self.y, "row * width + j")
        e.line(3, f"{place} = {e.element('v', self.v.buffer, 'k * v_0 + j * v_1')}")
        self.done(e, (order, rows, self.v.buffer), self.y)

    def sorted(self, e: StageEmitter, order: Var, rows: Var) -> None:
        """The params of what is sorted."""
        e.operand("v", self.v)
        e.pointer("y", self.y, 0)
        e.pointer("order", order, 0)
        e.pointer("rows", rows, 0)

    def pieced(self, what: str, order: Var, rows: Var, heads: Var, tails: Var) -> StageEmitter:
        """The loop over pieces and columns, with the row at the end of a piece."""
        numbers = {"count": self.count, "width": self.width, "piece": self.piece}
        e = self.emitter(what, self.pieces * self.width, **numbers, total=self.pieces * self.width)
        self.sorted(e, order, rows)
        e.pointer("heads", heads, 0)
        e.pointer("tails", tails, 0)
        e.line(1, "for t in range(cuda.grid(1), total, cuda.gridsize(1)):")
        e.line(2, f"p = {e.quotient('t', 'width')}")
        e.line(2, "j = t - p * width")
        e.line(2, "first = p * piece")
        e.line(2, "last = min(first + piece, count)")
        return e

    def add(self, order: Var, rows: Var) -> None:
        """Sums of pieces, then of the rows that go on in others."""
        dtype = np.dtype(np.float32) if self.y.aval.dtype == HALF else self.y.aval.dtype
        heads, tails = (self.buffer(self.pieces * self.width, dtype) for _ in range(2))
        e = self.pieced("add", order, rows, heads, tails)
        out, code = ALL_CODES[self.y.aval.dtype], ALL_CODES[dtype]
        zero, y = f"{code}(0)", e.element("y", self.y, "row * width + j")
        head, tail = e.element("heads", heads, "t"), e.element("tails", tails, "t")
        e.block(
            2,
            f"""
row = {self.row(e, rows, "first")}
began = first > 0 and {self.row(e, rows, "max(first - 1, 0)")} == row
acc = {zero}
for i in range(first, last):
    here = {self.row(e, rows, "i")}
    if here != row:
        if began:
            {head} = acc
        else:
            {y} = {out}(acc)
        began = False
        acc = {zero}
        row = here
    k = {e.element("order", order, "i")}
    acc = {code}(acc + {self.value(e, "k")})
if began:
    {head} = acc
elif last < count and {self.row(e, rows, "min(last, count - 1)")} == row:
    {tail} = acc
else:
    {y} = {out}(acc)
""",
        )
        self.done(e, (order, rows, self.v.buffer), self.y, heads, tails)
        if self.pieces > 1:
            self.joined(order, rows, heads, tails)

    def joined(self, order: Var, rows: Var, heads: Var, tails: Var) -> None:
        """Rows that begin in one piece and end in another."""
        e = self.pieced("join", order, rows, heads, tails)
        out, code = ALL_CODES[self.y.aval.dtype], ALL_CODES[heads.aval.dtype]
        e.block(
            2,
            f"""
row = {self.row(e, rows, "last - 1")}
goes = last < count and {self.row(e, rows, "min(last, count - 1)")} == row
began = first == 0 or {self.row(e, rows, "max(first - 1, 0)")} != row
if goes and began:
    acc = {e.element("tails", tails, "t")}
    q = t
    while goes:
        q += width
        acc = {code}(acc + {e.element("heads", heads, "q")})
        last += piece
        goes = last < count and {self.row(e, rows, "min(last, count - 1)")} == row
    {e.element("y", self.y, "row * width + j")} = {out}(acc)
""",
        )
        self.done(e, (rows, heads, tails), self.y)


class ByAtomics(ByRows):
    """Writes the kernels of a sum whose order is chance: bits are others in each run."""

    def stages(self) -> list[Stage]:
        """Zeros, and what is added to them."""
        self.begin()
        total = self.count * self.width
        e = self.emitter("atomic", total, width=self.width, total=total)
        e.operand("v", self.v)
        e.pointer("y", self.y, 0)
        e.pointer("place_", self.places, 0)
        e.line(1, "for t in range(cuda.grid(1), total, cuda.gridsize(1)):")
        e.line(2, f"k = {e.quotient('t', 'width')}")
        e.line(2, "j = t - k * width")
        e.line(2, f"row = {e.element('place_', self.places, 'k')}")
        code = ALL_CODES[self.y.aval.dtype]
        e.views.add(code)
        e.line(2, f"cuda.atomic.add(m_{code}, u8(y + row * width + j), {self.value(e, 'k')})")
        self.done(e, (self.places, self.v.buffer), self.y)
        return self.made
