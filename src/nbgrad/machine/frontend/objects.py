"""Python's objects in kernel text: functions of its C interface and of NumPy's, and tests of accesses."""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir

from nbgrad.machine.frontend.instructions import external, instruction
from nbgrad.machine.frontend.memory import I32, I64, POINTER, VOID, WORDS, at, in_frame
from nbgrad.machine.frontend.operations import called


@instruction(WORDS, WORDS, "i8", WORDS, "i8")
def call_empty(b: Any, function: Any, ndim: Any, shape: Any, dtype: Any) -> Any:
    """Call NumPy's ``PyArray_Empty(ndim, shape, dtype, 0)``."""
    return at(b, function, POINTER, b.trunc(ndim, I32), shape, dtype, I32(0))


@instruction("i8", WORDS, WORDS, "i8")
def call_scalar(b: Any, function: Any, data: Any, dtype: Any) -> Any:
    """Call NumPy's ``PyArray_Scalar(data, dtype, NULL)``."""
    return at(b, function, I64, data, dtype, POINTER(None))


@instruction("i8", WORDS, WORDS, WORDS, "i8")
def call_fast(b: Any, function: Any, owner: Any, args: Any, count: Any) -> Any:
    """Call the code of a built-in function, ``PyObject *(*code)(PyObject *owner, PyObject **args, int64 count)``."""
    return at(b, function, I64, owner, args, count)


@instruction("i8", "i8", "i8", "i8", "i8", "i8")
def checked_element(b: Any, index: Any, low: Any, high: Any, size: Any, site: Any) -> Any:
    """*index*, after a report if that element is not between the bytes *low* and *high*.

    Both are 0 where they are not known.
    """
    start = b.mul(index, size)
    below = b.icmp_signed("<", start, low)
    above = b.icmp_signed(">", b.add(start, size), high)
    known = b.icmp_signed("!=", low, high)
    with b.if_then(b.and_(known, b.or_(below, above)), likely=False):
        called(b, "nbgrad_no_element", VOID, index, low, high, size, site)
    return index


@instruction("i8", WORDS, "i8", "i8")
def checked_word(b: Any, pointer: Any, index: Any, site: Any) -> Any:
    """*index*, after a report if that word of *pointer* is in no object and no known memory."""
    here = b.ptrtoint(in_frame(b, I64), I64)
    called(b, "nbgrad_word", VOID, pointer, index, here, site)
    return index


@instruction(WORDS)
def known_memory(b: Any) -> Any:
    """The table of ``checks``, which is linked in by name."""
    found = b.module.globals.get("nbgrad_known")
    return found or ir.GlobalVariable(b.module, I64, "nbgrad_known")


# Functions of Python's C interface: the kinds of their results and operands. Objects are pointers where
# they are read, else numbers.
_O: Final = "i8"
INTERPRETER: Final[dict[str, tuple[str, ...]]] = {
    "PyEval_SaveThread": (WORDS,),
    "PyEval_RestoreThread": ("none", WORDS),
    "Py_IncRef": ("none", _O),
    "Py_DecRef": ("none", _O),
    "PyLong_FromLongLong": (_O, "i8"),
    "PyLong_AsLongLong": ("i8", _O),
    "PyFloat_AsDouble": ("f8", _O),
    "PyErr_Occurred": (_O,),
    "PyErr_Clear": ("none",),
    "PyErr_CheckSignals": ("i4",),
    "PyErr_Fetch": ("none", WORDS, WORDS, WORDS),
    "PyErr_BadInternalCall": ("none",),
    "PyGILState_Ensure": ("i4",),
    "PyGILState_Release": ("none", "i4"),
    "PyDict_GetItem": (WORDS, _O, _O),
    "PySet_Size": ("i8", _O),
    "PyObject_CallNoArgs": (_O, _O),
    "PyObject_RichCompareBool": ("i4", _O, _O, "i4"),
    "PyObject_Vectorcall": (WORDS, _O, WORDS, "i8", WORDS),
    "PyIter_Next": (_O, _O),
    "PyType_GenericAlloc": (WORDS, _O, "i8"),
    "PyTuple_New": (_O, "i8"),
    "PyTuple_SetItem": ("i4", _O, "i8", _O),
    "PyList_New": (_O, "i8"),
    "PyList_Append": ("i4", _O, _O),
    "PyWeakref_NewRef": (_O, _O, _O),
    "PyList_SetSlice": ("i4", _O, "i8", "i8", _O),
    "PyList_SetItem": ("i4", _O, "i8", _O),
    "PyBytes_FromStringAndSize": (_O, WORDS, "i8"),
}
_OTHERS: Final[dict[str, tuple[str, ...]]] = {
    # In the build that tests each access.
    "nbgrad_count": ("i8", WORDS),
    "nbgrad_no_word": ("none", "i8", "i8", "i8"),
    "pread": ("i8", "i8", WORDS, "i8", "i8"),
}
OBJECTS: Final = (
    *(call_empty, call_scalar, call_fast, checked_element, checked_word, known_memory),
    *[external(name, *kinds) for name, kinds in (INTERPRETER | _OTHERS).items()],
)
