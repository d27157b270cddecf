"""Two vectors at a time in loops that compute exponentials, sines and their like.

Their polynomials are chains of dependent operations, which keep a processor waiting; the elements of two
vectors are independent. LLVM decides by the number of registers that a loop would need, and so leaves alone just the
loops that wait most: the gradient of a chain of twenty takes 0.7 of the time by two vectors, though it
spills. Loops say so by the same metadata as ``#pragma clang loop interleave_count(2)`` in C.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

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
_CALL: Final = re.compile(rf"\b(?:{'|'.join(SCALAR)})\(")
_TILE: Final = re.compile(rf"\b(?:{'|'.join(NAMES)})\(")
_NAME: Final = r'"[^"]+"|[\w.$-]+'
_LABEL: Final = re.compile(rf"({_NAME}):")
_TARGET: Final = re.compile(rf"label %({_NAME})")
# Above all numbers that the module has given to its own notes.
_FIRST: Final = 1_000_000


def note(source: str) -> str | None:
    """What to say of the loops of a kernel of this source, if anything."""
    if _TILE.search(source):
        return AS_WRITTEN
    features = host().features.split(",")
    narrow = "+avx2" in features and "+avx512f" not in features
    return BY_TWO if len(_CALL.findall(source)) >= (FEW if narrow else MANY) else None


def marked(module: str, function: str, note: str = BY_TWO) -> str:
    """The text of *module* in which the *note* is at each loop of *function*."""
    lines = module.splitlines()
    start = next(
        k for k, line in enumerate(lines) if line.startswith("define ") and f"@{function}(" in line
    )
    for n, k in enumerate(sorted(_back(lines, start, lines.index("}", start)))):
        own = _FIRST + 2 * n  # each loop's note is its own
        lines[k] += f", !llvm.loop !{own}"
        lines.append(f"!{own} = distinct !{{!{own}, !{own + 1}}}")
        lines.append(f"!{own + 1} = !{{{note}}}")
    return "\n".join(lines)


def _back(lines: list[str], start: int, end: int) -> Iterator[int]:
    """The lines of jumps back to the head of a loop: to a block on the way from the entry."""
    jumps: dict[str, list[tuple[str, int]]] = {}
    block = entry = ""
    for k in range(start + 1, end):
        if label := _LABEL.match(lines[k]):
            block = label[1]
            entry = entry or block
        elif lines[k].startswith("  br "):
            jumps[block] = [(target, k) for target in _TARGET.findall(lines[k])]
    way, left, seen = [entry], [iter(jumps.get(entry, ()))], {entry}
    while left:
        target, line = next(left[-1], (None, 0))
        if target is None:
            left.pop()
            way.pop()
        elif target in way:
            yield line
        elif target not in seen:
            seen.add(target)
            way.append(target)
            left.append(iter(jumps.get(target, ())))
