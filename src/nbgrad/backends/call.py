"""A call of a compiled function of arrays as machine code, from arguments to fresh results.

For programs that are one run of serial kernels on arrays and numbers. What is checked before them (type, dtype,
shape and layout of each argument) and done after (results made by NumPy's own ``PyArray_Empty``)
takes 2 µs in Python and 0.2 here. Arguments that are not exactly as the program was compiled for,
and a second call during a first one, are answered with None: the caller goes the long way.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from nbgrad.backends import builtin
from nbgrad.backends.compile import native
from nbgrad.backends.executor import LIST_ITEMS, Frame
from nbgrad.backends.executor import LOOP as LOOP_ADDRESS
from nbgrad.core.aval import Aval

# NumPy's flags of an array, ndarraytypes.h: contiguous in C's order, aligned.
BEHAVED: Final = 0x0001 | 0x0100
# Words of a function's owner; then for each argument and each result: dtype, ndim, extents.
BUSY, FRAME, ARGS, OUTS, LOOP, N_ARGS, N_OUTS, NONE, ARRAY, EMPTY = range(10)
FLOAT, DOUBLE, DTYPE, NUMBERS, SPECS = range(10, 15)  # for arguments that are Python's numbers

_SOURCE: Final = f"""
def nbgrad_call(owner, args):
    given = load_pointer(owner, {{array_data}})
    if given[{BUSY}] != 0 or args[{{size}}] != given[{N_ARGS}]:
        Py_IncRef(given[{NONE}])
        return given[{NONE}]
    bases, spec = load_pointer(given, {ARGS}), offset_words(given, {SPECS})
    for k in range(given[{N_ARGS}]):
        x, fits = load_pointer(args, {{items}} + k), False
        if x[1] == given[{ARRAY}]:
            fits = (
                x[{{dtype}}] == spec[0]
                and (x[{{ndim}}] & 0xFFFFFFFF) == spec[1]
                and (x[{{flags}}] & {BEHAVED}) == {BEHAVED}
            )
            for axis in range(spec[1] if fits else 0):
                fits = fits and load_pointer(x, {{shape}})[axis] == spec[2 + axis]
            store_pointer(bases, k, load_pointer(x, {{array_data}}))
        elif x[1] == given[{FLOAT}] or x[1] == given[{DOUBLE}]:
            numbers = load_pointer(given, {NUMBERS})
            fits = spec[0] == given[{DTYPE}] and spec[1] == 0
            # A weak number is not the same to promotion as an array or NumPy's scalar.
            fits = fits and (x[1] == given[{DOUBLE}] or numbers[given[{N_ARGS}] + k] != 0)
            numbers[k] = f8_as_i8(PyFloat_AsDouble(args[{{items}} + k]))
            store_pointer(bases, k, offset_words(numbers, k))
        if not fits:
            Py_IncRef(given[{NONE}])
            return given[{NONE}]
        spec = offset_words(spec, 2 + spec[1])
    # Making objects may run a finalizer, and the kernels run without the GIL.
    given[{BUSY}] = 1
    results = PyList_New(given[{N_OUTS}])
    for j in range(given[{N_OUTS}] if results != 0 else 0):
        Py_IncRef(spec[0])  # which the call takes
        out = call_empty(load_pointer(given, {EMPTY}), spec[1], offset_words(spec, 2), spec[0])
        if address(out) == 0:
            Py_DecRef(results)
            results = 0
            break
        store_pointer(load_pointer(given, {OUTS}), j, load_pointer(out, {{array_data}}))
        PyList_SetItem(results, j, address(out))
        spec = offset_words(spec, 2 + spec[1])
    if results != 0:
        state = PyEval_SaveThread()
        frame = load_pointer(given, {FRAME})
        status = call_loop(load_pointer(given, {LOOP}), frame, frame)
        PyEval_RestoreThread(state)
        if status != 0:  # the long way says what went wrong
            Py_DecRef(results)
            results = given[{NONE}]
            Py_IncRef(results)
    given[{BUSY}] = 0
    return results
"""


@cache
def _words() -> dict[str, int]:
    """Where arrays and tuples keep what the code reads; 0 where unknown."""
    arrays = [np.ones((2, 3)), np.ones((5, 7), np.float32)[:, ::2]]
    dtype = {builtin.word_with(a, id(a.dtype), 9 * builtin.WORD) for a in arrays}
    ndim, shape, flags = 3, 4, max(dtype) + 1  # their order is NumPy's documented one
    known = len(dtype) == 1
    for a in arrays:
        words = builtin.words_of(a, (flags + 1) * builtin.WORD)
        known = known and (words[ndim] or 0) & 0xFFFFFFFF == a.ndim
        place = words[shape] or 0
        known = known and place > 2**16 and place % builtin.WORD == 0
        known = known and tuple((ctypes.c_int64 * 2).from_address(place)) == a.shape
        given = ((words[flags] or 0) & BEHAVED) == BEHAVED
        known = known and given == a.flags.c_contiguous
    found = {"dtype": max(dtype), "ndim": ndim, "shape": shape, "flags": flags}
    found |= builtin.containers()
    return found if known else dict.fromkeys(found, 0)


@cache
def _make_empty() -> int:
    """Address of ``PyArray_Empty``, found in NumPy's table of functions; 0 if unknown."""
    header = Path(np.get_include(), "numpy", "__multiarray_api.h")
    text = header.read_text() if header.exists() else ""
    entry = re.search(r"#define PyArray_Empty\s.*?PyArray_API\[(\d+)\]", text, re.DOTALL)
    core = getattr(np, "_core", None)
    capsule = getattr(getattr(core, "_multiarray_umath", None), "_ARRAY_API", None)
    if entry is None or capsule is None:
        return 0
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    table = pointer(("PyCapsule_GetPointer", ctypes.pythonapi))(capsule, None)
    return (ctypes.c_void_p * (int(entry[1]) + 1)).from_address(table)[int(entry[1])] or 0


Enter = Callable[[tuple[Any, ...]], list[Any] | None]


def entry(
    frame: Frame,
    args: Sequence[Aval],
    held: int,
    outs: Sequence[Aval],
    weak: Collection[int],
    keep: object,
) -> Enter:
    """Return the machine code ``(args) -> results or None`` of a frame that nothing else runs.

    Parameters
    ----------
    frame : Frame
        Its first bases are *args*, then *held* addresses that stay, then *outs*.
    args, outs : sequence of Aval
    weak : collection of int
        The places of arguments that were Python's floats when the program was made.
    keep : object
        What the addresses in the frame lead to; it lives as long as the function.
    """
    frame.words[LIST_ITEMS] = 0  # its bases are filled in already
    first = frame.bases.ctypes.data
    words = [0, frame.address, first, first + builtin.WORD * (len(args) + held)]
    words += [int(frame.words[LOOP_ADDRESS]), len(args), len(outs)]
    numbers = np.array([0] * len(args) + [k in weak for k in range(len(args))], np.int64)
    words += [id(None), id(np.ndarray), _make_empty()]
    words += [id(float), id(np.float64), id(np.dtype(np.float64)), numbers.ctypes.data]
    for aval in (*args, *outs):
        words += [id(aval.dtype), aval.ndim, *aval.shape]
    text = _SOURCE.format(**_words())
    code = native(text, "nbgrad_call", ("i8*", "i8*"), result="i8")[0]
    keep = (frame, args, outs, numbers, keep)
    return builtin.builtin(code, "nbgrad_call", np.array(words, np.int64), keep=keep)


def available() -> bool:
    """Whether the layout of this Python's and NumPy's objects is known."""
    return builtin.available() and 0 not in _words().values() and _make_empty() != 0
