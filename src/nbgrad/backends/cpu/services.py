"""What kernels call by address: memory that grows, and whether somebody has asked a loop to end.

A signal, such as that of Ctrl-C, is handled by the thread that waits for a kernel, which looks now and then.
What its handler raises is raised when the kernel has come to its end.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np

from nbgrad.machine.compile import Code, native, remembered
from nbgrad.program.text import Service

# Type, value and traceback of what a handler has raised.
_RAISED: Final = np.zeros(3, np.int64)

_ASKED: Final = """
def nbgrad_asked(raised):
    state = PyGILState_Ensure()
    found = PyErr_CheckSignals()
    if found != 0:
        PyErr_Fetch(raised, offset_words(raised, 1), offset_words(raised, 2))
    PyGILState_Release(state)
    return i8(found)
"""


@remembered
def _asked() -> Code:
    return native(_ASKED, "nbgrad_asked", ("i8*",), result="i8")[0]


def _of_python(name: str) -> int:
    return _at(getattr(ctypes.pythonapi, name))


def _at(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def address(service: Service) -> int:
    """Where a function is; kernels may call it without the GIL."""
    if service.name == "asked":
        return _asked().address
    if service.name == "raised":
        return int(_RAISED.ctypes.data)
    if service.name == "copy":
        return _at(ctypes.memmove)
    return _of_python({"grow": "PyMem_RawRealloc", "release": "PyMem_RawFree"}[service.name])


def raised() -> Any:
    """Raise what a handler of a signal has raised while a kernel ran."""
    restore = ctypes.pythonapi.PyErr_Restore
    restore.argtypes, restore.restype = [ctypes.c_void_p] * 3, None
    found = [int(word) for word in _RAISED]
    _RAISED[:] = 0
    if found[0]:
        restore(*found)
    return KeyboardInterrupt()
