"""Reductions on CUDA: threads of a block share the points of a result, and add up in shared memory.

Of both forms of nest, each task has as many *lanes* as its length is worth, a power of two. A lane goes
through its part of the points in order; then eighths are combined. So the order depends
on the shape and on the number of threads of a block alone, and results are the same in every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbgrad.program.nest import Reduce
from nbgrad.program.text import combined, identity_text, is_wide
from nbgrad.program.values import ALL_CODES

if TYPE_CHECKING:
    from nbgrad.program.cuda_text import CudaEmitter

# Threads of a block, and the elements of each array in shared memory.
THREADS = 256
# Points that a lane should have at least, and columns that lie next to one another.
PER_LANE, COLUMNS = 4, 32
# Partial results that one thread puts together at a time: to wait for all takes longer than to add.
RADIX = 8


def power_of_two(n: int) -> int:
    """The smallest power of two that is not below *n*, up to ``THREADS``.

    Examples
    --------
    >>> power_of_two(1), power_of_two(9), power_of_two(10**6)
    (1, 16, 256)
    """
    return min(THREADS, 1 << max(0, n - 1).bit_length())


def partial_code(r: Reduce) -> str:
    """The dtype in which partial results are."""
    return "f8" if is_wide(r) else ALL_CODES[r.dtype]


def cells(e: CudaEmitter) -> int:
    """Each cell and block of a nest by lanes of one block of threads; return how many such blocks."""
    a = e.a
    length = min(a.block or a.reduced_size, a.reduced_size)
    lanes = power_of_two(-(-length // PER_LANE))
    e.integer("tasks", a.tasks)
    e.integer("lanes", lanes)
    e.line(1, f"kept = {product('n', range(a.cells))}")
    e.line(1, f"size = {product('n', range(a.cells, e.last + 1))}")
    e.line(1, "lanes = min(lanes, cuda.blockDim.x)")
    e.line(1, "many = cuda.blockDim.x // lanes")
    e.line(1, "lane = cuda.threadIdx.x % lanes")
    shared(e, lanes)
    e.line(1, "for base in range(cuda.blockIdx.x * many, tasks, cuda.gridDim.x * many):")
    e.line(2, "t = base + cuda.threadIdx.x // lanes")
    start(e)
    e.line(2, "if t < tasks:")
    e.line(3, f"b = {e.quotient('t', 'kept')}")
    e.line(3, "cell = t - b * kept")
    e.offsets(3, range(a.cells), "cell")
    e.line(3, "last = min((b + 1) * block, size)")
    e.line(3, "for q in range(b * block + lane, last, lanes):")
    along(e, 4, "q")
    combine(e, lanes, "1")
    e.line(2, "if lane == 0 and t < tasks:")
    e.result_offset(3)
    results(e)
    return -(-a.tasks * lanes // THREADS)


def along(e: CudaEmitter, depth: int, point: str) -> None:
    """The body of point *point* of the reduced range, rows and innermost loop as one."""
    if e.a.rows:
        e.line(depth, f"row = {e.quotient(point, f'n{e.last}')}")
        e.line(depth, f"j = {point} - row * n{e.last}")
        e.offsets(depth, range(e.a.cells, e.last), "row")
    else:
        e.line(depth, f"j = {point}")
    visit(e, depth)


def columns(e: CudaEmitter) -> int:
    """Each column of a nest by lanes of rows, neighbours next to one another."""
    a = e.a
    length = min(a.block or a.reduced_size, a.reduced_size)
    width = min(COLUMNS, power_of_two(a.inner)) if length > PER_LANE else power_of_two(a.inner)
    lanes = min(THREADS // width, power_of_two(-(-length // PER_LANE)))
    chunks = -(-a.inner // width)
    e.integer("groups", a.blocks * a.n_cells)
    e.integer("width", width)
    e.line(1, f"cells = {product('n', range(a.cells))}")
    e.line(1, f"kept = cells * n{e.last}")
    e.line(1, f"size = {product('n', range(a.cells, e.last))}")
    e.line(1, "width = min(width, cuda.blockDim.x)")
    e.line(1, "lanes = cuda.blockDim.x // width")
    e.line(1, "lane = cuda.threadIdx.x // width")
    e.line(1, f"chunks = (n{e.last} + width - 1) // width")
    shared(e, lanes)
    e.line(1, "for t in range(cuda.blockIdx.x, groups * chunks, cuda.gridDim.x):")
    e.line(2, f"group = {e.quotient('t', 'chunks')}")
    e.line(2, f"b = {e.quotient('group', 'cells')}")
    e.line(2, "cell = group - b * cells")
    e.line(2, "j = (t - group * chunks) * width + cuda.threadIdx.x % width")
    e.offsets(2, range(a.cells), "cell")
    start(e)
    e.line(2, f"if j < n{e.last}:")
    e.line(3, "last = min((b + 1) * block, size)")
    e.line(3, "for row in range(b * block + lane, last, lanes):")
    e.offsets(4, range(a.cells, e.last), "row")
    visit(e, 4)
    combine(e, lanes, "width")
    e.line(2, f"if lane == 0 and j < n{e.last}:")
    e.result_offset(3)
    results(e)
    e.threads = width * lanes
    return a.blocks * a.n_cells * chunks


def product(name: str, loops: range) -> str:
    return " * ".join(f"{name}{k}" for k in loops) or "1"


def visit(e: CudaEmitter, depth: int) -> None:
    """Compute one point, and add it to what the lane has."""
    e.row_offsets(depth)
    e.body(depth, bool(e.guards))
    for number, r in enumerate(e.nest.reductions):
        acc = f"acc{number}"
        e.line(depth, f"{acc} = {combined(r, acc, e.operands[r.arg])}")


def shared(e: CudaEmitter, lanes: int) -> None:
    """An array of shared memory for each reduction, on a line of its own, as the simulator needs."""
    for number, r in enumerate(e.nest.reductions if lanes > 1 else ()):
        e.line(1, f"s{number} = cuda.shared.array({THREADS}, {partial_code(r)})")


def start(e: CudaEmitter) -> None:
    for number, r in enumerate(e.nest.reductions):
        e.line(2, f"acc{number} = {identity_text(r)}")


def combine(e: CudaEmitter, lanes: int, apart: str) -> None:
    """What the lanes of a task have, in lane 0; lanes lie *apart*."""
    if lanes == 1:
        return
    tree(e, 2, list(enumerate(e.nest.reductions)), apart)


def tree(e: CudaEmitter, depth: int, mine: list[tuple[int, Reduce]], apart: str) -> None:
    """What the lanes of a task have, put together eight by eight in shared memory."""
    for k, _ in mine:
        e.line(depth, f"s{k}[cuda.threadIdx.x] = acc{k}")
    e.line(depth, "cuda.syncthreads()")
    e.line(depth, "left = lanes")
    e.line(depth, "while left > 1:")
    e.line(depth + 1, f"few = max(1, left // {RADIX})")
    e.line(depth + 1, "if lane < few:")
    e.line(depth + 2, "for other in range(few, left, few):")
    there = "cuda.threadIdx.x + other" + (f" * {apart}" if apart != "1" else "")
    for k, r in mine:
        e.line(depth + 3, f"acc{k} = {combined(r, f'acc{k}', f's{k}[{there}]')}")
    for k, _ in mine:
        e.line(depth + 2, f"s{k}[cuda.threadIdx.x] = acc{k}")
    e.line(depth + 1, "cuda.syncthreads()")
    e.line(depth + 1, "left = few")


def results(e: CudaEmitter) -> None:
    for number, r in enumerate(e.nest.reductions):
        place = e.column(number, r) if e.a.columns else f"r{number}_o"
        if not e.a.columns:
            place = e.element(f"r{number}", r.buffer, place)
        total = f"acc{number}"
        e.line(3, f"{place} = {e.final(number, r, total)}")
