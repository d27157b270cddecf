"""What an emitted kernel is made of: argument descriptions, and the texts of its parts."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from nbgrad.core import frozen
from nbgrad.core.lazy import pattern
from nbgrad.core.tape import Var
from nbgrad.program.nest import Compute, Guard, Reduce, Select, Value
from nbgrad.program.values import ALL_CODES

_CALLED = frozenset({*ALL_CODES.values(), "abs"})
# What marks a text as more than + - * of its operands.
WORDS = pattern(r"[a-z]{2}|<|>|=|/|\{[tc]\}")
# By the test in the text of an extremum, that of one in any order.
_TEST = pattern(r"\{a\} ([<>]=) \{b\}")
_EXTREMA = {">=": "reduce_max", "<=": "reduce_min"}
# Numbers that stay in the text: rules are full of them, and the compiler folds them.
INLINE = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)


class Pointer(frozen.Value):
    """Argument: the address of a buffer plus an offset in bytes."""

    buffer: Var
    offset: int


class Number(frozen.Value):
    """Argument: an integer, or the bits of a number of a dtype."""

    value: Any
    code: str = "i8"


class Status(frozen.Value):
    """Argument: the address of the status word of the frame."""


class Service(frozen.Value):
    """Argument: the address of a function of the backend's: "grow", "release", "copy" or "asked".

    They give memory, take it back, copy it, and say whether somebody has asked that a loop ends; "raised" is where
    the last one leaves how.
    """

    name: str


# Faults that are no index out of bounds, in the place of the number of a size.
NO_MEMORY, ENDED = 254, 255


class Emitted(frozen.Value):
    """One kernel as text: its source, name, type codes and what its arguments are.

    A loop may read arrays by number, of ``sizes`` rows. If it ``faults``, its last two arguments are the
    status word, and the number of the step; a fault is the index in the high half of the word, then which
    of the sizes in 8 bits, and the number of the step in 24.
    """

    source: str
    name: str
    signature: tuple[str, ...]
    args: tuple[Pointer | Number | Status | Service, ...]
    tasks: int
    grain: int
    sizes: tuple[int, ...] = ()
    faults: bool = False


class CudaKernel(frozen.Value):
    """One kernel as text, and how it is called.

    Attributes
    ----------
    source, name : str
        A function ``name(at, *memory)``, and the name in it.
    views : tuple of str
        Type codes of the views of memory that follow ``at``, in the order of ``cuda_text.VIEWS``.
    args : tuple of Pointer or Number
        What the words of the table are, from word ``at`` on: see ``cuda_text.words``.
    threads : int
        Of a block: what was meant. A kernel computes the same with any power of two up to it.
    blocks : int
        How many have work to do, up to what keeps a card busy; fewer or more compute the same.
    sizes : tuple of int
        Of a kernel that reads rows by number: how many there are. Its last word is 0 and becomes a fault if
        a number is out of bounds: that times 256, and 1 more than its place among ``sizes``.
    """

    source: str
    name: str
    views: tuple[str, ...]
    args: tuple[Pointer | Number, ...]
    threads: int
    blocks: int
    sizes: tuple[int, ...] = ()


def guards_of(value: Value) -> tuple[Guard, ...]:
    return getattr(value, "guards", ())


def all_guards(value: Value) -> tuple[Guard, ...]:
    inner = value.inner if isinstance(value, Select) else ()
    return (*guards_of(value), *inner)


def inline(value: Any) -> bool:
    if isinstance(value, complex):
        return False
    return isinstance(value, bool) or value in INLINE or not math.isfinite(value)


def literal(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "math.nan" if value != value else ("math.inf" if value > 0 else "-math.inf")
    return repr(value)


def right_side(value: Compute, operands: Sequence[str]) -> str:
    """The text of a statement over the texts of its operands."""
    code = ALL_CODES[value.loop_dtype]
    out = ALL_CODES[value.dtype]
    wide = code == "i8" or (code[0] == "i" and value.text.count("*") > 1)
    if code == out and wide and not WORDS.search(value.text):
        # Signed overflow of 64 bits is undefined to LLVM; NumPy wraps around.
        operands = [f"u8({name})" for name in operands]
    text = value.text.format(**dict(zip("xyz", operands, strict=False)), t=code, c=code, to=out)
    # Numba widens small integers; the cast brings them back.
    return f"{out}({text})" if value.dtype.kind in "iu" else text


# Elements of float32 that may be added up in float32, one after the other.
SHORT = 256


def is_wide(r: Reduce) -> bool:
    """Whether partial results are float64: sums of float32, which lose digits with their length."""
    return r.combine == "{a} + {b}" and r.dtype == np.float32 and r.n > SHORT


def identity_text(r: Reduce, code: str = "") -> str:
    """The number to start from, in the dtype *code* (by default that of partial results)."""
    code = code or ("f8" if is_wide(r) else ALL_CODES[r.dtype])
    if r.identity.endswith("inf"):
        if r.dtype.kind in "iu":
            info = np.iinfo(r.dtype)
            return f"{code}({info.min if r.identity.startswith('-') else info.max})"
        return f"{code}({r.identity.replace('inf', 'math.inf')})"
    return f"{code}({r.identity})"


def combined(r: Reduce, a: str, b: str) -> str:
    if r.combine == "{a} + {b}" and r.dtype.kind == "f":
        return f"reduce_add({a}, {b})"
    text = r.combine.format(a=a, b=b)
    return f"{ALL_CODES[r.dtype]}({text})" if r.dtype.kind in "iu" else text


def gathered(r: Reduce, a: str, b: str) -> str:
    """As ``combined``, for a loop on the CPU: of largest and smallest floats several are kept at a time."""
    test = _TEST.search(r.combine) if r.dtype.kind == "f" else None
    return combined(r, a, b) if test is None else f"{_EXTREMA[test[1]]}({a}, {b})"


class _Choices(ast.NodeTransformer):
    """Makes ``a if c else b`` a call of ``select``, and gives up where evaluating both could harm."""

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        parts = [self.visit(part) for part in (node.test, node.body, node.orelse)]
        return ast.Call(ast.Name("select", ast.Load()), parts, [])

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        operation = ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr()
        found, *rest = [self.visit(value) for value in node.values]
        for value in rest:
            found = ast.BinOp(found, operation, value)
        return found  # type: ignore[no-any-return]


# What may be evaluated though it is not asked for: of numbers, cheap, and without a trap.
_HARMLESS = (
    ast.Expression, ast.IfExp, ast.BoolOp, ast.And, ast.Or, ast.Compare, ast.cmpop, ast.BinOp, ast.Add,
    ast.Sub, ast.Mult, ast.Div, ast.BitAnd, ast.BitOr, ast.UnaryOp, ast.unaryop, ast.Constant, ast.Name, ast.Load, ast.Set,
    ast.Attribute, ast.Call,
)  # fmt: skip


@lru_cache(maxsize=4096)
def unbranched(text: str) -> str:
    """A text over ``{0}``, ``{1}`` ... without branches, which take long to compile, where it can be.

    Examples
    --------
    >>> unbranched("({0} * {1} if {0} != f8(0) else f8(0))")
    'select({0} != f8(0), {0} * {1}, f8(0))'
    >>> unbranched("({0} // {1} if {1} != 0 else 0)")
    '({0} // {1} if {1} != 0 else 0)'
    """
    if " if " not in text:
        return text
    tree = ast.parse(text, mode="eval")
    for node in ast.walk(tree):
        cast = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if not isinstance(node, _HARMLESS) or (
            isinstance(node, ast.Call) and not (cast and node.func.id in _CALLED)  # type: ignore[attr-defined]
        ):
            return text
    return ast.unparse(ast.fix_missing_locations(_Choices().visit(tree)))
