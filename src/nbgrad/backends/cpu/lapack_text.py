"""The text of the library kernels that call LAPACK and triangular BLAS routines.

Like BLAS's, the routines take everything by address and see row-major memory as the transposed
matrix; see ``blas`` for the table on the stack. One task is one matrix of the batch. A routine that
fails leaves the number of the matrix, with that of the call, in the status word.

Vectors are computed in double precision, as NumPy computes all, and converted: which of two opposite
ones is found hangs on the last bits, and a float32 program is to find the one that NumPy finds.
"""

from __future__ import annotations

from textwrap import indent
from typing import Final

# Words 0 to 10 are the addresses of the arguments; the argument k lies in word 13 + k.
_TABLE: Final = """
    table = stack_words()
    for word in range(11):
        store_pointer(table, word, offset_words(table, 13 + word))"""
_FAIL: Final = """
            if status[0] == 0:
                status[0] = (t << 24) | number"""

# A matrix for LAPACK, by columns: some rows at a time, so that what is read and written stays in cache.
_TO_COLUMNS: Final = """
        if a_row == 1:
            for j in range(n):
                for i in range({rows}):
                    {into}[{at}j * {rows} + i] = a[t * a_step + i + j * a_col]
        else:
            for first in range(0, {rows}, 16):
                for j in range(n):
                    for i in range(first, min(first + 16, {rows})):
                        {into}[{at}j * {rows} + i] = a[t * a_step + i * a_row + j * a_col]"""
_RIGHT: Final = """
        for i in range(n):
            for j in range(cols):
                right[j * n + i] = b[t * b_step + i * b_row + j * b_col]"""
_IDENTITY: Final = """
        for j in range(n):
            for i in range(n):
                right[j * n + i] = 0
            right[j * n + j] = 1"""
_BACK: Final = """
            for i in range(n):
                for j in range(cols):
                    y[(t * n + i) * cols + j] = right[j * n + i]"""

# potrf(uplo, n, a, lda, info): the lower triangle is the upper one of the transposed matrix.
CHOLESKY: Final = f"""
def cholesky(lo, hi, y, a, status, number, potrf, itemsize, n, step, row, col):{_TABLE}
    table[13] = 85
    table[14] = n
    table[16] = max(n, 1)
    for t in range(lo, hi):
        for i in range(n):
            for j in range(i + 1):
                y[t * n * n + i * n + j] = a[t * step + i * row + j * col]
            for j in range(i + 1, n):
                y[t * n * n + i * n + j] = 0
        store_pointer(table, 2, offset_bytes(y, t * n * n * itemsize))
        table[17] = 0
        call_potrf(potrf, table)
        if table[17] != 0:{_FAIL}
"""
# potri(uplo, n, a, lda, info), whose triangle is mirrored, some rows at a time.
CHOLESKY_INVERSE: Final = f"""
def cholesky_inverse(lo, hi, y, a, potri, itemsize, n, step, row, col):{_TABLE}
    table[13] = 85
    table[14] = n
    table[16] = max(n, 1)
    for t in range(lo, hi):
        at = t * n * n
        for i in range(n):
            for j in range(i + 1):
                y[at + i * n + j] = a[t * step + i * row + j * col]
        store_pointer(table, 2, offset_bytes(y, at * itemsize))
        table[17] = 0
        call_potri(potri, table)
        for first in range(0, n, 16):
            for i in range(n):
                for j in range(max(first, i + 1), min(first + 16, n)):
                    y[at + i * n + j] = y[at + j * n + i]
"""
# trsm(side, uplo, trans, diag, m, n, alpha, a, lda, b, ldb), or for a vector
# trsv(uplo, trans, diag, n, a, lda, x, incx).
TRIANGULAR: Final = f"""
def triangular(
    lo, hi, y, a, b, status, number, routine, vector, one, itemsize,
    side, uplo, trans, unit, lda, a_step, rows, cols, b_step, b_row, b_col,
):{_TABLE}
    n = rows if side == 82 else cols
    if vector != 0:
        table[13], table[14], table[15] = uplo, trans, 85 if unit != 0 else 78
        table[16], table[18], table[20] = n, lda, 1
    else:
        table[13], table[14], table[15] = side, uplo, trans
        table[16] = 85 if unit != 0 else 78
        table[17], table[18], table[19] = cols, rows, one
        table[21], table[23] = lda, cols
    for t in range(lo, hi):
        start = t * rows * cols
        for i in range(rows):
            for j in range(cols):
                y[start + i * cols + j] = b[t * b_step + i * b_row + j * b_col]
        singular = 0
        for i in range(n):
            if unit == 0 and a[t * a_step + i * (lda + 1)] == 0:
                singular = 1
        if singular != 0:{_FAIL}
        elif vector != 0:
            store_pointer(table, 4, offset_bytes(a, t * a_step * itemsize))
            store_pointer(table, 6, offset_bytes(y, start * itemsize))
            call_trsv(routine, table)
        else:
            store_pointer(table, 7, offset_bytes(a, t * a_step * itemsize))
            store_pointer(table, 9, offset_bytes(y, start * itemsize))
            call_trsm(routine, table)
"""
# gesv(n, nrhs, a, lda, ipiv, b, ldb, info) overwrites both operands: they are copied to scratch
# memory, column by column.
SOLVE: Final = f"""
def solve(
    lo, hi, y, a, b, pivots, matrix, right, status, number, gesv,
    n, cols, a_step, a_row, a_col, b_step, b_row, b_col,
):{_TABLE}
    table[13] = table[16] = table[19] = n
    table[14] = cols
    store_pointer(table, 2, offset_bytes(matrix, 0))
    store_pointer(table, 4, pivots)
    store_pointer(table, 5, offset_bytes(right, 0))
    for t in range(lo, hi):{_TO_COLUMNS.format(into="matrix", at="", rows="n")}{_RIGHT}
        table[20] = 0
        call_gesv(gesv, table)
        if table[20] != 0:{_FAIL}
        else:{_BACK}
"""
# The same with the identity on the right.
INVERSE: Final = f"""
def inverse(
    lo, hi, y, a, pivots, matrix, right, status, number, gesv, n, cols, a_step, a_row, a_col
):{_TABLE}
    table[13] = table[14] = table[16] = table[19] = n
    store_pointer(table, 2, offset_bytes(matrix, 0))
    store_pointer(table, 4, pivots)
    store_pointer(table, 5, offset_bytes(right, 0))
    for t in range(lo, hi):{_TO_COLUMNS.format(into="matrix", at="", rows="n")}{_IDENTITY}
        table[20] = 0
        call_gesv(gesv, table)
        if table[20] != 0:{_FAIL}
        else:{_BACK}
"""
# getrf(m, n, a, lda, ipiv, info): a matrix that is singular fails where it is solved with.
LU: Final = f"""
def lu(lo, hi, y, pivots, a, getrf, itemsize, n, a_step, a_row, a_col):{_TABLE}
    table[13] = table[14] = n
    table[16] = max(n, 1)
    for t in range(lo, hi):{_TO_COLUMNS.format(into="y", at="t * n * n + ", rows="n")}
        store_pointer(table, 2, offset_bytes(y, t * n * n * itemsize))
        store_pointer(table, 4, offset_bytes(pivots, t * n * 4))
        table[18] = 0
        call_getrf(getrf, table)
"""
# Of an exchange of two rows the sign turns.
LU_SIGN: Final = """
def lu_sign(lo, hi, y, a, pivots, n):
    for t in range(lo, hi):
        sign = 1
        for i in range(n):
            if pivots[t * n + i] != i + 1:
                sign = -sign
            if a[t * n * n + i * (n + 1)] < 0:
                sign = -sign
            if a[t * n * n + i * (n + 1)] == 0:
                sign = 0
        y[t] = sign
"""
_EXCHANGED: Final = """
                    row = pivots[t * n + i] - 1
                    kept = right[j * n + i]
                    right[j * n + i] = right[j * n + row]
                    right[j * n + row] = kept"""
# getrs, which OpenBLAS gives to all of its threads for two columns of three numbers already: each call waits for
# the others to wake up, on a busy machine 10 ms. Here are its exchanges, and its two trsm, see TRIANGULAR.
_SUBSTITUTED: Final = f"""{_TABLE}
    table[13] = 76
    table[17] = n
    table[18] = cols
    table[19] = one
    table[21] = table[23] = max(n, 1)
    store_pointer(table, 9, offset_bytes(right, 0))
    for t in range(lo, hi):{{into}}
        singular = 0
        for i in range(n):
            if a[t * n * n + i * (n + 1)] == 0:
                singular = 1
        if singular != 0:{_FAIL}
        else:
            store_pointer(table, 7, offset_bytes(a, t * n * n * itemsize))
            table[15] = trans
            if trans == 78:
                for j in range(cols):
                    for i in range(n):{indent(_EXCHANGED, "    ")}
            table[14] = 76 if trans == 78 else 85
            table[16] = 85 if table[14] == 76 else 78
            call_trsm_lu(trsm, table)
            table[14] = 85 if trans == 78 else 76
            table[16] = 85 if table[14] == 76 else 78
            call_trsm_lu(trsm, table)
            if trans != 78:
                for j in range(cols):
                    for back in range(n):
                        i = n - 1 - back{indent(_EXCHANGED, "    ")}{_BACK}
"""
LU_SOLVE: Final = f"""
def lu_solve(
    lo, hi, y, a, pivots, b, right, status, number, trsm, trans, one, itemsize,
    n, cols, b_step, b_row, b_col,
):{_SUBSTITUTED.format(into=_RIGHT)}"""
LU_INVERSE: Final = f"""
def lu_inverse(
    lo, hi, y, a, pivots, right, status, number, trsm, trans, one, itemsize, n, cols
):{_SUBSTITUTED.format(into=_IDENTITY)}"""
# syevd(jobz, uplo, n, a, lda, w, work, lwork, iwork, liwork, info).
EIGH: Final = f"""
def eigh(
    lo, hi, values, y, a, matrix, spectrum, work, integers, status, number, syevd, vectors,
    uplo, n, lwork, liwork, step, row, col,
):{_TABLE}
    table[13] = 86 if vectors != 0 else 78
    table[14] = uplo
    table[15] = table[17] = n
    table[20], table[22] = lwork, liwork
    store_pointer(table, 3, offset_bytes(matrix, 0))
    store_pointer(table, 5, offset_bytes(spectrum, 0))
    store_pointer(table, 6, offset_bytes(work, 0))
    store_pointer(table, 8, integers)
    for t in range(lo, hi):
        for i in range(n):
            for j in range(n):
                matrix[j * n + i] = a[t * step + i * row + j * col]
        table[23] = 0
        call_syevd(syevd, table)
        if table[23] != 0:{_FAIL}
        else:
            for i in range(n):
                values[t * n + i] = spectrum[i]
            if vectors != 0:
                for i in range(n):
                    for j in range(n):
                        y[(t * n + i) * n + j] = matrix[j * n + i]
"""
# geqrf(m, n, a, lda, tau, work, lwork, info) leaves R above the reflectors that
# orgqr(m, n, k, a, lda, tau, work, lwork, info) makes Q of. Neither fails.
QR: Final = f"""
def qr(
    lo, hi, y, r, a, matrix, tau, work, geqrf, orgqr, m, n, lwork, a_step, a_row, a_col
):
    table = stack_words()
    second = stack_room()
    for word in range(9):
        store_pointer(table, word, offset_words(table, 13 + word))
        store_pointer(second, word, offset_words(second, 13 + word))
    table[13] = second[13] = table[16] = second[17] = m
    table[14] = second[14] = second[15] = n
    table[19] = second[20] = lwork
    store_pointer(table, 2, offset_bytes(matrix, 0))
    store_pointer(table, 4, offset_bytes(tau, 0))
    store_pointer(table, 5, offset_bytes(work, 0))
    store_pointer(second, 3, offset_bytes(matrix, 0))
    store_pointer(second, 5, offset_bytes(tau, 0))
    store_pointer(second, 6, offset_bytes(work, 0))
    for t in range(lo, hi):{_TO_COLUMNS.format(into="matrix", at="", rows="m")}
        table[20] = 0
        call_geqrf(geqrf, table)
        for i in range(n):
            for j in range(i):
                r[(t * n + i) * n + j] = 0
            for j in range(i, n):
                r[(t * n + i) * n + j] = matrix[j * m + i]
        second[21] = 0
        call_orgqr(orgqr, second)
        for i in range(m):
            for j in range(n):
                y[(t * m + i) * n + j] = matrix[j * m + i]
"""
# gesdd(jobz, m, n, a, lda, s, u, ldu, vt, ldvt, work, lwork, iwork, info). U has p columns and V^T q
# rows, none where only values are asked for.
SVD: Final = f"""
def svd(
    lo, hi, y, values, vh, a, matrix, spectrum, left, right, work, integers, status, number, gesdd,
    jobz, m, n, k, p, q, lwork, a_step, a_row, a_col,
):
    table = stack_words()
    for word in range(14):
        store_pointer(table, word, offset_words(table, 16 + word))
    table[16] = jobz
    table[17] = table[20] = table[23] = m
    table[18] = n
    table[25] = max(q, 1)
    table[27] = lwork
    store_pointer(table, 3, offset_bytes(matrix, 0))
    store_pointer(table, 5, offset_bytes(spectrum, 0))
    store_pointer(table, 6, offset_bytes(left, 0))
    store_pointer(table, 8, offset_bytes(right, 0))
    store_pointer(table, 10, offset_bytes(work, 0))
    store_pointer(table, 12, integers)
    for t in range(lo, hi):{_TO_COLUMNS.format(into="matrix", at="", rows="m")}
        table[29] = 0
        call_gesdd(gesdd, table)
        if table[29] != 0:{_FAIL}
        else:
            for i in range(k):
                values[t * k + i] = spectrum[i]
            for i in range(m):
                for j in range(p):
                    y[(t * m + i) * p + j] = left[j * m + i]
            for i in range(q):
                for j in range(n):
                    vh[(t * q + i) * n + j] = right[j * q + i]
"""
