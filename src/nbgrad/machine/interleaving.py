"""Two vectors at a time in loops that compute exponentials, sines and their like.

Their polynomials are chains of dependent operations, which keep a processor waiting; the elements of two
vectors are independent. LLVM decides by the number of registers that a loop would need, and so leaves alone just the
loops that wait most: the gradient of a chain of twenty takes 0.7 of the time by two vectors, though it
spills. Loops say so by the same metadata as ``#pragma clang loop interleave_count(2)`` in C.
"""

from __future__ import annotations

from typing import Final

from nbgrad.core.lazy import pattern
from nbgrad.machine.lljit import host
from nbgrad.machine.tiles import NAMES
from nbgrad.machine.vecmath import SCALAR

COUNT: Final = 2
BY_TWO: Final = f'!"llvm.loop.interleave.count", i32 {COUNT}'
# Tiles are as wide as there are registers: LLVM would do eight steps of their loops at a time, which have ten, and
# keep in memory what it counts with. A product by 10x10 takes 0.8 of the time.
AS_WRITTEN: Final = '!"llvm.loop.unroll.disable"'
# Calls from which on it pays, measured: with AVX2 one takes 0.6 to 1.0 of the time; with AVX-512, where LLVM
# does it by itself for most short loops, one or two take 0.9 to 1.07, and longer ones 0.7 to 0.9.
FEW: Final = 1
MANY: Final = 3
_CALL: Final = pattern(rf"\b(?:{'|'.join(SCALAR)})\(")
_TILE: Final = pattern(rf"\b(?:{'|'.join(NAMES)})\(")


def calls(source: str) -> int:
    """How many functions of mathematics are written out in a kernel of this source."""
    return len(_CALL.findall(source))


def note(source: str) -> str | None:
    """What to say of the loops of a kernel of this source, if anything."""
    if _TILE.search(source):
        return AS_WRITTEN
    features = host().features.split(",")
    narrow = "+avx2" in features and "+avx512f" not in features
    return BY_TWO if calls(source) >= (FEW if narrow else MANY) else None
