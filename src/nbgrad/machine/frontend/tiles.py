"""Tiles of products of matrices, a side of which is short: sums in vector registers.

LLVM makes vectors of inner loops. Here the loop inside is that over what is summed, and vectors go across
it, or along it with several sums at a time: so a number that is loaded serves several products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from llvmlite import ir

from nbgrad.machine.frontend.instructions import Instruction
from nbgrad.machine.frontend.kinds import Typed, llvm_type, size
from nbgrad.machine.lljit import lanes
from nbgrad.machine.tiles import DOTS, SIZES, VECTORS, WIDE

I32, I64 = ir.IntType(32), ir.IntType(64)
FAST: Final = ("reassoc", "contract")


class _Tile:
    """What the code of one tile is written with: a builder, and its vectors."""

    def __init__(self, builder: Any, kind: str) -> None:
        code = kind[:-1]
        self.builder = builder
        self.element = llvm_type(code)
        self.bytes = size(code) // 8
        self.lanes = lanes(self.bytes)
        self.vector = ir.VectorType(self.element, self.lanes)
        self.zero = self.vector([self.element(0)] * self.lanes)

    def at(self, pointer: Any, start: Any, *terms: tuple[Any, Any]) -> Any:
        """``pointer + start + sum(count * stride)``."""
        for count, stride in terms:
            count = I64(count) if isinstance(count, int) else count
            start = self.builder.add(start, self.builder.mul(count, stride))
        return self.builder.gep(pointer, [start])

    def load(self, place: Any, along: int = 0) -> Any:
        """A vector that begins *along* elements behind *place*."""
        place = self.builder.gep(place, [I64(along)])
        place = self.builder.bitcast(place, self.vector.as_pointer())
        return self.builder.load(place, align=self.bytes)

    def store(self, value: Any, place: Any, along: int = 0) -> None:
        place = self.builder.gep(place, [I64(along)])
        place = self.builder.bitcast(place, self.vector.as_pointer())
        self.builder.store(value, place, align=self.bytes)

    def everywhere(self, value: Any) -> Any:
        """A vector of one number."""
        one = self.builder.insert_element(self.vector(ir.Undefined), value, I32(0))
        zeros = ir.Constant(ir.VectorType(I32, self.lanes), [I32(0)] * self.lanes)
        return self.builder.shuffle_vector(one, one, zeros)

    def add_product(self, total: Any, x: Any, y: Any) -> Any:
        product = self.builder.fmul(x, y, flags=FAST)
        return self.builder.fadd(total, product, flags=FAST)

    def summed(self, count: Any, first: Sequence[Any], step: Any, by: int) -> list[Any]:
        """The sums after ``step(q, sums)`` for each q below *count*, which is not 0, by so many."""
        builder = self.builder
        before, loop = builder.block, builder.append_basic_block()
        after = builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        q = builder.phi(I64)
        q.add_incoming(I64(0), before)
        sums = [builder.phi(self.vector) for _ in first]
        for phi, x in zip(sums, first, strict=True):
            phi.add_incoming(x, before)
        found = step(q, sums)
        following = builder.add(q, I64(by))
        for phi, x in zip((q, *sums), (following, *found), strict=True):
            phi.add_incoming(x, builder.block)
        more = builder.icmp_signed("<", following, count)
        builder.cbranch(more, loop, after)
        builder.position_at_end(after)
        return list(found)


def _wide(rows: int, vectors: int) -> Instruction:
    """So many rows and vectors of a product, ``c (+)= a @ b``."""

    def generate(builder: Any, *given: Typed) -> Any:
        tile = _Tile(builder, given[0].kind)
        c, at_c, ldc, a, at_a, row, col, b, at_b, ldb, k, accumulate = [x.value for x in given]
        add = builder.icmp_signed("!=", accumulate, I64(0))
        places = [tile.at(c, at_c, (i, ldc)) for i in range(rows)]
        first = [
            builder.select(add, tile.load(place, v * tile.lanes), tile.zero)
            for place in places
            for v in range(vectors)
        ]

        def step(q: Any, sums: Sequence[Any]) -> list[Any]:
            line = tile.at(b, at_b, (q, ldb))
            right = [tile.load(line, v * tile.lanes) for v in range(vectors)]
            found = list[Any]()
            for i in range(rows):
                x = tile.everywhere(builder.load(tile.at(a, at_a, (i, row), (q, col))))
                before = sums[i * vectors : (i + 1) * vectors]
                found += [tile.add_product(s, x, y) for s, y in zip(before, right, strict=True)]
            return found

        found = tile.summed(k, first, step, 1)
        for i, place in enumerate(places):
            for v in range(vectors):
                tile.store(found[i * vectors + v], place, v * tile.lanes)

    return Instruction(WIDE.format(rows, vectors), "none", None, generate, 12)


def _dots(rows: int, columns: int) -> Instruction:
    """So many rows of a times so many of b, ``c (+)= a @ b.T``, k being whole vectors."""

    def generate(builder: Any, *given: Typed) -> Any:
        tile = _Tile(builder, given[0].kind)
        c, at_c, ldc, a, at_a, lda, b, at_b, ldb, k, accumulate = [x.value for x in given]
        lines = [tile.at(a, at_a, (i, lda)) for i in range(rows)]
        lines += [tile.at(b, at_b, (j, ldb)) for j in range(columns)]

        def step(q: Any, sums: Sequence[Any]) -> list[Any]:
            xs = [tile.load(builder.gep(line, [q])) for line in lines]
            left, right = xs[:rows], xs[rows:]
            pairs = [(x, y) for x in left for y in right]
            return [tile.add_product(s, *xy) for s, xy in zip(sums, pairs, strict=True)]

        found = tile.summed(k, [tile.zero] * (rows * columns), step, tile.lanes)
        add = builder.icmp_signed("!=", accumulate, I64(0))
        name = f"llvm.vector.reduce.fadd.v{tile.lanes}f{8 * tile.bytes}"
        kind = ir.FunctionType(tile.element, [tile.element, tile.vector])
        reduce = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        for i in range(rows):
            for j in range(columns):
                place = tile.at(c, at_c, (i, ldc), (1, I64(j)))
                start = builder.select(add, builder.load(place), tile.element(0))
                pair = [start, found[i * columns + j]]
                builder.store(builder.call(reduce, pair, fastmath=("reassoc",)), place)

    return Instruction(DOTS.format(rows, columns), "none", None, generate, 11)


TILES: Final = (
    *[_wide(r, v) for r in SIZES for v in VECTORS],
    *[_dots(r, n) for r in SIZES for n in SIZES],
)
