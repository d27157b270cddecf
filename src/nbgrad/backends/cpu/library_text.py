"""The text of the library kernels, in the language of all kernels (``intrinsics``).

Each runs over ``[lo, hi)`` of its tasks and takes pointers, then extents and strides in elements.
"""

from __future__ import annotations

from textwrap import indent
from typing import Final

# All indices are checked before anything is written, in a loop that vectorises. The first wrong one
# goes to the status word with the number of the call. What follows in the frame runs on, so every
# kernel here checks its own.
_CHECK: Final = """
    low, high = 0, -1
    for k in range(first, last):
        low = min(low, i8(index[k * step]))
        high = max(high, i8(index[k * step]))
    if low < -size or high >= size:
        for k in range(first, last):
            at = i8(index[k * step])
            if status[0] == 0 and (at < -size or at >= size):
                status[0] = (max(min(at, 1 << 38), -(1 << 38)) << 24) | number
        return"""
_POSITION: Final = """
            at = i8(index[k * step])
            at += size & (at >> 63)"""

TAKE: Final = f"""
def take(lo, hi, y, x, index, status, number, size, row, col, step, width):
    first, last = lo, hi{_CHECK}
    if width == 1:
        for k in range(first, last):{_POSITION}
            y[k] = x[at * row]
    else:
        for k in range(first, last):{_POSITION}
            for j in range(width):
                y[k * width + j] = x[at * row + j * col]
"""
# The columns [lo, hi) of the result: each sums its rows in their order, however they are split.
SCATTER_ADD: Final = f"""
def scatter_add(lo, hi, y, v, index, status, number, size, count, row, col, step, width):
    first, last = 0, count{_CHECK}
    if hi - lo == width:
        for k in range(size * width):
            y[k] = 0
    else:
        for k in range(size):
            for j in range(lo, hi):
                y[k * width + j] = 0
    if width == 1:
        for k in range(first, last):{_POSITION}
            y[at] += v[k * row]
    else:
        for k in range(first, last):{_POSITION}
            for j in range(lo, hi):
                y[at * width + j] += v[k * row + j * col]
"""
# Rows of facts: the first says that all is right, the second is told if it is not, by the first 35 bits
# of it, as precise as single precision, with the number of the last of the *flags* at the end that is 0.
VERIFIED: Final = """
def verified(lo, hi, y, x, facts, status, number, step, count, width, flags, each):
    for k in range(count):
        row = k * width
        if facts[row * each] == 0:
            wrong = 0
            for j in range(flags):
                if facts[(row + width - flags + j) * each] == 0:
                    wrong = j + 1
            if status[0] == 0:
                told = (f8_as_i8(f8(facts[(row + 1) * each])) >> 29) & 34359738367
                status[0] = (((wrong << 35) | told) << 24) | number
            return
    for k in range(lo, hi):
        y[k] = x[k * step]
"""
PUT: Final = f"""
def put(
    lo, hi, y, x, index, v, status, number,
    size, x_row, x_col, count, row, col, step, width,
):
    first, last = 0, count{_CHECK}
    if width == 1:
        for k in range(size):
            y[k] = x[k * x_row]
        for k in range(first, last):{_POSITION}
            y[at] = v[k * row]
    else:
        for k in range(size):
            for j in range(lo, hi):
                y[k * width + j] = x[k * x_row + j * x_col]
        for k in range(first, last):{_POSITION}
            for j in range(lo, hi):
                y[at * width + j] = v[k * row + j * col]
"""

# Integers in the order of the elements, because the largest of integers is found by vectors. A
# NaN is above all, -0.0 + 0.0 is 0.0, and ``flip`` (0 or -1) turns the order around.
_LARGEST: Final = "0x7FFFFFFFFFFFFFFF"
_FLOAT_KEY: Final = f"""
bits = f8_as_i8(f8(x[{{place}}]) + 0.0)
nan = (0x7FF0000000000000 - (bits & {_LARGEST})) >> 63
key = (bits ^ ((bits >> 63) & {_LARGEST})) ^ flip
key = (key & ~nan) | (nan & {_LARGEST})"""
_INTEGER_KEY: Final = """
key = i8(x[{place}]) ^ flip"""
_UNSIGNED_KEY: Final = f"{_INTEGER_KEY} ^ (-{_LARGEST} - 1)"
# Along contiguous elements the largest of each 256 is found, then the first place in the best of
# those. Otherwise 32 neighbouring results are found at a time, with their best keys on the stack.
# As in NumPy the first NaN wins, and the first of equal elements.
_ARG: Final = f"""
def {{name}}(lo, hi, y, x, flip, n, inner, outer_step, step, inner_step):
    if inner == 1:
        for t in range(lo, hi):
            start = t * outer_step
            best, block = -{_LARGEST} - 1, 0
            for first in range(0, n, 256):
                top = -{_LARGEST} - 1
                for j in range(first, min(first + 256, n)):{{along}}
                    top = max(top, key)
                if top > best:
                    best, block = top, first
            for j in range(block, n):{{again}}
                if key == best:
                    y[t] = j
                    break
        return
    bests = stack_words()
    t = lo
    while t < hi:
        column = t % inner
        origin = (t // inner) * outer_step + column * inner_step
        width = min(32, inner - column, hi - t)
        for c in range(width):
            bests[c] = -{_LARGEST} - 1
            y[t + c] = 0
        for j in range(n):
            start = origin + j * step
            for c in range(width):{{across}}
                best, place = bests[c], y[t + c]
                y[t + c] = place ^ ((j ^ place) & -i8(key > best))
                bests[c] = max(key, best)
        t += width
"""
# h[k] = a[k] h[k-1] + b[k] along the axis of length n, from its end if ``reverse`` is 1. Neighbouring
# recurrences run side by side; one by itself carries its value in a register.
RECURRENCE: Final = """
def recurrence(
    lo, hi, y, a, b, reverse, n, inner,
    a_outer, a_step, a_inner, b_outer, b_step, b_inner,
):
    if n == 0:
        return
    way = 1 - 2 * reverse
    t = lo
    while t < hi:
        outer, column = t // inner, t % inner
        width = min(inner - column, hi - t)
        a0 = outer * a_outer + column * a_inner
        b0 = outer * b_outer + column * b_inner
        y0 = outer * n * inner + column
        at = (n - 1) * reverse
        if inner == 1:
            h = b[b0 + at * b_step]
            y[y0 + at] = h
            for k in range(1, n):
                at += way
                h = a[a0 + at * a_step] * h + b[b0 + at * b_step]
                y[y0 + at] = h
        else:
            for c in range(width):
                y[y0 + at * inner + c] = b[b0 + at * b_step + c * b_inner]
            for k in range(1, n):
                before = y0 + at * inner
                at += way
                for c in range(width):
                    y[y0 + at * inner + c] = (
                        a[a0 + at * a_step + c * a_inner] * y[before + c]
                        + b[b0 + at * b_step + c * b_inner]
                    )
        t += width
"""
# A batch in two dimensions that are not one stride: the product of each matrix by a gemm kernel,
# whose arguments are copied to the stack with the addresses of that matrix.
NESTED: Final = """
def nested(
    lo, hi, kernel, gemm, gemv, c, a, b, m, n, k, ldc, lda, ldb, flag_a, flag_b,
    inner, outer_c, outer_a, outer_b, step_c, step_a, step_b,
):
    words = stack_words()
    store_pointer(words, 0, gemm)
    store_pointer(words, 1, gemv)
    words[5], words[6], words[7] = m, n, k
    words[8], words[9], words[10] = ldc, lda, ldb
    words[11], words[12] = flag_a, flag_b
    for word in range(13, 32):  # steps and, in the build that tests bounds, none that are known
        words[word] = 0
    for t in range(lo, hi):
        o, i = t // inner, t % inner
        store_pointer(words, 2, offset_bytes(c, o * outer_c + i * step_c))
        store_pointer(words, 3, offset_bytes(a, o * outer_a + i * step_a))
        store_pointer(words, 4, offset_bytes(b, o * outer_b + i * step_b))
        call_kernel(kernel, 0, 1, words)
"""
# A function compiled by Numba: what it is called with lies behind the status word, the number of the call and
# the function's address.
NATIVE: Final = """
def native(lo, hi, args):
    words = offset_words(args, 3)
    fault = call_loop(load_pointer(args, 2), words, words)
    if fault != 0:
        status = load_pointer(args, 0)
        if status[0] == 0:
            status[0] = (fault << 24) | args[1]
    return 0
"""
# ``void f(int)`` called as a kernel: it takes the first of the three arguments.
SET_THREADS: Final = """
def set_threads(lo, hi, function, count):
    call_kernel(function, count, 0, function)
"""


def arg(name: str, kind: str, code: str) -> str:
    """Return the text of ``argmax`` or ``argmin`` for a dtype."""
    key = _FLOAT_KEY if kind == "f" else _UNSIGNED_KEY if code == "u8" else _INTEGER_KEY
    along = key.format(place="start + j * step")
    across = key.format(place="start + c * inner_step")
    return _ARG.format(
        name=name,
        along=indent(along, " " * 20),
        again=indent(along, " " * 16),
        across=indent(across, " " * 16),
    )
