"""Matrix products: SciPy's BLAS behind the kernel ABI.

The routine's address comes from SciPy at run time and is passed like any other argument, so the
kernel's object code is the same in every process. BLAS is column-major; a row-major product is the
column-major product of the operands in reverse order, and a transposed operand costs only a flag.

OpenBLAS has threads of its own. A batched product that the executor splits over Numba's threads
should run under ``blas_threads(1)``, or each task starts a second team.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from nbgrad.core.lazy import load
from nbgrad.machine import gate, tiles
from nbgrad.machine.compile import Kernel, compile_kernel, remembered
from nbgrad.machine.lljit import lanes

PREFIXES: Final = {"f8": "d", "f4": "s", "c16": "z", "c8": "c"}

# Flags of an operand.
NORMAL, TRANSPOSED, ADJOINT = 0, 1, 2

# The argument words of a gemm kernel, in order, after the type code of the pointers is filled in:
# C[i] = op(A[i]) @ op(B[i]) (+ C[i]), with op(A) m x k and op(B) k x n, for i in [lo, hi).
GEMM_ARGS: Final = (
    ("gemm", "i8*"),  # addresses of the BLAS routines
    ("gemv", "i8*"),
    ("c", "*"),
    ("a", "*"),
    ("b", "*"),
    ("m", "i8"),
    ("n", "i8"),
    ("k", "i8"),
    ("ldc", "i8"),
    ("lda", "i8"),
    ("ldb", "i8"),
    ("flag_a", "i8"),
    ("flag_b", "i8"),
    ("step_c", "i8"),  # elements from one matrix of the batch to the next
    ("step_a", "i8"),
    ("step_b", "i8"),
    ("accumulate", "i8"),  # 1: add to C
)
ONE: Final = {"f8": 0x3FF0000000000000, "c16": 0x3FF0000000000000, "f4": 0x3F800000}
_ITEMSIZE: Final = {"f8": 8, "f4": 4, "c16": 16, "c8": 8}

_HEAD: Final = "def {form}_{code}(lo, hi, {names}):"
_LOOP: Final = """
    if flag_a == 0:
        a_row, a_col = lda, 1
    else:
        a_row, a_col = 1, lda
    if flag_b == 0:
        b_row, b_col = ldb, 1
    else:
        b_row, b_col = 1, ldb
    for t in range(lo, hi):
        for i in range(m):
            for j in range(n):
                total = {code}(0.0)
                for q in range(k):
                    x = a[t * step_a + i * a_row + q * a_col]
                    y = b[t * step_b + q * b_row + j * b_col]{conjugate}
                    total += x * y
                place = t * step_c + i * ldc + j
                if accumulate != 0:
                    total += c[place]
                c[place] = total
"""
_CONJUGATE: Final = """
                    if flag_a == 2:
                        x = x.conjugate()
                    if flag_b == 2:
                        y = y.conjugate()"""
# BLAS takes everything by address. The table on the stack holds up to 13 addresses of arguments,
# then the arguments themselves from word 13 on: the argument k at first is in word 13 + k.
_TABLE: Final = """
    table = stack_words()
    for word in range(13):
        store_pointer(table, word, offset_words(table, 13 + word))
    alpha, beta = offset_words(table, 26), offset_words(table, 28)
    alpha[0] = {one}
    beta[0] = {one} * accumulate
    alpha[1] = beta[1] = 0
"""
_GEMM: Final = (
    _TABLE
    + """
    table[13] = {letter_b}
    table[14] = {letter_a}
    table[15] = n
    table[16] = m
    table[17] = k
    store_pointer(table, 5, alpha)
    table[20] = ldb
    table[22] = lda
    store_pointer(table, 10, beta)
    table[25] = ldc
    for t in range(lo, hi):
        store_pointer(table, 6, offset_bytes(b, t * step_b * {itemsize}))
        store_pointer(table, 8, offset_bytes(a, t * step_a * {itemsize}))
        store_pointer(table, 11, offset_bytes(c, t * step_c * {itemsize}))
        call_gemm(gemm, table)
"""
)
# A is the matrix and b a column of stride x, or B is and a is a row.
_GEMV: Final = (
    _TABLE
    + """
    if n == 1:
        table[13] = 84 if flag_a == 0 else 78
        table[14], table[15] = (k, m) if flag_a == 0 else (m, k)
        table[18] = lda
        table[20] = ldb if flag_b == 0 else 1
        table[23] = ldc
    else:
        table[13] = {letter_b}
        table[14], table[15] = (n, k) if flag_b == 0 else (k, n)
        table[18] = ldb
        table[20] = 1 if flag_a == 0 else lda
        table[23] = 1
    store_pointer(table, 3, alpha)
    store_pointer(table, 8, beta)
    for t in range(lo, hi):
        left = offset_bytes(a, t * step_a * {itemsize})
        right = offset_bytes(b, t * step_b * {itemsize})
        store_pointer(table, 4, left if n == 1 else right)
        store_pointer(table, 6, right if n == 1 else left)
        store_pointer(table, 9, offset_bytes(c, t * step_c * {itemsize}))
        call_gemv(gemv, table)
"""
)
_BODIES: Final = {"loop": _LOOP, "gemv": _GEMV, "gemm": _GEMM}
# The characters N, T, C.
_LETTER: Final = "78 if flag_{0} == 0 else (84 if flag_{0} == 1 else 67)"
_LARGEST: Final = 2**31 - 1
SMALL: Final = 48  # multiplications
SHORT, LONG = (
    16,
    64,
)  # at most of two sides, and at least of the third, of what is multiplied by tiles
ROUTINES: Final = ("gemm", "gemv")  # of BLAS, among the forms
TILED: Final = frozenset({"f8", "f4"})


@cache
def _module(library: str = "blas") -> Any:
    return load(f"scipy.linalg.cython_{library}")


routine_names: Final[dict[int, str]] = {}  # of those whose addresses were asked for


@cache
def routine_address(name: str, library: str = "blas") -> int:
    """Where a routine of SciPy's BLAS is, such as ``"dgemm"``, or of its LAPACK, behind the gate that forks close."""
    capsule = _module(library).__pyx_capi__[name]
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = gate.guarded(int(get_pointer(capsule, get_name(capsule))))
    routine_names[address] = f"{library} {name}"
    return address


def gemm_routines(code: str) -> tuple[int, int]:
    """Return the first two arguments of :func:`gemm_kernel`: gemm and gemv of that dtype."""
    prefix = PREFIXES[code]
    return routine_address(prefix + "gemm"), routine_address(prefix + "gemv")


def product_form(
    m: int, n: int, k: int, flag_a: int, flag_b: int, largest: int, tiled: bool = False
) -> str:
    """Choose how to multiply: ``"loop"``, ``"gemv"`` or ``"gemm"``, or ``"wide"`` or ``"dots"`` by tiles.

    Small products are not worth BLAS's overhead (40 ns with AVX-512, for which OpenBLAS has kernels
    of small matrices, 200 ns elsewhere); an empty sum, or a leading dimension
    (``largest`` of the three) beyond 32 bits, is more than BLAS takes. OpenBLAS multiplies by a
    vector four times faster when told that it is one, but cannot conjugate the vector.
    """
    if m * n * k <= SMALL or max(m, n, k, largest) > _LARGEST:
        return "loop"
    row = m == 1 and n != 1 and flag_a != ADJOINT
    column = n == 1 and ADJOINT not in (flag_a, flag_b)
    if tiled and max(m, k) <= SHORT and n >= LONG and flag_b == NORMAL and not row:
        return "wide"
    if tiled and max(m, n) <= SHORT and k >= LONG and (flag_a, flag_b) == (NORMAL, TRANSPOSED):
        return "dots" if not row and not column else "gemv"
    return "gemv" if row or column else "gemm"


@remembered
def gemm_kernel(code: str, form: str = "gemm") -> Kernel:
    """Return the matrix-product kernel of a dtype; its arguments are :data:`GEMM_ARGS`.

    Parameters
    ----------
    code : {"f8", "f4", "c16", "c8"}
    form : {"loop", "gemv", "gemm"}
        From :func:`product_form`. The loop ignores the addresses of the BLAS routines.

    Returns
    -------
    Kernel
        Runs over the batch.
    """
    body = _BODIES.get(form) or tiles.text(form, code, lanes(_ITEMSIZE[code]))
    source = (_HEAD + body).format(
        form=form,
        code=code,
        names=", ".join(name for name, _ in GEMM_ARGS),
        one=ONE.get(code, ONE["f4"]),
        itemsize=_ITEMSIZE[code],
        conjugate=_CONJUGATE if code.startswith("c") else "",
        letter_a=_LETTER.format("a"),
        letter_b=_LETTER.format("b"),
    )
    signature = tuple(code + kind if kind == "*" else kind for _, kind in GEMM_ARGS)
    return compile_kernel(source, f"{form}_{code}", signature)


def operand(rows: int, cols: int, row_stride: int, col_stride: int) -> tuple[int, int] | None:
    """Return ``(leading dimension, flag)`` of a matrix, or None if BLAS cannot read it in place.

    Strides are in elements. A row or a column alone can have any positive stride.

    Examples
    --------
    >>> operand(3, 4, 4, 1), operand(3, 4, 1, 3), operand(3, 4, 8, 2)
    ((4, 0), (3, 1), None)
    """
    if col_stride == 1 or cols == 1:
        if rows == 1:
            return max(cols, 1), NORMAL
        if row_stride >= max(cols, 1):
            return row_stride, NORMAL
    if row_stride == 1 or rows == 1:
        if cols == 1:
            return max(rows, 1), TRANSPOSED
        if col_stride >= max(rows, 1):
            return col_stride, TRANSPOSED
    return None


@cache
def _thread_functions() -> tuple[Any, Any] | None:
    """Return the get and set functions of SciPy's OpenBLAS, if that is what SciPy has."""
    try:
        library = ctypes.CDLL(_module().__file__)
        return (
            library.scipy_openblas_get_num_threads,
            library.scipy_openblas_set_num_threads,
        )
    except (OSError, AttributeError):
        return None


@contextmanager
def blas_threads(n: int) -> Iterator[None]:
    """Run a block with *n* BLAS threads, where SciPy's BLAS lets them be set (OpenBLAS).

    The setting is the process's: other Python threads see it too.
    """
    functions = _thread_functions()
    if functions is None:
        yield
        return
    get, put = functions
    before = get()
    put(n)
    try:
        yield
    finally:
        put(before)
