"""LAPACK between compiled kernels: factorizations, solves, inverses, spectra and singular values.

The routines' addresses come from SciPy at run time, as those of BLAS do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nbgrad.backends.cpu import blas, lapack_text
from nbgrad.backends.cpu.launch import (
    Arguments,
    Launch,
    Scratch,
    address,
    integers,
    launch,
    pointer,
)
from nbgrad.program.text import Number, Pointer, Status
from nbgrad.program.values import CODES
from nbgrad.program.views import LibraryCall

# What a kernel that fails has found, as NumPy and SciPy say it.
ERRORS: Final = {
    "cholesky": "Matrix is not positive definite",
    "triangular": "singular matrix: an element of the diagonal is exactly zero",
    "solve": "Singular matrix",
    "inverse": "Singular matrix",
    "lu_inverse": "Singular matrix",
    "lu_solve": "Singular matrix",
    "eigh": "Eigenvalues did not converge",
    "eigvalsh": "Eigenvalues did not converge",
    "svd": "SVD did not converge",
    "svdvals": "SVD did not converge",
}
BLOCK: Final = 32  # columns that LAPACK works on together, given the memory


def _common(call: LibraryCall, number: int, name: str, library: str = "lapack") -> Arguments:
    """Status word, number of the call and address of the routine for its dtype."""
    prefix = blas.PREFIXES[CODES[call.eqn.out.aval.dtype]]
    return _named(number, prefix + name, library)


def _named(number: int, routine: str, library: str = "lapack") -> Arguments:
    return Status(), Number(number), address(blas.routine_address(routine, library))


def _cholesky(call: LibraryCall, number: int) -> list[Launch]:
    (a,) = call.operands
    out = call.eqn.out
    batch, n, _ = a.extents
    args: Arguments = (
        Pointer(out, 0), pointer(a), *_common(call, number, "potrf"),
        *integers(out.aval.dtype.itemsize, n, *a.strides),
    )  # fmt: skip
    return [launch(lapack_text.CHOLESKY, "cholesky", args, batch)]


def _cholesky_inverse(call: LibraryCall, number: int) -> list[Launch]:
    (a,), out = call.operands, call.eqn.out
    batch, n, _ = a.extents
    args: Arguments = (
        Pointer(out, 0), pointer(a), _common(call, number, "potri")[2],
        *integers(out.aval.dtype.itemsize, n, *a.strides),
    )  # fmt: skip
    return [launch(lapack_text.CHOLESKY_INVERSE, "cholesky_inverse", args, batch)]


def _triangular(call: LibraryCall, number: int) -> list[Launch]:
    """BLAS sees the transposed system: what was on the left is on the right."""
    (a, b), params, out = call.operands, call.eqn.params, call.eqn.out
    batch, rows, cols = b.extents
    layout = blas.operand(*a.extents[1:], *a.strides[1:])
    assert layout is not None, "the operand should have been copied"
    lda, normal = layout[0], layout[1] == blas.NORMAL
    vector = params["left"] and cols == 1
    upper = params["lower"] == normal
    args: Arguments = (
        Pointer(out, 0), pointer(a), pointer(b),
        *_common(call, number, "trsv" if vector else "trsm", "blas"),
        *integers(vector, blas.ONE[CODES[out.aval.dtype]], out.aval.dtype.itemsize),
        *map(_letter, ("R" if params["left"] else "L", "U" if upper else "L")),
        _letter("T" if normal == vector else "N"),
        *integers(params["unit"], lda, a.strides[0], rows, cols, *b.strides),
    )  # fmt: skip
    return [launch(lapack_text.TRIANGULAR, "triangular", args, batch)]


def _letter(letter: str) -> Number:
    return Number(ord(letter))


def _scratch(*parts: tuple[int, str]) -> list[Scratch]:
    """Arrays of so many elements of a type, each aligned."""
    found, start = [], 0
    for count, code in parts:
        size = -(-count * int(code[1:]) // 64) * 64
        found.append(Scratch(start, size, code))
        start += size
    return found


def _solve(call: LibraryCall, number: int) -> list[Launch]:
    a, b = call.operands
    batch, n, cols = b.extents
    code = CODES[call.eqn.out.aval.dtype]
    args: Arguments = (
        Pointer(call.eqn.out, 0), pointer(a), pointer(b),
        *_scratch((n, "i8"), (n * n, code), (n * cols, code)),
        *_common(call, number, "gesv"),
        *integers(n, cols, *a.strides, *b.strides),
    )  # fmt: skip
    return [launch(lapack_text.SOLVE, "solve", args, batch)]


def _inverse(call: LibraryCall, number: int) -> list[Launch]:
    (a,), code = call.operands, CODES[call.eqn.out.aval.dtype]
    batch, n, _ = a.extents
    args: Arguments = (
        Pointer(call.eqn.out, 0), pointer(a),
        *_scratch((n, "i8"), (n * n, code), (n * n, code)),
        *_common(call, number, "gesv"), *integers(n, n, *a.strides),
    )  # fmt: skip
    return [launch(lapack_text.INVERSE, "inverse", args, batch)]


def _lu(call: LibraryCall, number: int) -> list[Launch]:
    (a,), (packed, pivots) = call.operands, call.eqn.outs
    batch, n, _ = a.extents
    args: Arguments = (
        Pointer(packed, 0), Pointer(pivots, 0), pointer(a),
        _common(call, number, "getrf")[2],
        *integers(packed.aval.dtype.itemsize, n, *a.strides),
    )  # fmt: skip
    return [launch(lapack_text.LU, "lu", args, batch)]


def _lu_sign(call: LibraryCall, number: int) -> list[Launch]:
    (a, pivots), out = call.operands, call.eqn.out
    batch, n, _ = a.extents
    args: Arguments = (Pointer(out, 0), pointer(a), pointer(pivots), *integers(n))
    return [launch(lapack_text.LU_SIGN, "lu_sign", args, batch)]


def _substituted(call: LibraryCall, number: int, cols: int) -> tuple[Any, Arguments]:
    """What solves with factors take beside right-hand sides: scratch memory for these, the routine, numbers."""
    code, n = CODES[call.eqn.out.aval.dtype], call.operands[0].extents[1]
    args: Arguments = (
        *_scratch((n * cols, code)), *_common(call, number, "trsm", "blas"),
        _letter("T" if call.eqn.params["transposed"] else "N"),
        *integers(blas.ONE[code], call.eqn.out.aval.dtype.itemsize, n, cols),
    )  # fmt: skip
    return Pointer(call.eqn.out, 0), args


def _lu_solve(call: LibraryCall, number: int) -> list[Launch]:
    batch, _, cols = call.operands[2].extents
    out, rest = _substituted(call, number, cols)
    args = (out, *map(pointer, call.operands), *rest, *integers(*call.operands[2].strides))
    return [launch(lapack_text.LU_SOLVE, "lu_solve", args, batch)]


def _lu_inverse(call: LibraryCall, number: int) -> list[Launch]:
    batch, n, _ = call.operands[0].extents
    out, rest = _substituted(call, number, n)
    args = (out, *map(pointer, call.operands), *rest)
    return [launch(lapack_text.LU_INVERSE, "lu_inverse", args, batch)]


def _eigh(vectors: bool) -> Callable[[LibraryCall, int], list[Launch]]:
    def make(call: LibraryCall, number: int) -> list[Launch]:
        (a,) = call.operands
        batch, n, _ = a.extents
        values, found = call.eqn.outs[0], call.eqn.outs[-1]  # of values alone the same
        # The least that LAPACK's documentation allows.
        lwork = 1 + 6 * n + 2 * n * n if vectors else 2 * n + 1
        liwork = 3 + 5 * n if vectors else 1
        args: Arguments = (
            Pointer(values, 0), Pointer(found, 0), pointer(a),
            *_scratch((n * n, "f8"), (n, "f8"), (lwork, "f8"), (liwork, "i8")),
            *_named(number, "dsyevd"),
            *integers(vectors),
            _letter("L" if call.eqn.params["lower"] else "U"),
            *integers(n, lwork, liwork, *a.strides),
        )  # fmt: skip
        return [launch(lapack_text.EIGH, "eigh", args, batch)]

    return make


def _qr(call: LibraryCall, number: int) -> list[Launch]:
    (a,), (q, r) = call.operands, call.eqn.outs
    batch, m, n = a.extents
    args: Arguments = (
        Pointer(q, 0), Pointer(r, 0), pointer(a),
        *_scratch((m * n, "f8"), (n, "f8"), (n * BLOCK, "f8")),
        *(_named(number, name)[2] for name in ("dgeqrf", "dorgqr")),
        *integers(m, n, n * BLOCK, *a.strides),
    )  # fmt: skip
    return [launch(lapack_text.QR, "qr", args, batch)]


def _svd(vectors: bool) -> Callable[[LibraryCall, int], list[Launch]]:
    def make(call: LibraryCall, number: int) -> list[Launch]:
        (a,), outs = call.operands, call.eqn.outs
        batch, m, n = a.extents
        k = min(m, n)
        u, values, vh = outs if vectors else outs * 3
        p, q = (u.aval.shape[-1], vh.aval.shape[-2]) if vectors else (0, 0)
        # The least that LAPACK's documentation allows, and blocks of columns.
        least = 4 * k * k + 7 * k + max(m, n) if vectors else 3 * k + max(m, n, 7 * k)
        lwork = least + BLOCK * (m + n)
        args: Arguments = (
            Pointer(u, 0), Pointer(values, 0), Pointer(vh, 0), pointer(a),
            *_scratch(
                (m * n, "f8"), (k, "f8"), (max(m * p, 1), "f8"), (max(q * n, 1), "f8"),
                (lwork, "f8"), (8 * k, "i8"),
            ),
            *_named(number, "dgesdd"),
            _letter("N" if not vectors else "S" if (p, q) == (k, k) else "A"),
            *integers(m, n, k, p, q, lwork, *a.strides),
        )  # fmt: skip
        return [launch(lapack_text.SVD, "svd", args, batch)]

    return make


def _filled(make: Callable[[LibraryCall, int], list[Launch]]) -> Any:
    """No instruction for a result without elements."""
    return lambda call, number: make(call, number) if call.eqn.out.aval.size else []


KERNELS: Final[dict[str, Callable[[LibraryCall, int], list[Launch]]]] = {
    "cholesky": _filled(_cholesky),
    "cholesky_inverse": _filled(_cholesky_inverse),
    "triangular": _filled(_triangular),
    "solve": _filled(_solve),
    "lu": _filled(_lu),
    "lu_inverse": _filled(_lu_inverse),
    "lu_sign": _filled(_lu_sign),
    "lu_solve": _filled(_lu_solve),
    "eigh": _filled(_eigh(True)),
    "eigvalsh": _filled(_eigh(False)),
    "inverse": _filled(_inverse),
    "qr": _filled(_qr),
    "svd": _filled(_svd(True)),
    "svdvals": _filled(_svd(False)),
}
