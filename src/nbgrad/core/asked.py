"""Who asks for the number of a traced value, and what to do about it: the error's text.

What led there is read from the names of the functions on the stack, from the innermost to the
user's line.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from nbgrad.core.modes import in_library, in_package, modes
from nbgrad.errors import SETTING, TRACED_VALUE

if TYPE_CHECKING:
    from nbgrad.core.node import Node

_NUMBER = (
    "Leave it a tensor: 0-d tensors compute like numbers. To see the number, return it from the "
    "compiled function; if it is a setting and not data, pass it as a Python int, str or bool"
)
_CHOICE = (
    "Choose by element with nbgrad.where(condition, a, b), between functions with "
    "nbgrad.cond(condition, f, g, *operands), and repeat with nbgrad.while_loop(condition, body, "
    "start); a choice by a setting takes it as a Python bool, int or str, which belongs to the trace"
)
_KEPT = (
    "{what}, at {line}, needs the number of a {aval} value that depends on {of} and was kept, in a list, a global "
    "or an attribute, while nbgrad.jit or vmap traced the function: it never had one. Return it from the "
    "function instead"
)
# By the word that a line begins with: what to write for it.
_STATEMENTS = {
    "if": "`{line}` is nbgrad.cond({test}, if_true, if_false, *operands), which runs the branch that is "
    "taken, or by element nbgrad.where({test}, a, b)",
    "while": "`{line}` is nbgrad.while_loop(lambda value: {test}, body, value), with what the loop "
    "changes as its value",
}
_STATEMENTS["elif"] = _STATEMENTS["if"]
_TEXT = (
    "Print the shape while a function is traced; to see the number, return it from the compiled "
    "function and print it there"
)
_READ = "To read a list or an array of NumPy's at it, write nbgrad.numpy.take(a, i) or nbgrad.tensor(a)[i]"
_ARRAY = (
    "The function that it was given to is not one of nbgrad's, and sees arrays only: use nbgrad's "
    "of the same meaning, or call it outside nbgrad.jit and pass what it returns"
)
_CAUSES: dict[str, tuple[str, str]] = {
    "__bool__": ("`if` (or while, and, or, not, in, min, max, sorted)", _CHOICE),
    "__contains__": ("`in`", _CHOICE),
    "item": ("item()", _NUMBER),
    "tolist": ("tolist()", _NUMBER),
    "__float__": ("float()", _NUMBER),
    "__int__": ("int()", _NUMBER),
    "__complex__": ("complex()", _NUMBER),
    "__round__": ("round()", _NUMBER),
    "__trunc__": ("int() or math.trunc()", _NUMBER),
    "__index__": (
        "an index, a length or a number of repetitions",
        "Pass it as a Python int, which belongs to the trace (static_argnums), or take it from a shape; repeat "
        f"with nbgrad.fori_loop(0, n, body, start). {_READ}",
    ),
    "__hash__": ("its use as a key", _NUMBER),
    "__format__": ("an f-string or format()", _TEXT),
    "__str__": ("str() or print()", _TEXT),
    "__repr__": ("repr() or print()", _TEXT),
    "numpy": ("numpy()", _ARRAY),
    "leave": (
        "saving an array or printing it",
        "Return the value from the compiled function, and save or print it there",
    ),
    "__array__": ("a conversion to an array", f"{_ARRAY}. {_READ}"),
    "__dlpack__": ("a conversion by DLPack", _ARRAY),
    "__reduce__": ("pickling or copying", _NUMBER),
    "backward": ("backward()", "Return the gradient instead: nbgrad.jit(nbgrad.grad(f))"),
}
_FUNCTION = (
    "forward of the nbgrad.Function {name}",
    "A forward that leaves nbgrad runs on numbers, of which a trace has none: write it in nbgrad's "
    "operations, or call what uses it without nbgrad.jit",
)
_OTHER = (
    "What it does there depends on values: pass lengths, shapes and axes as Python ints, choose "
    "with nbgrad.where instead of a mask that selects, or call it outside nbgrad.jit and pass what "
    "it returns"
)
# What converts what it is given, so that the function that the user called is another one.
_CONVERTING = [_CAUSES[k] for k in ("__array__", "numpy", "__float__", "__int__", "__complex__")]

# asking.question, which lies above: what the user called, and what nbgrad has of the same meaning.
question: Callable[[], tuple[str, str, str | None]] = lambda: ("", "", None)


def traced_value(roots: Sequence[Node], leaf: Node) -> str:
    """The error for the number of *roots*, which depend on the placeholder *leaf*."""
    what, line, advice = _cause()
    node = roots[0] if roots else leaf
    if not modes.tracing:
        return _KEPT.format(what=what, line=line, aval=node.aval, of=leaf.line or "an argument")
    value = f"the {node.aval} value"
    if node is not leaf and node.sig is not None:
        value += f" of {node.sig.prim.name}"
    if leaf.line is not None:
        value += f" that depends on {leaf.line}" if node is not leaf else f" of {leaf.line}"
    return TRACED_VALUE.format(what=what, line=line, value=value, advice=advice)


def undecided(node: Node) -> str:
    """The error for *node* where one of Python's own values has to decide."""
    what, line, _ = _cause()
    return SETTING.format(what=what, line=line, aval=node.aval)


def _cause() -> tuple[str, str, str]:
    """What asked, where, and the advice."""
    frame = sys._getframe(2)
    found: tuple[str, str] | None = None
    inner, function = "", ""
    while frame.f_back is not None and in_library(frame.f_code.co_filename):
        name = frame.f_code.co_name
        if in_package(frame.f_code.co_filename):
            module = str(frame.f_globals.get("__name__"))
            if name in _CAUSES:
                found = _CAUSES[name]  # the outermost that is known: __float__ calls item
            elif ".vocabulary." in module or ".ops." in module:
                inner = name
        frame = frame.f_back
    line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    above: FrameType | None = frame
    while above is not None and not function:
        if above.f_code.co_name == "apply" and in_package(above.f_code.co_filename):
            function = getattr(above.f_locals.get("cls"), "__name__", "")
        above = above.f_back
    if function:
        return _FUNCTION[0].format(name=function), line, _FUNCTION[1]
    if inner and found is not _CAUSES["__index__"]:  # whatever it converts inside
        return inner, line, _OTHER
    if found in _CONVERTING:
        called, _, own = question()
        if own is not None:
            return called, line, f"Write {own} instead, or pass what it returns from outside"
        if found[1] is _ARRAY and called:
            return called, line, _ARRAY
    if found is _CAUSES["__bool__"]:
        word, written = _written(frame)
        return (word, line, written) if written else (found[0], line, found[1])
    return (found[0], line, found[1]) if found else ("this", line, _OTHER)


def _written(frame: FrameType) -> tuple[str, str]:
    """The statement that *frame* is at, and what to write for it, if its line shows one that decides."""
    text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    word, _, rest = text.partition(" ")
    test, colon, after = rest.rpartition(":")
    if word not in _STATEMENTS or not colon or after.strip()[:1] not in ("", "#"):
        return "", ""
    return f"`{word}`", _STATEMENTS[word].format(line=f"{word} {test}:", test=test.strip())
