"""Products of matrices with a long side and two short ones, by tiles that frontend/tiles.py sums in vectors.

BLAS brings its operands into another order first, which pays where each number serves many products. With
sides of ten that takes as long as the products, or twice as long. The texts are bodies of the kernels of
``backends/cpu/blas.py``, whose arguments they read.
"""

from __future__ import annotations

from textwrap import indent
from typing import Final

# The intrinsics, by rows and vectors of the result, and by rows of the one operand and of the other.
WIDE, DOTS = "wide_{}_{}", "dots_{}_{}"
SIZES: Final = (4, 2, 1)  # each a multiple of the next: what is left of one is whole by the other
VECTORS: Final = (2, 1)
# Columns of sums where there are 16 vector registers, which 4x4 sums would fill: 0.8 of the time.
FEW_COLUMNS: Final = 2
NAMES: Final = (
    *[WIDE.format(rows, vectors) for rows in SIZES for vectors in VECTORS],
    *[DOTS.format(rows, columns) for rows in SIZES for columns in SIZES],
)

_BATCH: Final = """
    a_row, a_col = (lda, 1) if flag_a == 0 else (1, lda)
    b_row, b_col = (ldb, 1) if flag_b == 0 else (1, ldb)
    for t in range(lo, hi):
        to, left, right = t * step_c, t * step_a, t * step_b
"""
_WIDE: Final = """\
wide_{rows}_{vectors}(c, to + i * ldc + j, ldc, a, left + i * a_row, a_row, a_col, b, right + j, ldb, k, accumulate)
"""
_DOTS: Final = """\
dots_{rows}_{columns}(c, to + i * ldc + j, ldc, a, left + i * lda, lda, b, right + j * ldb, ldb, {whole}, accumulate)
"""
_REST: Final = """\
for i in range(m):
    for j in range({first_j}, n):
        total = {code}(0)
        for q in range({first_q}, k):
            total += a[left + i * a_row + q * a_col] * b[right + q * b_row + j * b_col]
        place = to + i * ldc + j
        c[place] = c[place] + total if {add} else total
"""


def _loops(name: str, count: str, parts: list[tuple[int, str]]) -> str:
    """Loops over *count* by the sizes of *parts*, each with its lines, from the largest to the smallest."""
    lines, done = list[str](), "0"
    for size, inside in parts:
        whole = f"{count} - {count} % {size}"
        lines.append(f"for {name} in range({done}, {whole}, {size}):\n{indent(inside, '    ')}")
        done = whole
    return "".join(lines)


def _wide(code: str, lanes: int) -> str:
    """Columns by vectors, and what is left of them one by one."""

    def rows(vectors: int) -> str:
        return _loops("i", "m", [(n, _WIDE.format(rows=n, vectors=vectors)) for n in SIZES])

    columns = _loops("j", "n", [(n * lanes, rows(n)) for n in VECTORS])
    rest = _REST.format(code=code, first_j=f"n - n % {lanes}", first_q=0, add="accumulate != 0")
    return columns + rest


def _dots(code: str, lanes: int) -> str:
    """What is summed by vectors, and what is left of it added."""
    whole = f"k - k % {lanes}"
    many = lanes * int(code[1:]) >= 64  # bytes of the vectors of AVX-512, which has 32
    sizes = SIZES if many else SIZES[SIZES.index(FEW_COLUMNS) :]

    def columns(rows: int) -> str:
        calls = [(n, _DOTS.format(rows=rows, columns=n, whole=whole)) for n in sizes]
        return _loops("j", "n", calls)

    rest = _REST.format(code=code, first_j=0, first_q=whole, add="True")
    return _loops("i", "m", [(n, columns(n)) for n in SIZES]) + rest


def text(form: str, code: str, lanes: int) -> str:
    """The body of the kernel of a *form*, ``"wide"`` or ``"dots"``, for vectors of so many elements."""
    return _BATCH + indent((_wide if form == "wide" else _dots)(code, lanes), " " * 8)
