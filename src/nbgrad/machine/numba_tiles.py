"""Numba's form of tiles of products of matrices, a side of which is short: sums in vector registers.

LLVM makes vectors of inner loops. Here the loop inside is that over what is summed, and vectors go across
it, or along it with several sums at a time: so a number that is loaded serves several products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from llvmlite import ir
from numba import types

from nbgrad.machine.lljit import lanes
from nbgrad.machine.numba_inside import intrinsic
from nbgrad.machine.tiles import DOTS, SIZES, VECTORS, WIDE

I32, I64 = ir.IntType(32), ir.IntType(64)
FAST: Final = ("reassoc", "contract")


class _Tile:
    """What the code of one tile is written with: a builder, and its vectors."""

    def __init__(self, context: Any, builder: Any, pointer: Any) -> None:
        self.builder = builder
        self.element = context.get_value_type(pointer.dtype)
        self.bytes = pointer.dtype.bitwidth // 8
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


def _wide(rows: int, vectors: int) -> Any:
    """Return an intrinsic: so many rows and vectors of a product, ``c (+)= a @ b``."""

    def typing(
        typingctx: Any, c: Any, at_c: Any, ldc: Any, a: Any, at_a: Any, row: Any, col: Any, b: Any,
        at_b: Any, ldb: Any, k: Any, accumulate: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            c, at_c, ldc, a, at_a, row, col, b, at_b, ldb, k, accumulate = args
            tile = _Tile(context, builder, sig.args[0])
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
                    found += [
                        tile.add_product(s, x, y) for s, y in zip(before, right, strict=True)
                    ]
                return found

            found = tile.summed(k, first, step, 1)
            for i, place in enumerate(places):
                for v in range(vectors):
                    tile.store(found[i * vectors + v], place, v * tile.lanes)
            return context.get_dummy_value()

        words = (types.int64,) * 9
        kinds = (c, *words[:2], a, *words[:3], b, *words[:4])
        return types.void(*kinds), generate

    typing.__name__ = typing.__qualname__ = WIDE.format(rows, vectors)
    return intrinsic(typing)


def _dots(rows: int, columns: int) -> Any:
    """Return an intrinsic: so many rows of a times so many of b, ``c (+)= a @ b.T``, k being whole vectors."""

    def typing(
        typingctx: Any, c: Any, at_c: Any, ldc: Any, a: Any, at_a: Any, lda: Any, b: Any, at_b: Any,
        ldb: Any, k: Any, accumulate: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            c, at_c, ldc, a, at_a, lda, b, at_b, ldb, k, accumulate = args
            tile = _Tile(context, builder, sig.args[0])
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
                    given = [start, found[i * columns + j]]
                    builder.store(builder.call(reduce, given, fastmath=("reassoc",)), place)
            return context.get_dummy_value()

        words = (types.int64,) * 8
        kinds = (c, *words[:2], a, *words[:2], b, *words[:4])
        return types.void(*kinds), generate

    typing.__name__ = typing.__qualname__ = DOTS.format(rows, columns)
    return intrinsic(typing)


TILE_NAMES: Final = {
    **{WIDE.format(r, v): _wide(r, v) for r in SIZES for v in VECTORS},
    **{DOTS.format(r, n): _dots(r, n) for r in SIZES for n in SIZES},
}
