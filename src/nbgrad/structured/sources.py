"""The text of a function, if it is the text of the function that runs."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import textwrap
from collections.abc import Iterator
from types import CodeType
from typing import Any

from nbgrad.structured.ir import Refused

# What of a code object says what it does, its lines apart.
MEANING = ("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars")


def source_of(function: Any) -> tuple[ast.FunctionDef, int]:
    """The syntax tree of a Python function, and the line before it."""
    code = function.__code__
    linecache.checkcache(code.co_filename)
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        raise Refused("a function whose source is not to be had") from None
    found = tree.body[0] if tree.body else None
    if not isinstance(found, ast.FunctionDef):
        raise Refused("a function that is no def statement")
    text = "".join(linecache.getlines(code.co_filename, function.__globals__))
    if not any(same(code, other) for other in codes(text) if other.co_firstlineno == first):
        raise Refused("a function whose file has other text than when it was read", first)
    ast.increment_lineno(found, first - 1)
    if found.args.vararg or found.args.kwarg:
        raise Refused("a function with * or ** arguments", found.lineno)
    return found, first


@functools.lru_cache(maxsize=8)
def codes(text: str) -> tuple[CodeType, ...]:
    """All code of a file: methods of imported modules are called otherwise, so none by itself."""
    try:
        return tuple(within(compile(text, "", "exec", dont_inherit=True)))
    except (SyntaxError, ValueError):
        return ()


def within(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from within(constant)


def same(code: CodeType, other: CodeType) -> bool:
    """Whether two code objects do the same."""
    if any(getattr(code, name) != getattr(other, name) for name in MEANING):
        return False
    return len(code.co_consts) == len(other.co_consts) and all(
        same(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else told(a) == told(b)
        for a, b in zip(code.co_consts, other.co_consts, strict=True)
    )


def told(x: Any) -> Any:
    """A constant, apart from others that are equal to it: 1, 1.0 and True, 0.0 and -0.0."""
    return tuple(map(told, x)) if isinstance(x, tuple) else (type(x), repr(x))
