"""Who asks for a tensor's values, and what to call instead: for the error that refuses them.

NumPy and SciPy convert whatever they are given. Which of the user's calls led there is read from
the stack, by the positions that Python keeps of the parts of each line; what nbgrad has of the same
meaning, from the registry.
"""

from __future__ import annotations

import builtins
import sys
from types import CodeType, FrameType, ModuleType
from typing import Any

from nbgrad.core.lazy import LazyModule
from nbgrad.core.lookup import load_vocabulary, ours
from nbgrad.core.missing import full_name
from nbgrad.core.modes import in_library, in_package
from nbgrad.core.ports import ports
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import functions
from nbgrad.tensors import elsewhere

dis = LazyModule("dis")

_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FAST", "LOAD_DEREF", "LOAD_ATTR", "LOAD_METHOD")
_OPERATORS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "@": "matmul"}
_OPERATORS |= {"**": "power", "%": "remainder", "//": "floor_divide"}
_STORED = "An assignment to elements of an array, a[i] = x"
_MATHS = {"fabs": "absolute", "lgamma": "gammaln", "fsum": "sum", "dist": "norm"}


def question() -> tuple[str, str, str | None]:
    """What the user called, on which line, and what nbgrad has of the same meaning.

    Returns
    -------
    called : str
        Such as ``numpy.array``; empty if that cannot be told.
    line : str
        ``file:line``.
    own : str or None
        Such as ``nbgrad.numpy.array``.
    """
    inner, frame = _users(sys._getframe(1))
    line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    text, found = _called(frame)
    if text is _STORED:
        return text, line, "nbgrad.zeros or nbgrad.tensor to make the array"
    if inner is not None and getattr(found, "__module__", "") == "builtins":
        text, found = "", None  # such as map, which called the library
    if callable(found):
        name = _name(found)
        return name, line, counterpart(found) or elsewhere.by_name(name)
    if text in _OPERATORS:
        own = f"nbgrad.{_OPERATORS[text]}(a, b)"
        package = "" if inner is None else str(inner.f_globals.get("__name__", ""))
        return f"the operator {text} of {package.partition('.')[0] or 'an array'}", line, own
    if inner is not None:
        name = elsewhere.running(inner, text)
        return name, line, elsewhere.by_name(name)
    return "", line, None


def _users(frame: Any) -> tuple[FrameType | None, FrameType]:
    """The innermost frame of a user's code, and what it called, if that is Python's: behind its decorators."""
    while in_package(frame.f_code.co_filename) and frame.f_back is not None:
        frame = frame.f_back
    first, inner = frame, None
    while in_library(frame.f_code.co_filename):
        if frame.f_back is None:  # an installed package is the user
            return None, first
        if inner is None or "<" not in frame.f_code.co_qualname:
            inner = frame
        frame = frame.f_back
    return inner, frame


def advice(otherwise: str = "") -> str:
    """The end of an error: who asked, and what to write, or *otherwise* if that is not known."""
    called, line, own = question()
    if called is _STORED:
        return (
            f"{called}, at {line}, would cut the gradient: make the array a tensor (nbgrad.zeros instead of "
            "numpy.zeros), or collect the parts in a list for nbgrad.stack or nbgrad.concatenate."
        )
    if own is not None:
        return f"{called}, at {line}, would cut the gradient: write {own} instead."
    if otherwise or not called:
        return f"{otherwise} ({called}{called and ', '}at {line})".lstrip()
    return (
        f"{called}, at {line}, has no counterpart in nbgrad: give it tensor.detach().numpy() (and "
        "let a function that it calls return that) if no gradient is to pass through it, or "
        "differentiate it in an nbgrad.Function."
    )


def counterpart(reference: Any) -> str | None:
    """Dotted name of what nbgrad has for a function of NumPy's, SciPy's or Python's math."""
    load_vocabulary()
    implementation = ours(reference) if _hashable(reference) else None
    for namespace, held in functions.items():
        for name, declared in held.items():
            same = implementation is not None and declared.implementation is implementation
            if same or _is(declared.reference, reference):
                return f"nbgrad.{namespace}.{name}"
    if isinstance(implementation, Primitive) and implementation.public:
        return f"nbgrad.{implementation.namespace}.{implementation.name}"
    short = getattr(reference, "__name__", "")
    if getattr(reference, "__module__", None) in ("math", "cmath"):
        short = _MATHS.get(short, short)
        special = f"nbgrad.special.{short}" if hasattr(ports.namespace("special"), short) else None
        return f"nbgrad.{short}" if hasattr(ports.namespace("numpy"), short) else special
    own = ports.namespace("numpy")
    numpys = getattr(sys.modules["numpy"], short, None) is reference
    return f"nbgrad.numpy.{short}" if numpys and short in getattr(own, "__all__", ()) else None


def _hashable(x: Any) -> bool:
    return getattr(x.__class__, "__hash__", None) is not None


def _is(declared: Any, reference: Any) -> bool:
    """Whether a declaration's reference is *reference*; some are dotted names."""
    if isinstance(declared, str):
        module, _, name = declared.rpartition(".")
        declared = getattr(sys.modules.get(module), name, None)
    return declared is reference and declared is not None


def _name(found: Any) -> str:
    """The public name of a function or method."""
    holder = getattr(found, "__self__", None)
    if holder is None or isinstance(holder, ModuleType):
        return elsewhere.public(full_name(found), found)
    return f"{elsewhere.owner(holder)}.{found.__name__}"


def _called(frame: FrameType) -> tuple[str, Any]:
    """The call or operator that *frame* is in the middle of: its text, and the function called."""
    code = frame.f_code
    current, loads = _instructions(code, frame.f_lasti)
    if current is None:
        return "", None
    if current.opname in ("STORE_SUBSCR", "STORE_SLICE"):
        return _STORED, None
    if current.opname in ("BINARY_OP", "COMPARE_OP"):
        return current.argrepr.rstrip("="), None
    if not current.opname.startswith("CALL"):
        return "", None
    names = [load.argval for load in loads]
    return ".".join(map(str, names)), _resolved(frame, names)


def _instructions(code: CodeType, at: int) -> tuple[Any, list[Any]]:
    """The instruction at offset *at*, and the loads of the function that it calls."""
    before = [i for i in dis.get_instructions(code) if i.offset <= at]
    if not before:
        return None, []
    current = before[-1]
    place = current.positions
    loads = [
        i
        for i in before[:-1]
        if i.positions is not None
        and (i.positions.lineno, i.positions.col_offset) == (place.lineno, place.col_offset)
        and (i.positions.end_lineno, i.positions.end_col_offset)
        < (place.end_lineno, place.end_col_offset)
        and i.opname not in ("PUSH_NULL", "RESUME", "CACHE", "KW_NAMES")
    ]
    return current, loads if all(i.opname in _LOADS for i in loads) else []


def _is_scipys(x: Any) -> bool:
    """Whether *x* is an object of SciPy's, such as a distribution: reading its attributes runs no user's code."""
    return str(x.__class__.__module__).startswith("scipy.")


def _resolved(frame: FrameType, names: list[Any]) -> Any:
    """What a dotted name means in *frame*; only modules, classes and SciPy's objects have attributes."""
    if not names:
        return None
    first, *rest = names
    scopes = (frame.f_locals, frame.f_globals, vars(builtins))
    found = next((scope[first] for scope in scopes if first in scope), None)
    for name in rest:
        if not isinstance(found, (ModuleType, type)) and not _is_scipys(found):
            return None
        found = getattr(found, name, None)
    return found
