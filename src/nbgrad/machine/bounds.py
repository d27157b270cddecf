"""A build of all machine code that tests each load and store: ``NBGRAD_BOUNDS=1``.

For finding faults, not for use: it is several times slower. The text of a kernel is rewritten so that
each subscript of a pointer compares the index with the extent of the buffer, which the frame passes
along (``launch.extended``), and each call of a routine of BLAS or LAPACK the ends of its operands. In
functions that walk objects and tables each word read must lie where ``checks`` finds it may. What
does not is reported on the standard error stream, with Python's stack, and ends the process.
"""

from __future__ import annotations

import ast
import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nbgrad.core.lazy import load
from nbgrad.machine import tiles

ON: Final = os.environ.get("NBGRAD_BOUNDS", "0") == "1"

_SIZES: Final = {"c16": 16, "c8": 8}
_WORDS: Final = frozenset({"load_pointer", "store_pointer"})
# Variables that point to the items of a list or a tuple, or to the extents of an array, and how many
# there are of the object ``{0}``; 0 if it is neither.
_ITEMS: Final = dict.fromkeys(("items", "operands"), "nbgrad_count({0})")
_ITEMS["extents"] = "{0}[3] & 0xFFFFFFFF"  # where NumPy documents the rank
# Parameters in memory of the interpreter's, or of Numba's threads, and how many words there are.
_GIVEN: Final = {"args": "count", "rows": "1", "dims": "1"}
# What tests, and what reads and writes the memory of a caller's that is machine code.
_UNTESTED: Final = frozenset({"nbgrad_word", "nbgrad_count", "nbgrad_small", "nbgrad_large"})
# What a routine of BLAS or LAPACK, called by that name, reads and writes: the first element of each
# operand, the last one, and what is 0 where there are none.
_PRODUCT: Final = {
    "c": ("t * step_c", "t * step_c + (m - 1) * ldc + n - 1", "m * n * k"),
    "a": (
        "t * step_a",
        "t * step_a + ((m - 1) * lda + k - 1 if flag_a == 0 else (k - 1) * lda + m - 1)",
        "m * n * k",
    ),
    "b": (
        "t * step_b",
        "t * step_b + ((k - 1) * ldb + n - 1 if flag_b == 0 else (n - 1) * ldb + k - 1)",
        "m * n * k",
    ),
}
_SUBSTITUTION: Final = {
    "a": ("t * a_step", "t * a_step + (n - 1) * (lda + 1)", "n * cols * rows"),
    "y": ("start", "start + rows * cols - 1", "n * cols * rows"),
}
_REFLECTORS: Final = {
    "matrix": ("0", "m * n - 1", "m * n"),
    "tau": ("0", "n - 1", "n"),
    "work": ("0", "lwork - 1", "n"),
}
_ROUTINES: Final = {
    **dict.fromkeys(tiles.NAMES, _PRODUCT),
    "call_gemm": _PRODUCT,
    "call_gemv": _PRODUCT,
    "call_trsm": _SUBSTITUTION,
    "call_trsv": _SUBSTITUTION,
    "call_potrf": {"y": ("t * n * n", "t * n * n + n * n - 1", "n")},
    "call_potri": {"y": ("t * n * n", "t * n * n + n * n - 1", "n")},
    "call_getrf": {
        "y": ("t * n * n", "t * n * n + n * n - 1", "n"),
        "pivots": ("t * n", "t * n + n - 1", "n"),
    },
    "call_trsm_lu": {
        "a": ("t * n * n", "t * n * n + n * n - 1", "n"),
        "right": ("0", "n * cols - 1", "n * cols"),
    },
    "call_gesv": {
        "matrix": ("0", "n * n - 1", "n"),
        "right": ("0", "n * cols - 1", "n * cols"),
        "pivots": ("0", "n - 1", "n"),
    },
    "call_syevd": {
        "matrix": ("0", "n * n - 1", "n"),
        "spectrum": ("0", "n - 1", "n"),
        "work": ("0", "lwork - 1", "n"),
        "integers": ("0", "liwork - 1", "n"),
    },
    "call_geqrf": _REFLECTORS,
    "call_orgqr": _REFLECTORS,
    "call_gesdd": {
        "matrix": ("0", "m * n - 1", "m * n"),
        "spectrum": ("0", "k - 1", "k"),
        "left": ("0", "m * p - 1", "m * p"),
        "right": ("0", "q * n - 1", "q * n"),
        "work": ("0", "lwork - 1", "k"),
        "integers": ("0", "8 * k - 1", "k"),
    },
}
_sites: dict[int, str] = {}


def instrumented(
    source: str, name: str, params: tuple[str, ...], result: str | None
) -> tuple[str, tuple[str, ...]]:
    """The text of a function, and its parameters, with a test of each load and store."""
    if name in _UNTESTED:
        return source, params
    tree = ast.parse(source)
    for definition in tree.body:
        if isinstance(definition, ast.FunctionDef) and definition.name == name:
            given = [a.arg for a in definition.args.args]
            codes = dict(zip(given, params, strict=True))
            pointers = {p: _size(c) for p, c in codes.items() if c.endswith("*")}
            if result is not None:
                known = {p: n for p, n in _GIVEN.items() if p in given and n in ("1", *given)}
                words = _Words(name, known)
                words.visit(definition)
                definition.body[:0] = words.beginning()
                continue
            _Elements(name, pointers).visit(definition)
            added = [f"{p}__{end}" for p in pointers for end in ("lo", "hi")]
            definition.args.args += [ast.arg(arg) for arg in added]
            params = (*params, *("i8" for _ in added))
    return ast.unparse(ast.fix_missing_locations(tree)), params


def _size(code: str) -> int:
    """Bytes of an element of a pointer's type, such as ``f8*``."""
    code = code[:-1]
    return _SIZES.get(code) or int(code[1:])


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])


def _site(name: str, node: ast.AST) -> int:
    text = f"{name}: {ast.unparse(node)}"
    number: int = load("zlib").crc32(text.encode())
    _sites[number] = text
    return number


class _Elements(ast.NodeTransformer):
    """Rewrites ``x[i]`` of a kernel's pointers as ``x[checked_element(i, lo, hi, size, site)]``.

    Before a call of a routine the ends of its operands are tested.
    """

    def __init__(self, name: str, pointers: dict[str, int]) -> None:
        self.name = name
        self.pointers = pointers

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        site = ast.Constant(_site(self.name, node))
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id in self.pointers:
            pointer = node.value.id
            ends = [ast.Name(f"{pointer}__{end}", ast.Load()) for end in ("lo", "hi")]
            size = ast.Constant(self.pointers[pointer])
            node.slice = _call("checked_element", node.slice, *ends, size, site)
        return node

    def visit_Expr(self, node: ast.Expr) -> Any:
        self.generic_visit(node)
        called = node.value.func if isinstance(node.value, ast.Call) else None
        operands = _ROUTINES.get(called.id, {}) if isinstance(called, ast.Name) else {}
        tests = [self._ends(pointer, ends) for pointer, ends in operands.items()]
        return [*tests, node]

    def _ends(self, pointer: str, ends: tuple[str, str, str]) -> ast.stmt:
        first, last, some = ends
        size = self.pointers[pointer]
        lines = [f"if {some} != 0:"]
        for index in (first, last):
            site = _site(self.name, ast.parse(f"{pointer}[{index}]", mode="eval").body)
            known = f"{pointer}__lo, {pointer}__hi, {size}, {site}"
            lines.append(f"    checked_element({index}, {known})")
        return ast.parse("\n".join(lines)).body[0]


class _Words(ast.NodeTransformer):
    """Rewrites ``p[i]`` and ``load_pointer(p, i)`` of functions that walk objects and tables.

    Of *counts*, and of what points to items, the number of words is in a variable.
    """

    def __init__(self, name: str, counts: dict[str, str]) -> None:
        self.name = name
        self.counts = counts
        self.met: set[str] = set()

    def beginning(self) -> list[ast.stmt]:
        return ast.parse("\n".join(f"{name}__n = 0" for name in sorted(self.met))).body

    def _checked(self, pointer: ast.expr, index: ast.expr, whole: ast.AST) -> ast.expr:
        site, name = ast.Constant(_site(self.name, whole)), getattr(pointer, "id", "")
        word = _call("checked_word", pointer, index, site)
        if name not in self.counts and name not in _ITEMS:
            return word
        count = ast.parse(self.counts.get(name, f"{name}__n"), mode="eval").body
        end = ast.BinOp(ast.Constant(8), ast.Mult(), count)
        item = _call("checked_element", index, ast.Constant(0), end, ast.Constant(8), site)
        if name in self.counts:
            return item
        self.met.add(name)
        return ast.IfExp(count, item, word)

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        whole = ast.parse(ast.unparse(node), mode="eval").body
        self.generic_visit(node)
        node.slice = self._checked(node.value, node.slice, whole)
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        target, value = node.targets[0], node.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
        counted = [
            self._count(name.id, made)
            for name, made in pairs
            if isinstance(name, ast.Name) and name.id in _ITEMS
        ]
        self.generic_visit(node)
        return [node, *counted]

    def _count(self, name: str, made: ast.expr) -> ast.stmt:
        """Set the number of the items that *name* points to."""
        self.met.add(name)
        called = getattr(getattr(made, "func", None), "id", "")
        text = "0"
        if isinstance(made, ast.Call) and called in ("load_pointer", "offset_words"):
            text = _ITEMS[name].format(ast.unparse(made.args[0]))
        counted = ast.parse(f"{name}__n = {text}").body[0]
        self.visit(counted)
        return counted

    def visit_Call(self, node: ast.Call) -> Any:
        whole = ast.parse(ast.unparse(node), mode="eval").body
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in _WORDS:
            node.args[1] = self._checked(node.args[0], node.args[1], whole)
        return node


def register(*arrays: np.ndarray[Any, Any]) -> None:
    """Let functions read and write *arrays* for as long as they live."""
    for array in arrays if ON else ():
        load("nbgrad.machine.checks").register(array)


def _report(text: str) -> None:
    sys.stderr.write(f"\nnbgrad: out of bounds: {text}\n")
    load("traceback").print_stack(file=sys.stderr)
    sys.stderr.flush()
    os.abort()


def _no_element(index: int, low: int, high: int, size: int, site: int) -> None:
    where = _sites.get(site, f"site {site}")
    _report(f"{where}: index {index} of elements of {size} bytes, in bytes {low} to {high}")


def _no_word(pointer: int, index: int, site: int) -> None:
    _report(f"{_sites.get(site, f'site {site}')}: word {index} from {pointer:#x}")


_TYPES: Final[dict[str, tuple[Any, Callable[..., None]]]] = {
    "nbgrad_no_element": (ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * 5), _no_element),
    "nbgrad_no_word": (ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * 3), _no_word),
}
_called: Final = {name: kind(function) for name, (kind, function) in _TYPES.items()} if ON else {}

_makers: list[Callable[[str, str, tuple[str, ...]], Any]] = []


def made_by(make: Callable[[str, str, tuple[str, ...]], Any]) -> None:
    """Let *make*, which compiles a text as the function of that name and parameters, make the tests."""
    _makers[:] = [make]


def imports() -> dict[str, int]:
    """The addresses of the functions that instrumented code calls."""
    if not ON:
        return {}
    reports = {name: ctypes.cast(f, ctypes.c_void_p).value or 0 for name, f in _called.items()}
    tests: dict[str, int] = load("nbgrad.machine.checks").imports(*_makers)
    return reports | tests
