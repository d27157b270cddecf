"""A build of all machine code that tests each load and store: ``NBGRAD_BOUNDS=1``.

For finding faults, not for use: it is several times slower. The text of a kernel is rewritten so that
each subscript of a pointer compares the index with the extent of the buffer, which the frame passes
along (``launch.extended``), and each call of a routine of BLAS or LAPACK the ends of its operands. In
functions that walk objects and tables each word read must lie in an
object of Python's, as its class describes it, or in memory that was registered here. What does not
is reported on the standard error stream, with Python's stack, and ends the process.
"""

from __future__ import annotations

import ast
import bisect
import ctypes
import os
import sys
import threading
import traceback
import weakref
import zlib
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np

from nbgrad.core.forks import ThreadLock, in_child

ON: Final = os.environ.get("NBGRAD_BOUNDS", "0") == "1"

_SIZES: Final = {"c16": 16, "c8": 8}
_WORDS: Final = frozenset({"load_pointer", "store_pointer"})
# What holds the items of a list or a tuple, or the extents of an array: when one is set, it is noted
# how many there are.
_ITEMS: Final = frozenset({"items", "operands", "extents"})
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
_ROUTINES: Final = {
    "call_gemm": _PRODUCT,
    "call_gemv": _PRODUCT,
    "call_trsm": _SUBSTITUTION,
    "call_trsv": _SUBSTITUTION,
    "call_potrf": {"y": ("t * n * n", "t * n * n + n * n - 1", "n")},
    "call_gesv": {
        "matrix": ("0", "n * n - 1", "n"),
        "right": ("0", "n * cols - 1", "n * cols"),
        "pivots": ("0", "n - 1", "n"),
    },
    "call_syevd": {
        "matrix": ("0", "n * n - 1", "n"),
        "y": ("t * width", "t * width + n - 1", "n"),
        "work": ("0", "lwork - 1", "n"),
        "integers": ("0", "liwork - 1", "n"),
    },
}
_sites: dict[int, str] = {}


def instrumented(
    source: str, name: str, params: tuple[str, ...], result: str | None
) -> tuple[str, tuple[str, ...]]:
    """The text of a function, and its parameters, with a test of each load and store."""
    tree = ast.parse(source)
    for definition in tree.body:
        if isinstance(definition, ast.FunctionDef) and definition.name == name:
            given = [a.arg for a in definition.args.args]
            codes = dict(zip(given, params, strict=True))
            pointers = {p: _size(c) for p, c in codes.items() if c.endswith("*")}
            if result is not None:
                # Arguments of a call lie on the interpreter's stack, with their number beside them.
                counts = {"args": "count"} if "count" in given else {}
                _Words(name, counts).visit(definition)
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
    number = zlib.crc32(text.encode())
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
    """Rewrites ``p[i]`` and ``load_pointer(p, i)`` of functions that walk objects and tables."""

    def __init__(self, name: str, counts: dict[str, str]) -> None:
        self.name = name
        self.counts = counts

    def _checked(self, pointer: ast.expr, index: ast.expr, whole: ast.AST) -> ast.expr:
        if isinstance(pointer, ast.Name) and pointer.id in self.counts:
            end = ast.BinOp(
                ast.Constant(8), ast.Mult(), ast.Name(self.counts[pointer.id], ast.Load())
            )
            site = ast.Constant(_site(self.name, whole))
            return _call("checked_element", index, ast.Constant(0), end, ast.Constant(8), site)
        return _call("checked_word", pointer, index, ast.Constant(_site(self.name, whole)))

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        whole = ast.parse(ast.unparse(node), mode="eval").body
        self.generic_visit(node)
        node.slice = self._checked(node.value, node.slice, whole)
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        self.generic_visit(node)
        target, value = node.targets[0], node.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
        held = [
            made.args[0]
            for name, made in pairs
            if isinstance(name, ast.Name)
            and name.id in _ITEMS
            and isinstance(made, ast.Call)
            and isinstance(made.func, ast.Name)
            and made.func.id in ("load_pointer", "offset_words")
        ]
        return [node, *(ast.Expr(_call("known_items", holder)) for holder in held)]

    def visit_Call(self, node: ast.Call) -> Any:
        whole = ast.parse(ast.unparse(node), mode="eval").body
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in _WORDS:
            node.args[1] = self._checked(node.args[0], node.args[1], whole)
        return node


# ------------------------------------------------------------------------------ what is known


class _Regions:
    """Memory that functions may read and write, by first address, in the order of addresses."""

    def __init__(self) -> None:
        self.lock = ThreadLock()
        self.starts: list[int] = []
        self.stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        with self.lock.held:
            at = bisect.bisect(self.starts, start)
            self.starts.insert(at, start)
            self.stops.insert(at, stop)

    def drop(self, start: int) -> None:
        with self.lock.held:
            at = bisect.bisect(self.starts, start) - 1
            del self.starts[at], self.stops[at]

    def holds(self, address: int) -> bool:
        with self.lock.held:
            at = bisect.bisect(self.starts, address) - 1
            return at >= 0 and address + 8 <= self.stops[at]


_regions = _Regions()


def register(*arrays: np.ndarray[Any, Any]) -> None:
    """Let functions read and write *arrays* for as long as they live."""
    for array in arrays if ON else ():
        start = array.ctypes.data
        _regions.add(start, start + array.nbytes)
        weakref.finalize(array, _regions.drop, start).atexit = False


# ------------------------------------------------------------------------------ what is called


def _report(text: str) -> None:
    sys.stderr.write(f"\nnbgrad: out of bounds: {text}\n")
    traceback.print_stack(file=sys.stderr)
    sys.stderr.flush()
    os.abort()


def _element(index: int, low: int, high: int, size: int, site: int) -> None:
    where = _sites.get(site, f"site {site}")
    _report(f"{where}: index {index} of elements of {size} bytes, in bytes {low} to {high}")


def _layout_of_types() -> tuple[int, int, int]:
    """The words of a class with the size of its objects, that of their items, and its flags."""
    words = (ctypes.c_int64 * 32).from_address(id(tuple))
    basic, item = tuple.__basicsize__, tuple.__itemsize__
    at = next(k for k in range(3, 15) if words[k] == basic and words[k + 1] == item)
    return at, at + 1, next(k for k in range(at + 2, 32) if words[k] == tuple.__flags__)


_BASIC, _ITEM, _FLAGS = _layout_of_types() if ON else (0, 0, 0)
_IS_METACLASS: Final = 1 << 31  # Py_TPFLAGS_TYPE_SUBCLASS
_STACK: Final = 1 << 20


if ON:
    # What is called holds the GIL and counts on that; os.pread would let go of it. Python may still
    # let another thread in between, so this build is right in one thread alone.
    _pread = ctypes.PyDLL(None).pread
    _pread.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64]
    _pread.restype = ctypes.c_ssize_t


@cache
def _memory() -> int:
    """The process's own memory as a file; -1 where there is none, and what is wrong is a crash."""
    return os.open("/proc/self/mem", os.O_RDONLY) if os.path.exists("/proc/self/mem") else -1


in_child(_memory.cache_clear)


def _read(address: int, count: int = 1) -> tuple[int, ...]:
    """*count* words of the process's own memory; none where there is no memory."""
    if address & 7 or not 1 << 16 <= address < 1 << 62:
        return ()
    if _memory() < 0:
        return tuple((ctypes.c_int64 * count).from_address(address))
    words = (ctypes.c_int64 * count)()
    found = _pread(_memory(), words, ctypes.sizeof(words), address)
    return tuple(words) if found == ctypes.sizeof(words) else ()


_sizes: dict[
    int, tuple[int, int]
] = {}  # of the objects of a class, and of an item, by its address


def _object_holds(pointer: int, index: int) -> bool:
    """Whether *pointer* is an object whose class says that it has the word *index*."""
    head = _read(pointer, 3)
    if not head or index < 0:
        return False
    if (sizes := _sizes.get(head[1])) is None:
        kind = _read(head[1], 16)
        of_kind = _read(kind[1], _FLAGS + 1) if kind else ()
        known = of_kind and of_kind[_FLAGS] & _IS_METACLASS
        sizes = (kind[_BASIC], kind[_ITEM]) if known else (0, 0)
        if not 16 <= sizes[0] < 1 << 20 or not 0 <= sizes[1] < 1 << 12:
            return False
        _sizes[head[1]] = sizes
    size, item = sizes
    return 8 * (index + 1) <= size + (abs(head[2]) * item if item else 0)


class _Last(threading.local):
    """The items of the lists and tuples that this thread has met last."""

    def __init__(self) -> None:
        self.met: deque[tuple[int, int]] = deque(maxlen=64)


_last = _Last()


def _items(pointer: int) -> None:
    """Let the items of *pointer* be read, if it is a list or a tuple, or the extents of an array."""
    head = _read(pointer, 2)
    plain = head and head[1] in (id(list), id(tuple), id(np.ndarray))
    if not (plain or _object_holds(pointer, 1)):  # of a subclass
        return
    held = ctypes.cast(pointer, ctypes.py_object).value
    if not isinstance(held, (list, tuple, np.ndarray)):
        return
    if isinstance(held, np.ndarray):  # behind the data and the rank, as NumPy documents it
        start, count = (_read(pointer + 32) or (0,))[0], held.ndim
    elif isinstance(held, list):  # the first address behind the size
        start = next((w for w in _read(pointer, list.__basicsize__ // 8)[3:] if w > 1 << 16), 0)
        count = len(held)
    else:
        start, count = pointer + tuple.__basicsize__, len(held)
    _last.met.append((start, start + 8 * count))


def _word(pointer: int, index: int, stack: int, site: int) -> None:
    address = pointer + 8 * index
    if abs(address - stack) < _STACK or _regions.holds(address) or _object_holds(pointer, index):
        return
    if any(start <= address < stop for start, stop in _last.met):
        return
    _report(f"{_sites.get(site, f'site {site}')}: word {index} from {pointer:#x}")


_TYPES: Final[dict[str, tuple[Any, Callable[..., None]]]] = {
    "nbgrad_element": (ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * 5), _element),
    "nbgrad_items": (ctypes.CFUNCTYPE(None, ctypes.c_int64), _items),
    "nbgrad_word": (ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * 4), _word),
}
_called: Final = {name: kind(function) for name, (kind, function) in _TYPES.items()} if ON else {}


def imports() -> dict[str, int]:
    """The addresses of the functions that instrumented code calls."""
    return {name: ctypes.cast(f, ctypes.c_void_p).value or 0 for name, f in _called.items()}
