"""CUDA: the text of kernels for a graphics card, from the same nests as those of the CPU.

Every kernel is called with one number and the memory of the device: ``kernel(at, m_i8, m_f8, ...)``.
Its arguments are words of a table in that memory, from word *at* on. ``m_f8`` is the memory as
elements of float64, and so on: element k is at the address ``8 * k``. On a card these are arrays that begin
at address 0; in the simulator they are views of one array. See ``backends/cuda/README.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.tape import Var
from nbgrad.program.arrange import Arranged
from nbgrad.program.cuda_reduce import THREADS, cells, columns
from nbgrad.program.cuda_wide import points, together
from nbgrad.program.emit import Emitter
from nbgrad.program.text import CudaKernel, Number, Pointer
from nbgrad.program.values import ALL_CODES

# Blocks that keep the largest cards busy, twice over: more would read the table more often.
BLOCKS = 2112
# Points that are numbered in 32 bits: division takes a third of the time.
NARROW = 1 << 31
# The views of memory in the order in which kernels are given them.
VIEWS = ("i8", "f8", "f4", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1", "f2", "z8", "z16")


def words(args: Sequence[Pointer | Number], address: Callable[[Var], int]) -> list[int]:
    """The words of a kernel's part of the table, given where buffers are.

    A pointer is a number of elements of its dtype, from address 0 on. An integer is as it is; of a
    floating-point number, float32 too, the word is the bits of a float64.
    """
    return [_word(arg, address) for arg in args]


def _word(arg: Pointer | Number, address: Callable[[Var], int]) -> int:
    if isinstance(arg, Pointer):
        place = address(arg.buffer) + arg.offset
        count, rest = divmod(place, arg.buffer.aval.dtype.itemsize)
        if rest:
            raise ValueError(f"address {place} is not aligned for {arg.buffer.aval.dtype}")
        return count
    if arg.code[0] != "f":
        return (int(arg.value) + (1 << 63)) % (1 << 64) - (1 << 63)
    with np.errstate(over="ignore"):
        rounded = np.float64(np.float32(arg.value) if arg.code == "f4" else arg.value)
    return int(rounded.view(np.int64))


class CudaEmitter(Emitter):
    """Writes the source of one kernel for CUDA: words of a table instead of parameters."""

    def __init__(self, arranged: Arranged) -> None:
        super().__init__(arranged)
        self.narrow = self.nest.size < NARROW
        self.views: set[str] = set()
        self.threads = THREADS
        self.heads: list[str] = []  # the lines that read words

    # ------------------------------------------------------------------------------- parameters

    def param(self, name: str, code: str, arg: Pointer | Number) -> str:
        if code[0] == "z" and isinstance(arg, Number):  # two words
            both = ("real", arg.value.real), ("imag", arg.value.imag)
            parts = [self.number(f"{name}_{part}", value, "f8") for part, value in both]
            self.heads.append(f"    {name} = {code}(complex({', '.join(parts)}))")
            return name
        word = f"at + {len(self.params)}" if self.params else "at"
        text = f"m_i8[{word}]"
        if code[0] == "f":
            self.views.add("f8")
            text = f"m_f8[{word}]" if code == "f8" else f"{code}(m_f8[{word}])"
        elif code == "b1":
            text = f"{text} != 0"
        elif code != "i8" and not code.endswith("*"):
            text = f"{code}({text})"
        self.heads.append(f"    {name} = {text}")
        return super().param(name, code, arg)

    def number(self, name: str, value: Any, code: str) -> str:
        return self.param(name, code, Number(value, code))

    def pointer(self, name: str, buffer: Var, offset: int) -> str:
        dtype = buffer.aval.dtype
        return self.param(name, "i8", Pointer(buffer, offset * dtype.itemsize))

    def element(self, name: str, buffer: Var, place: str) -> str:
        code = ALL_CODES[buffer.aval.dtype]
        self.views.add(code)
        return f"m_{code}[u8({name if place == '0' else f'{name} + {place}'})]"

    # ------------------------------------------------------------------------------------ whole

    def kernel(self) -> CudaKernel:
        """The kernel: one thread a point, then as many points further as there are threads."""
        self.declare()
        self.uniforms()
        if self.nest.reductions:
            blocks = columns(self) if self.a.columns else cells(self)
        elif (count := together(self)) > 1:
            blocks = -(-points(self, count) // THREADS)
        else:
            self.points()
            blocks = -(-self.nest.size // THREADS)
        return self.finished(blocks)

    def finished(self, blocks: int) -> CudaKernel:
        """What was written as a kernel."""
        views = tuple(v for v in VIEWS if v in {*self.views, "i8"})
        name = self.name()
        header = f"def {name}(at{''.join(f', m_{v}' for v in views)}):"
        source = "\n".join([header, *self.heads, *self.lines]) + "\n"
        args: Any = tuple([arg for _, _, arg in self.params])
        return CudaKernel(source, name, views, args, self.threads, max(1, min(blocks, BLOCKS)))

    def points(self) -> None:
        """Each point of the nest by one thread."""
        extents = " * ".join(f"n{k}" for k in range(self.last + 1))
        single = self.last == 0
        point = "j" if single else "t"
        self.line(1, f"size = {extents}")
        self.line(1, f"{point} = cuda.grid(1)")
        self.line(1, f"while {point} < size:")
        if not single:
            self.line(2, f"row = {self.quotient('t', f'n{self.last}')}")
            self.line(2, f"j = t - row * n{self.last}")
            self.offsets(2, range(self.last), "row")
        self.row_offsets(2)
        self.body(2, bool(self.guards))
        self.line(2, f"{point} += cuda.gridsize(1)")

    # ------------------------------------------------------------------------------------ indices

    def quotient(self, a: str, b: str) -> str:
        """Of two numbers that are not negative: unsigned division is much faster."""
        code = "u4" if self.narrow else "u8"
        return f"i8({code}({a}) // {code}({b}))"

    def offsets(self, depth: int, loops: range, index: str) -> None:
        rest = index
        for k in reversed(loops):
            if k == loops.start:
                self.line(depth, f"at{k} = {rest}")
            else:
                self.line(depth, f"rest{k} = {self.quotient(rest, f'n{k}')}")
                self.line(depth, f"at{k} = {rest} - rest{k} * n{k}")
                rest = f"rest{k}"
