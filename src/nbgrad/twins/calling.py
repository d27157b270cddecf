"""Calling a compiled function as machine code: from the object that is called to the code of one structure.

A method in Python takes its arguments as a tuple and a dictionary and passes them on: that, and the
looks at settings, is most of what a call of few numbers takes. Such a call finds here what it needs in
one tuple in the object (``api.short``); every other one is passed to the method in Python.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np

from nbgrad.backends.cpu import entry
from nbgrad.config import settings
from nbgrad.core.modes import lines, tracing
from nbgrad.machine import bounds, builtin, layout
from nbgrad.machine.compile import lacking, native

# Words that all compiled functions share, and items of the tuple in each.
OBJECTS: Final[dict[str, Any]] = {
    "NONE": None,
    "SETTINGS": settings,
    "LINES": lines,
    "ZERO": 0,
    "TRACING": tracing,
    "TUPLE": tuple,
    "NO_NAMES": {},
    "ARRAY": np.ndarray,
    "OUT": sys.intern("out"),
    "ONE": 1,
    "SEVERAL": 2,
}
CALL, WRITE = range(len(OBJECTS), len(OBJECTS) + 2)  # the methods in Python
CONFIG, MATCH, ENTER, FINISH, COMMON, WORDS, INTO, GIVEN = range(8)
ROOM: Final = 32  # arguments and results of a call into given arrays

# Finds the tuple, and whether it is of use here.
_FIND: Final = f"""
    quick = load_pointer(self, {{place}})
    if address(quick) == 0:  # an object that nobody has initialised
        PyErr_BadInternalCall()
        return 0
    items = offset_words(quick, {{items}})
    shared = load_pointer(load_pointer(items, {COMMON}), {{array_data}})
    none = shared[{{NONE}}]
    fits = (
        items[{WORDS}] != none
        and items[{CONFIG}] == load_pointer(shared, {{SETTINGS}})[{{current}}]
        and load_pointer(shared, {{LINES}})[{{on}}] == shared[{{ZERO}}]
    )
"""
# Passes the arguments on; those by name, and *self*, become items of one array with the others. It is made as
# a tuple, but nobody may hash it: from Python 3.14 on a tuple remembers its hash, which is 0 in this one.
_ELSE: Final = """
    if address(names) != 0:
        count += names[{size}]
    held = PyType_GenericAlloc(shared[{TUPLE}], count + 1)
    if address(held) == 0:
        return 0
    operands = offset_words(held, {items})
    operands[0] = address(self)
    Py_IncRef(operands[0])
    for k in range(count):
        operands[1 + k] = args[k]
        Py_IncRef(args[k])
    if address(names) != 0:
        count -= names[{size}]
    found = address(PyObject_Vectorcall(shared[{python}], operands, count + 1, names))
    Py_DecRef(address(held))
    return found
"""
_CALL: Final = (
    "def nbgrad_jitted(self, args, count, names):"
    + _FIND
    + f"""
    if fits and address(names) == 0:
        Py_IncRef(address(quick))  # which another call may replace meanwhile
        words, leaves, n, row = load_pointer(items, {WORDS}), args, count, stack_words()
        given = quick
        if items[{MATCH}] != none:
            held = PyType_GenericAlloc(shared[{{TUPLE}}], count)
            if address(held) == 0:
                Py_DecRef(address(quick))
                return 0
            operands = offset_words(held, {{items}})
            for k in range(count):
                operands[k] = args[k]
                Py_IncRef(args[k])
            row[0], row[1] = address(held), shared[{{NO_NAMES}}]
            given = PyObject_Vectorcall(items[{MATCH}], row, 2, names)
            Py_DecRef(address(held))
            leaves, n = offset_words(given, {{items}}), 0
            if address(given) != 0 and address(given) != none:
                n = given[{{size}}]
        else:
            Py_IncRef(address(given))
        found = address(given)
        if found != 0 and found != none:
            code = load_pointer(load_pointer(words, {{array_data}}), {entry.CALL})
            found = call_fast(code, words, leaves, n)
            Py_DecRef(address(given))
        if found != 0 and found != none and items[{FINISH}] != none:
            row[0] = found
            whole = address(PyObject_Vectorcall(items[{FINISH}], row, 1, names))
            Py_DecRef(found)
            if whole == found:  # what the function reads from outside is not as it was
                Py_DecRef(found)
                whole = none
                Py_IncRef(none)
            found = whole
        Py_DecRef(address(quick))
        if found != none:
            return found
        Py_DecRef(found)
"""
    + _ELSE
)
_INTO: Final = (
    "def nbgrad_jitted_into(self, args, count, names):"
    + _FIND
    + f"""
    fits = fits and items[{MATCH}] == none and items[{FINISH}] == none
    fits = fits and address(names) != 0 and names[{{size}}] == 1
    if fits:
        fits = names[{{items}}] == shared[{{OUT}}] and PySet_Size(shared[{{TRACING}}]) == 0
    if fits:
        count += 1
        row, out, n, how = stack_words(), load_pointer(args, count - 1), count - 1, items[{GIVEN}]
        count -= 1
        if how == shared[{{SEVERAL}}] and out[1] == shared[{{TUPLE}}] and n + out[{{size}}] <= {ROOM}:
            for k in range(out[{{size}}]):
                row[n] = out[{{items}} + k]
                n += 1
        elif how == shared[{{ONE}}] and n < {ROOM}:
            row[n] = address(out)
            n += 1
        for k in range(count if n > count else 0):
            row[k] = args[k]
        words, code = load_pointer(items, {WORDS}), {entry.INTO}
        if n > count:
            Py_IncRef(address(quick))
            found = call_fast(load_pointer(load_pointer(words, {{array_data}}), code), words, row, n)
            Py_DecRef(address(quick))
            if found != none:
                Py_DecRef(found)  # it is True
                Py_IncRef(address(out))
                return address(out)
            Py_DecRef(found)
"""
    + _ELSE
)


def methods(kind: Any, shared: np.ndarray[Any, Any]) -> dict[str, Any] | None:
    """``__call__`` and ``into`` of the class *kind* as machine code; None where this Python does not allow it.

    Its objects have such tuples in ``quick``, and in ``quick_into``, for ``into``. Words of all are in *shared*.
    """
    python = {name: kind.__dict__[name] for name in ("__call__", "into")}
    places = layout.array_layout() | layout.containers()
    places |= {"current": layout.slot(type(settings)(), "current")}
    places |= {"on": layout.slot(type(lines)(), "on")}
    slots = [layout.slot(kind.__new__(kind), name) for name in ("quick", "quick_into")]
    if not entry.available() or 0 in (*places.values(), *slots):
        return None
    places |= {name: k for k, name in enumerate(OBJECTS)}
    texts = (
        (_CALL, "nbgrad_jitted", slots[0], CALL),
        (_INTO, "nbgrad_jitted_into", slots[1], WRITE),
    )
    codes = [
        native(
            text.format(**places, place=place, python=word),
            name,
            ("i8*", "i8*", "i8", "i8*"),
            result="i8",
        )[0]
        for text, name, place, word in texts
    ]
    if lacking():
        return None
    shared[: WRITE + 1] = [*map(id, OBJECTS.values()), *map(id, python.values())]
    bounds.register(shared)
    docs = ("", f"into($self, /, *args, out, **kwargs)\n--\n\n{kind.into.__doc__}")
    return {
        name: builtin.method(code, name, kind, doc, (OBJECTS, python, shared))
        for code, name, doc in zip(codes, python, docs, strict=True)
    }
