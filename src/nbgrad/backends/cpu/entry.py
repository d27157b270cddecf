"""A call of a compiled function of arrays as machine code, from arguments to results, fresh or given.

For programs that are one run of serial kernels on arrays and numbers. What is checked before them (type, dtype,
shape and layout of each argument) and done after (results made by NumPy's own ``PyArray_Empty``)
takes 2 µs in Python and 0.2 here; that results given by the caller fit and lie apart, 20 and 0.1. Arguments that are not exactly as the program was compiled for,
and a second call during a first one, are answered with None: the caller goes the long way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from textwrap import indent
from typing import Any, Final

import numpy as np

from nbgrad.backends.cpu.executor import LIST_ITEMS, Frame
from nbgrad.backends.cpu.executor import LOOP as LOOP_ADDRESS
from nbgrad.core.aval import Aval
from nbgrad.machine import bounds, builtin, layout
from nbgrad.machine.compile import native

# Words of a function's owner.
BUSY, FRAME, ARGS, OUTS, LOOP, N_ARGS, N_OUTS, NONE, ARRAY, EMPTY = range(10)
DTYPE, NUMBERS = range(10, 12)  # for arguments that are numbers: their values, then their classes
# Dtypes of results; bytes of all that the frame reads and writes; how many of these are constants.
DTYPES, SIZES, HELD = range(12, 15)
# What a call into given arrays returns; which results are numbers; what arguments and results are.
TRUE, SCALAR, CELLS, SPECS = range(15, 19)
WRITABLE: Final = 0x0400  # NumPy's flag, ndarraytypes.h

_READ: Final = (
    f"""
def {{name}}(owner, args):
    given = load_pointer(owner, {{array_data}})
    if given[{BUSY}] != 0 or args[{{size}}] != given[{N_ARGS}]{{more}}:
        Py_IncRef(given[{NONE}])
        return given[{NONE}]
    bases, spec = load_pointer(given, {ARGS}), offset_words(given, {SPECS})
    numbers, kind = load_pointer(given, {NUMBERS}), given[{ARRAY}]
    for k in range(given[{N_ARGS}]):
        x = load_pointer(args, {{items}} + k)
        number = numbers[given[{N_ARGS}] + k]
"""
    + indent(layout.FITS, " " * 8)
    + f"""
        if fits:
            store_pointer(bases, k, load_pointer(x, {{array_data}}))
        elif number != 0 and x[1] == number:
            fits = spec[0] == given[{DTYPE}] and spec[1] == 0
            numbers[k] = f8_as_i8(PyFloat_AsDouble(args[{{items}} + k]))
            store_pointer(bases, k, offset_words(numbers, k))
        # To promotion a Python float is another thing than an array, to ``+=`` a scalar is.
        if not fits or (number != 0 and x[1] != number):
            Py_IncRef(given[{NONE}])
            return given[{NONE}]
        spec = offset_words(spec, 2 + spec[1])
"""
)
_RUN: Final = f"""
        state = PyEval_SaveThread()
        frame = load_pointer(given, {FRAME})
        status = call_loop(load_pointer(given, {LOOP}), frame, frame)
        PyEval_RestoreThread(state)
"""
_NUMBERS: Final = f"""
        for j in range(given[{N_OUTS}] if status == 0 else 0):
            if numbers[j] != 0 and results != 0:
                cell = offset_words(numbers, given[{N_OUTS}] + 2 * j)
                found = call_scalar(load_pointer(given, {SCALAR}), cell, dtypes[j])
                if found != 0:
                    PyList_SetItem(results, j, found)
                else:
                    Py_DecRef(results)
                    results = 0
"""
_END: Final = f"""
        if status != 0:  # the long way says what went wrong
            Py_DecRef(results)
            results = given[{NONE}]
            Py_IncRef(results)
    given[{BUSY}] = 0
    return results
"""
_FRESH: Final = (
    _READ
    + f"""
    # Making objects may run a finalizer, and the kernels run without the GIL.
    dtypes = load_pointer(given, {DTYPES})
    given[{BUSY}] = 1
    results = PyList_New(given[{N_OUTS}])
    numbers = load_pointer(given, {CELLS})  # whether a result is one, then where they lie meanwhile
    for j in range(given[{N_OUTS}] if results != 0 else 0):
        if numbers[j] != 0:
            cell = offset_words(numbers, given[{N_OUTS}] + 2 * j)
            store_pointer(load_pointer(given, {OUTS}), j, cell)
            spec = offset_words(spec, 2)
            continue
        Py_IncRef(dtypes[j])  # which the call takes
        out = call_empty(load_pointer(given, {EMPTY}), spec[1], offset_words(spec, 2), dtypes[j])
        if address(out) == 0:
            Py_DecRef(results)
            results = 0
            break
        store_pointer(load_pointer(given, {OUTS}), j, load_pointer(out, {{array_data}}))
        PyList_SetItem(results, j, address(out))
        spec = offset_words(spec, 2 + spec[1])
    if results != 0:
"""
    + _RUN
    + _NUMBERS
    + _END
)
# Results that the caller gives follow the arguments: each must fit, may be written, and lies apart from all else.
_INTO: Final = (
    _READ
    + f"""
    sizes, before = load_pointer(given, {SIZES}), given[{N_ARGS}] + given[{HELD}]
    for j in range(given[{N_OUTS}]):
        x = load_pointer(args, {{items}} + given[{N_ARGS}] + j)
"""
    + indent(layout.FITS, " " * 8)
    + f"""
        fits = fits and (x[{{flags}}] & {WRITABLE}) != 0
        start = x[{{array_data}}] if fits else 0
        for k in range(before + j):
            fits = fits and (start + sizes[before + j] <= bases[k] or bases[k] + sizes[k] <= start)
        if not fits:
            Py_IncRef(given[{NONE}])
            return given[{NONE}]
        store_pointer(bases, before + j, load_pointer(x, {{array_data}}))
        spec = offset_words(spec, 2 + spec[1])
    given[{BUSY}] = 1
    results = given[{TRUE}]
    Py_IncRef(results)
    if results != 0:
"""
    + _RUN
    + _END
)


@cache
def _words() -> dict[str, int]:
    """Where arrays and tuples keep what the code reads; 0 where unknown."""
    return layout.array_layout() | layout.containers()


Enter = Callable[[tuple[Any, ...]], Any]


def entry(
    frame: Frame,
    args: Sequence[Aval],
    held: Sequence[Any],
    outs: Sequence[Aval],
    numbers: Mapping[int, type],
    scalars: Collection[int],
    keep: object,
) -> tuple[Enter, Enter]:
    """Return the machine code ``(args) -> results or None`` of a frame that nothing else runs.

    The second is ``((*args, *results)) -> True or None``, which writes to results that the caller owns.

    Parameters
    ----------
    frame : Frame
        Its first bases are *args*, then those of *held*, which stay, then *outs*.
    args, outs : sequence of Aval
    held : sequence of ndarray
    numbers : mapping of int to type
        The classes, float or ``np.float64``, of the arguments that must be numbers, by place.
    scalars : collection of int
        The places of results that become NumPy's scalars, which are 0-d.
    keep : object
        What the addresses in the frame lead to; it lives as long as the function.
    """
    frame.words[LIST_ITEMS] = 0  # its bases are filled in already
    first = frame.bases.ctypes.data
    words = [0, frame.address, first, first + layout.WORD * (len(args) + len(held))]
    words += [int(frame.words[LOOP_ADDRESS]), len(args), len(outs)]
    kinds = [id(numbers[k]) if k in numbers else 0 for k in range(len(args))]
    values = np.array([0] * len(args) + kinds, np.int64)
    words += [id(None), id(np.ndarray), layout.of_numpy("PyArray_Empty")]
    double = layout.elements_of(np.dtype(np.float64))
    dtypes = np.array([id(aval.dtype) for aval in outs], np.int64)
    sizes = np.array([a.nbytes for a in (*args, *held, *outs)], np.int64)
    words += [double, *(a.ctypes.data for a in (values, dtypes, sizes)), len(held), id(True)]
    cells = np.array([k in scalars for k in range(len(outs))] + 2 * len(outs) * [0], np.int64)
    words += [layout.of_numpy("PyArray_Scalar"), cells.ctypes.data]
    words += layout.specification((*args, *outs))
    owner = np.array(words, np.int64)
    bounds.register(values, dtypes, sizes, cells, owner)
    keep = (frame, args, outs, values, dtypes, sizes, cells, keep)

    def made(text: str, name: str, more: str) -> Enter:
        code = native(
            text.format(**_words(), name=name, more=more), name, ("i8*", "i8*"), result="i8"
        )
        stands_for = "backends.cpu.runner.Runner.run"
        return builtin.builtin(code[0], name, owner, stands_for=stands_for, keep=keep)

    return made(_FRESH, "nbgrad_call", ""), made(_INTO, "nbgrad_into", f" + given[{N_OUTS}]")


def available() -> bool:
    """Whether the layout of this Python's and NumPy's objects is known."""
    found = [layout.of_numpy(name) for name in ("PyArray_Empty", "PyArray_Scalar")]
    return builtin.available() and 0 not in (*_words().values(), *found)
