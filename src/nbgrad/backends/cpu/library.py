"""Library kernels: matrix products, gathers, scatters and arg-reductions as instructions.

Each is one hand-written text with the kernel ABI, compiled for the dtypes it meets. It takes
pointers, extents and strides, so it reads views where they lie. An operation names its kernel in
its declaration (``ops.kinds.Library``); ``KERNELS`` says by that name how this backend calls it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import numpy as np

from nbgrad.backends.cpu import blas, lapack, library_text, services
from nbgrad.backends.cpu.launch import (
    Arguments,
    BlasThreads,
    Launch,
    address,
    integers,
    launch,
    pointer,
)
from nbgrad.core.forks import ThreadLock, in_child
from nbgrad.core.frozen import Value, replace
from nbgrad.machine.compile import Kernel, native, remembered
from nbgrad.program.loops import Chosen, Loop, Whole
from nbgrad.program.nests import Call
from nbgrad.program.text import ENDED, NO_MEMORY, Emitted, Number, Pointer, Status
from nbgrad.program.values import CODES
from nbgrad.program.views import LibraryCall, Operand

# The tapes of a while_loop, by what says which of them failed; the loop itself comes after these.
NAMES: Final = ("cond", "body", "back")
# Work of one task, in elements moved or multiplied: the boundaries that the executor splits at.
GRAIN: Final = 16384
PRODUCTS: Final = 50_000
# A product this large keeps all of BLAS's threads busy: a batch of them is not split.
LARGE_PRODUCT: Final = 4_000_000
# Columns of a scatter that make it worth splitting: each task then writes whole cache lines.
COLUMNS: Final = 64


def serves(call: LibraryCall) -> bool:
    """Whether this backend has the kernel; what it lacks is run by the reference."""
    return call.kernel in KERNELS


def launches(call: LibraryCall, number: int) -> list[Launch]:
    """Return the instructions of a call.

    Parameters
    ----------
    number : int
        From 1, below 2**24; a kernel that fails puts it in the low bits of the status word.
    """
    return KERNELS[call.kernel](call, number)


def held(loop: Loop, tier: str) -> Emitted | None:
    """The kernel that *loop* runs as; on blocks none, unless a step is more than a frame holds."""
    if tier == "block" and not any(isinstance(step, Call) for step in loop.inner.steps):
        return None
    return loop.kernel


def failure(status: int, steps: Sequence[Any], tier: str = "fused") -> Exception:
    """Return the exception that a status word stands for, in a program of *steps*."""
    call = steps[(status & 0xFFFFFF) - 1]
    if isinstance(call, Chosen):
        return failure(status >> 32, call.programs[status >> 24 & 0xFF].steps, tier)
    if isinstance(call, Whole):
        if call.kernel is not None:
            return _of_loop(status >> 24, call.kernel.sizes)
        which = status >> 24 & 3
        if which == len(NAMES):
            return _of_loop(status >> 26, ())
        return failure(status >> 26, call.inner[NAMES[which]].steps, tier)
    if isinstance(call, Loop):
        if kernel := held(call, tier):
            return _of_loop(status >> 24, kernel.sizes)
        return failure(status >> 24, call.inner.steps, tier)
    if call.kernel in lapack.ERRORS:
        batch = call.eqn.inputs[0].aval.shape[:-2]
        where = tuple(map(int, np.unravel_index(status >> 24, batch))) if batch else ()
        suffix = f" (matrix {where} of the batch)" if where else ""
        return np.linalg.LinAlgError(lapack.ERRORS[call.kernel] + suffix)
    if call.kernel == "verified":
        return call.eqn.params["judge"].fault(status >> 24)  # type: ignore[no-any-return]
    if call.kernel == "native":
        return call.eqn.params["function"].fault(status >> 24)  # type: ignore[no-any-return]
    taken = call.kernel == "take"
    size = call.operands[0].extents[0] if taken else call.eqn.out.aval.shape[0]
    return _no_row(status >> 24, size)


def _of_loop(fault: int, sizes: Sequence[int]) -> Exception:
    """What a fault of a kernel that holds a loop stands for."""
    number = fault & 0xFF
    if number == ENDED:
        return services.raised()  # type: ignore[no-any-return]
    if number == NO_MEMORY:
        return MemoryError(
            "there is no memory for what a while_loop carried: max_bytes= keeps a part, and runs the "
            "rest again; max_steps= bounds the number of runs"
        )
    return _no_row(fault >> 8, sizes[number])


def _no_row(index: int, size: int) -> Exception:
    return IndexError(f"index {index} is out of bounds for axis 0 with size {size}")


def _take(call: LibraryCall, number: int) -> list[Launch]:
    x, index = call.operands
    size, width = x.extents
    args: Arguments = (
        Pointer(call.eqn.out, 0), pointer(x), pointer(index), Status(),
        *integers(number, size, *x.strides, *index.strides, width),
    )  # fmt: skip
    grain = max(1, GRAIN // max(1, width))
    return [launch(library_text.TAKE, "take", args, index.extents[0], grain)]


def _scatter_add(call: LibraryCall, number: int) -> list[Launch]:
    v, index = call.operands
    size = call.eqn.out.aval.shape[0]
    count, width = v.extents
    args: Arguments = (
        Pointer(call.eqn.out, 0), pointer(v), pointer(index), Status(),
        *integers(number, size, count, *v.strides, *index.strides, width),
    )  # fmt: skip
    grain = _columns(width, size + count)
    return [launch(library_text.SCATTER_ADD, "scatter_add", args, width, grain)]


def _put(call: LibraryCall, number: int) -> list[Launch]:
    x, index, v = call.operands
    size, width = x.extents
    count = v.extents[0]
    args: Arguments = (
        Pointer(call.eqn.out, 0), pointer(x), pointer(index), pointer(v), Status(),
        *integers(number, size, *x.strides, count, *v.strides, *index.strides, width),
    )  # fmt: skip
    grain = _columns(width, size + count)
    return [launch(library_text.PUT, "put", args, width, grain)]


def _verified(call: LibraryCall, number: int) -> list[Launch]:
    x, facts = call.operands
    rows = call.eqn.sig.operands[1].shape
    args: Arguments = (
        Pointer(call.eqn.out, 0), pointer(x), pointer(facts), Status(),
        *integers(number, *x.strides, facts.extents[0] // rows[-1], rows[-1]),
        *integers(call.eqn.params["judge"].flags, *facts.strides),
    )  # fmt: skip
    return [launch(library_text.VERIFIED, "verified", args, x.extents[0], GRAIN)]


@remembered
def _native_kernel() -> Kernel:
    code, origin = native(library_text.NATIVE, "native", ("i8", "i8", "i8*"), result="i8")
    return Kernel("native", code.symbol, code.address, code, origin, 0.0)


def _native(call: LibraryCall, number: int) -> list[Launch]:
    params = call.eqn.params
    code = params["function"].code_of(params)
    words: list[Any] = []
    for x in call.operands:
        words += [pointer(x), *integers(*x.extents)]
    words += integers(*params["statics"])
    count = len(params["function"].results) if params["values"] else 0
    for out in (*call.eqn.outs[count:], *call.eqn.outs[:count]):
        words += [Pointer(out, 0), *integers(*out.aval.shape)]
    words += integers(*[0] * (0 if count else code.values))
    args: Arguments = (Status(), Number(number), address(code.address), *words)
    return [Launch(_native_kernel(), args, 1, 0)]


def _columns(width: int, rows: int) -> int:
    """Columns of a task; 0: all of them in one."""
    return max(COLUMNS, GRAIN // max(1, rows)) if width >= 2 * COLUMNS else 0


def _arg(flip: int) -> Callable[[LibraryCall, int], list[Launch]]:
    def make(call: LibraryCall, number: int) -> list[Launch]:
        (x,) = call.operands
        outer, n, inner = x.extents
        args: Arguments = (
            Pointer(call.eqn.out, 0),
            pointer(x),
            *integers(flip, n, inner, *x.strides),
        )
        dtype = x.buffer.aval.dtype
        text = library_text.arg(call.kernel, dtype.kind, CODES[dtype])
        # Side by side, results are found 32 at a time, from rows of four cache lines.
        least = 1 if inner == 1 else 64
        return [launch(text, call.kernel, args, outer * inner, max(least, GRAIN // max(1, n)))]

    return make


def _recurrence(call: LibraryCall, number: int) -> list[Launch]:
    a, b = call.operands
    outer, n, inner = b.extents
    args: Arguments = (
        Pointer(call.eqn.out, 0), pointer(a), pointer(b),
        *integers(int(call.eqn.params["reverse"]), n, inner, *a.strides, *b.strides),
    )  # fmt: skip
    least = 1 if inner == 1 else COLUMNS
    grain = max(least, GRAIN // max(1, n))
    return [launch(library_text.RECURRENCE, "recurrence", args, outer * inner, grain)]


# ---------------------------------------------------------------------------------------- products


class Product(Value):
    """A batch of products: extents, layouts, and batch strides of c, a and b in elements."""

    m: int
    n: int
    k: int
    outer: int
    inner: int
    lds: tuple[int, int, int]
    flags: tuple[int, int]
    outer_steps: tuple[int, ...]
    steps: tuple[int, ...]


def product(a: Operand, b: Operand) -> Product:
    """Describe a product, with as few and as large matrices as its strides allow."""
    outer, inner, m, k = a.extents
    n = b.extents[3]
    (a0, a1, row, col), (b0, b1, b_row, b_col) = a.strides, b.strides
    # One matrix on the right for all of the batch: the batch is more rows on the left.
    if b1 == 0 and (down := _stacked(inner, m, a1, row, k, col)):
        inner, m, a1, row = 1, m * inner, 0, down
    if inner == 1 and b0 == 0 and (down := _stacked(outer, m, a0, row, k, col)):
        outer, m, a0, row = 1, m * outer, 0, down
    c0, c1 = inner * m * n, m * n
    if inner == 1:
        outer, inner, c1, a1, b1 = 1, outer, c0, a0, b0
    elif outer == 1 or (a0 == inner * a1 and b0 == inner * b1):
        outer, inner = 1, outer * inner
    lda, flag_a = _layout(m, k, row, col)
    ldb, flag_b = _layout(k, n, b_row, b_col)
    return Product(
        m, n, k, outer, inner, (n, lda, ldb), (flag_a, flag_b), (c0, a0, b0), (c1, a1, b1)
    )


def _stacked(count: int, m: int, step: int, row: int, k: int, col: int) -> int:
    """Stride of the rows of *count* matrices as one, or 0 if they do not lie like that."""
    down = row if m > 1 else step
    fits = step == m * down and blas.operand(m * count, k, down, col) is not None
    return down if count > 1 and fits else 0


def _layout(rows: int, cols: int, row: int, col: int) -> tuple[int, int]:
    found = blas.operand(rows, cols, row, col)
    assert found or not rows * cols, "the operand should have been copied"
    return found or (1, blas.NORMAL)


def _matmul(call: LibraryCall, number: int) -> list[Launch]:
    out = call.eqn.out
    if out.aval.size == 0:
        return []
    p = product(*call.operands)
    code = CODES[out.aval.dtype]
    form = blas.product_form(p.m, p.n, p.k, *p.flags, max(p.lds), code in blas.TILED)
    kernel = blas.gemm_kernel(code, form)
    gemm, gemv = blas.gemm_routines(code) if form in blas.ROUTINES else (0, 0)
    head: Arguments = (
        address(gemm),
        address(gemv),
        Pointer(out, 0),
        *map(pointer, call.operands),
    )
    tail = integers(p.m, p.n, p.k, *p.lds, *p.flags)
    if p.outer == 1:
        args: Arguments = (*head, *tail, *integers(*p.steps, 0))
        return _in_batches(Launch(kernel, args, p.inner, 0), p, form)
    size = out.aval.dtype.itemsize
    steps = integers(*(size * s for s in (*p.outer_steps, *p.steps)))
    args = (address(kernel.address), *head, *tail, Number(p.inner), *steps)
    return _in_batches(launch(library_text.NESTED, "nested", args, p.outer * p.inner), p, form)


def _in_batches(whole: Launch, p: Product, form: str) -> list[Launch]:
    """Split a batch into tasks, with one BLAS thread in each."""
    work = p.m * p.n * p.k
    if whole.tasks == 1 or whole.tasks * work <= 2 * PRODUCTS or work > LARGE_PRODUCT:
        return [whole]
    split = replace(whole, grain=max(1, PRODUCTS // work))
    setter = _thread_setter()
    if form not in blas.ROUTINES or not setter:
        return [split]
    before, after = Number(1), BlasThreads()
    return [
        launch(library_text.SET_THREADS, "set_threads", (address(setter), before), 1),
        split,
        launch(library_text.SET_THREADS, "set_threads", (address(setter), after), 1),
    ]


@cache
def _thread_setter() -> int:
    """Address of BLAS's function that sets its number of threads; 0 if it has none."""
    functions = blas._thread_functions()
    return ctypes.cast(functions[1], ctypes.c_void_p).value or 0 if functions else 0


_blas_lock: Final = ThreadLock()
_changed: list[int] = []  # the number of threads to go back to, while a run may change it


@contextmanager
def blas_thread_count() -> Iterator[int]:
    """The number of threads to restore; nobody else changes it meanwhile."""
    functions = blas._thread_functions()
    assert functions is not None
    with _blas_lock.held:
        count = _changed[0] if _changed else functions[0]()
        _changed.append(count)
        try:
            yield count
        finally:
            _changed.pop()


@in_child
def _restore() -> None:
    """In a forked child the runs of other threads never come to that."""
    functions = blas._thread_functions() if _changed else None
    if functions is not None:
        functions[1](_changed[0])
    _changed.clear()


KERNELS: Final[dict[str, Callable[[LibraryCall, int], list[Launch]]]] = {
    "matmul": _matmul,
    "take": _take,
    "scatter_add": _scatter_add,
    "put": _put,
    "argmax": _arg(0),
    "argmin": _arg(-1),
    "recurrence": _recurrence,
    "verified": _verified,
    "native": _native,
    **lapack.KERNELS,
}
