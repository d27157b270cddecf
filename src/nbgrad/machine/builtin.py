"""Machine code as a built-in function of Python, called in 50 ns where ``ctypes`` takes 500.

The interpreter's C interface (``PyCFunction_NewEx``, Python/C API reference, "Common Object
Structures") makes a function object of an address. The code is an ordinary C function of two
objects, ``PyObject *code(PyObject *owner, PyObject *argument)``, and holds the GIL when it starts.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from nbgrad.core.memory import FREE_THREADED
from nbgrad.machine import layout
from nbgrad.machine.compile import Absent, Code
from nbgrad.machine.layout import WORD

METH_O: Final = 0x8  # one argument, passed as it is
METH_FASTCALL: Final = 0x80  # any number: an array of them, and their number
METH_KEYWORDS: Final = 0x2  # and a tuple of the names of the last, or none


class _Definition(ctypes.Structure):
    """``PyMethodDef`` of the C interface."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("code", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


_definitions: dict[int, tuple[_Definition, Code]] = {}  # the functions made of them refer to them


def builtin(
    code: Code,
    name: str,
    owner: object,
    flags: int = METH_O,
    *,
    stands_for: str,
    keep: object = None,
) -> Callable[..., Any]:
    """Return the function that calls *code* with *owner* and its arguments, as *flags* say.

    Its docstring names the Python that it *stands for*, by module and name inside nbgrad. It keeps *owner* alive, the code, and *keep*: whatever addresses in *owner* lead to. A finalizer
    may call it when Python ends and this module's own variables are gone.
    """
    if not code.address:
        raise Absent
    entry = _definitions.get(code.address)
    if entry is None:
        doc = f"Machine code that stands for {stands_for}."
        definition = _Definition(name.encode(), code.address, flags, doc.encode())
        entry = _definitions.setdefault(code.address, (definition, code))
    # The third argument is meant for the function's module; it may be any object.
    made: Callable[..., Any] = _make()(ctypes.byref(entry[0]), owner, (entry, keep))
    return made


def method(code: Code, name: str, kind: type, doc: str, keep: object) -> Any:
    """Return the method *name* of the class *kind* that calls *code*.

    That is ``PyObject *code(PyObject *self, PyObject **arguments, Py_ssize_t count, PyObject *names)``:
    after *count* arguments come those by name, if there are *names*. It and *keep* are never freed: there
    is no object that lives as long, when Python ends and finalizers call it.
    """
    if not code.address:
        raise Absent
    flags = METH_FASTCALL | METH_KEYWORDS
    definition = _Definition(name.encode(), code.address, flags, doc.encode())
    entry = _definitions.setdefault(code.address, (definition, code))
    ctypes.pythonapi.Py_IncRef(ctypes.py_object((entry, keep)))
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_void_p)
    return make(("PyDescr_NewMethod", ctypes.pythonapi))(kind, ctypes.byref(entry[0]))


@cache
def _make() -> Any:
    kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
    return kind(("PyCFunction_NewEx", ctypes.pythonapi))


@cache
def available() -> bool:
    """Whether this is the Python that such functions are written for: CPython with a GIL."""
    return (
        sys.implementation.name == "cpython"
        and not FREE_THREADED
        and ctypes.sizeof(ctypes.c_void_p) == WORD
        and layout.header_known()
        and layout.array_data() > 0
    )
