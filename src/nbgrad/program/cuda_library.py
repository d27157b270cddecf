"""Library kernels on CUDA: gathers, scatters of few, arg-reductions.

A sum by index has no atomics: each thread owns some rows of a column, and looks through all indices for its own,
in their order. So bits are those of the CPU, whatever the indices are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nbgrad.core.frozen import replace
from nbgrad.core.tape import Var
from nbgrad.program.arrange import Arranged
from nbgrad.program.cuda_reduce import PER_LANE, RADIX, THREADS, power_of_two
from nbgrad.program.cuda_text import CudaEmitter
from nbgrad.program.nest import Nest
from nbgrad.program.text import CudaKernel
from nbgrad.program.values import ALL_CODES, HALF
from nbgrad.program.views import LibraryCall, Operand

# Threads among which the rows of a sum by index are shared.
OWNERS = 1 << 14


class LibraryEmitter(CudaEmitter):
    """Writes the kernel of a call; names of operands and of their strides are params."""

    def __init__(self, call: LibraryCall, tasks: int) -> None:
        super().__init__(Arranged(Nest((max(1, tasks),), frozenset(), ()), 0, 0))
        self.call = call
        self.tasks = tasks

    def name(self) -> str:
        return self.call.kernel

    def operand(self, name: str, x: Operand) -> None:
        """The params ``name`` and ``name_0``, ``name_1`` ...: where it is, and its strides."""
        self.pointer(name, x.buffer, x.offset)
        for k, stride in enumerate(x.strides):
            self.integer(f"{name}_{k}", stride)

    def value(self, name: str, buffer: Var, place: str) -> str:
        """An element to compute with: of 16 bits as float32."""
        text = self.element(name, buffer, place)
        return f"f4({text})" if buffer.aval.dtype == HALF else text

    def result(self, place: str) -> str:
        return self.element("y", self.call.eqn.out, place)

    def block(self, depth: int, text: str) -> None:
        """Lines of *text*, indented further."""
        for line in text.strip("\n").splitlines():
            self.line(depth, line)

    def done(self, blocks: int = 0, sizes: tuple[int, ...] = ()) -> CudaKernel:
        if sizes:
            self.integer("fault", 0)  # a kernel writes here if an index is out of bounds
            self.heads[-1] = f"    fault = at + {len(self.params) - 1}"
        made = self.finished(blocks or -(-self.tasks // self.threads))
        return replace(made, sizes=sizes)

    def checked(self, depth: int, index: str) -> None:
        """``place``, the row that *index* says; or a fault."""
        self.line(depth, f"place = i8({index})")
        self.line(depth, "if place < -size or place >= size:")
        self.line(depth + 1, "m_i8[u8(fault)] = (max(min(place, 1 << 38), -(1 << 38)) << 8) | 1")
        self.line(depth + 1, "place = -1")
        self.line(depth, "elif place < 0:")
        self.line(depth + 1, "place += size")


class StageEmitter(LibraryEmitter):
    """Writes one of the kernels of a call that is several."""

    def __init__(self, call: LibraryCall, tasks: int, what: str) -> None:
        super().__init__(call, tasks)
        self.what = what

    def name(self) -> str:
        return f"{self.call.kernel}_{self.what}"


def take(call: LibraryCall) -> CudaKernel:
    x, index = call.operands
    size, width = x.extents
    e = LibraryEmitter(call, index.extents[0] * width)
    e.pointer("y", call.eqn.out, 0)
    e.operand("x", x)
    e.operand("index", index)
    e.integer("size", size)
    e.integer("width", width)
    e.integer("total", e.tasks)
    e.line(1, "for t in range(cuda.grid(1), total, cuda.gridsize(1)):")
    e.line(2, f"k = {e.quotient('t', 'width')}")
    e.checked(2, e.element("index", index.buffer, "k * index_0"))
    e.line(2, "if place >= 0:")
    source = e.element("x", x.buffer, "place * x_0 + (t - k * width) * x_1")
    e.line(3, f"{e.result('t')} = {source}")
    return e.done(sizes=(size,))


def owned(call: LibraryCall, size: int, width: int) -> LibraryEmitter:
    """The loop over parts of columns: ``j``, and the rows from ``first`` to ``last``."""
    parts = max(1, min(size, OWNERS // max(1, width)))
    e = LibraryEmitter(call, parts * width)
    e.pointer("y", call.eqn.out, 0)
    e.integer("size", size)
    e.integer("width", width)
    e.integer("rows", -(-size // parts))
    e.integer("total", e.tasks)
    return e


def by_index(e: LibraryEmitter, v: Operand, index: Operand, start: str, add: bool) -> CudaKernel:
    """Each part of a column starts as *start*, then takes, or adds, what the indices say."""
    e.operand("v", v)
    e.operand("index", index)
    e.integer("count", v.extents[0])
    e.line(1, "for t in range(cuda.grid(1), total, cuda.gridsize(1)):")
    e.line(2, f"part = {e.quotient('t', 'width')}")
    e.line(2, "j = t - part * width")
    e.line(2, "first = part * rows")
    e.line(2, "last = min(first + rows, size)")
    e.line(2, "for k in range(first, last):")
    e.line(3, f"{e.result('k * width + j')} = {start}")
    e.line(2, "for k in range(count):")
    e.checked(3, e.element("index", index.buffer, "k * index_0"))
    e.line(3, "if first <= place and place < last:")
    out, here, there = e.call.eqn.out, "place * width + j", "k * v_0 + j * v_1"
    text = e.element("v", v.buffer, there)
    if add:
        text = f"{e.value('y', out, here)} + {e.value('v', v.buffer, there)}"
        text = f"{ALL_CODES[out.aval.dtype]}({text})"
    e.line(4, f"{e.result(here)} = {text}")
    return e.done(sizes=(e.call.eqn.out.aval.shape[0],))


def scatter_add(call: LibraryCall) -> CudaKernel:
    v, index = call.operands
    e = owned(call, call.eqn.out.aval.shape[0], v.extents[1])
    return by_index(e, v, index, f"{ALL_CODES[call.eqn.out.aval.dtype]}(0)", True)


def put(call: LibraryCall) -> CudaKernel:
    x, index, v = call.operands
    e = owned(call, *x.extents)
    e.operand("x", x)
    return by_index(e, v, index, e.element("x", x.buffer, "k * x_0 + j * x_1"), False)


# The place of the best of each row: of equal ones the first, of NaN the first NaN.
ARG: Final = """
lanes = min(lanes, cuda.blockDim.x)
many = cuda.blockDim.x // lanes
lane = cuda.threadIdx.x % lanes
for base in range(cuda.blockIdx.x * many, total, cuda.gridDim.x * many):
    t = min(base + cuda.threadIdx.x // lanes, total - 1)
    outer = {outer}
    place = min(lane, n - 1)
    k = place
    top = {code}({read})
    for k in range(lane + lanes, n, lanes):
        value = {code}({read})
        if {better}:
            top, place = value, k
    tops[cuda.threadIdx.x] = top
    places[cuda.threadIdx.x] = place
    cuda.syncthreads()
    left = lanes
    while left > 1:
        few = max(1, left // {radix})
        if lane < few:
            for other in range(cuda.threadIdx.x + few, cuda.threadIdx.x - lane + left, few):
                value, k = tops[other], places[other]
                if {better} or {tie}:
                    top, place = value, k
            tops[cuda.threadIdx.x] = top
            places[cuda.threadIdx.x] = place
        cuda.syncthreads()
        left = few
    if lane == 0:
        {result} = place
"""


def arg(sign: str) -> Callable[[LibraryCall], CudaKernel]:
    """The kernel of what is best if it is ``>`` or ``<`` all others."""

    def make(call: LibraryCall) -> CudaKernel:
        (x,) = call.operands
        outer, n, inner = x.extents
        lanes = power_of_two(-(-n // PER_LANE)) if inner == 1 else 1
        code = ALL_CODES[x.buffer.aval.dtype]
        code = {"b1": "u1", "f2": "f4"}.get(code, code)
        e = LibraryEmitter(call, outer * inner)
        e.pointer("y", call.eqn.out, 0)
        e.operand("x", x)
        for name, value in (("n", n), ("inner", inner), ("total", e.tasks), ("lanes", lanes)):
            e.integer(name, value)
        e.line(1, f"tops = cuda.shared.array({THREADS}, {code})")
        e.line(1, f"places = cuda.shared.array({THREADS}, i8)")
        better = f"(value {sign} top or (value != value and top == top))"
        tie = "((value == top or (value != value and top != top)) and k < place)"
        read = e.element("x", x.buffer, "outer * x_0 + k * x_1 + (t - outer * inner) * x_2")
        quotient, result = e.quotient("t", "inner"), e.result("t")
        names = {"code": code, "read": read, "better": better, "tie": tie, "radix": RADIX}
        e.block(1, ARG.format(outer=quotient, result=result, **names))
        return e.done(blocks=-(-e.tasks * lanes // THREADS))

    return make


KERNELS: Final[dict[str, Callable[[LibraryCall], CudaKernel]]] = {
    "take": take,
    "scatter_add": scatter_add,
    "put": put,
    "argmax": arg(">"),
    "argmin": arg("<"),
}


def cuda_call(call: LibraryCall) -> CudaKernel | None:
    """The kernel of *call*; None if there is none, or nothing to compute."""
    make = KERNELS.get(call.kernel)
    return make(call) if make and call.eqn.out.aval.size else None
