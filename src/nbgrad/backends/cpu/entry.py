"""A call of a compiled function of arrays as machine code, from arguments to results, fresh or given.

For programs that are one run of serial kernels on arrays and numbers. What is checked before them (type, dtype,
shape and layout of each argument) and done after (results made by NumPy's own ``PyArray_Empty``)
takes 2 µs in Python and 0.2 here; that results given by the caller fit and lie apart, 20 and 0.1. Arguments that are not exactly as the program was compiled for,
and a second call during a first one, are answered with None: the caller goes the long way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from textwrap import indent
from typing import Any, Final

import numpy as np

from nbgrad.backends.base import Ends, Entry
from nbgrad.backends.cpu.executor import LIST_ITEMS, Frame
from nbgrad.backends.cpu.executor import LOOP as LOOP_ADDRESS
from nbgrad.core.aval import Aval
from nbgrad.machine import bounds, builtin, layout
from nbgrad.machine.compile import Code, native

# Words of a function's owner.
BUSY, FRAME, ARGS, OUTS, LOOP, N_ARGS, N_OUTS, NONE, ARRAY, EMPTY = range(10)
DTYPE, NUMBERS = range(10, 12)  # for arguments that are numbers: their values, then their classes
# Dtypes of results; bytes of all that the frame reads and writes; how many of these are constants.
DTYPES, SIZES, HELD = range(12, 15)
# What a call into given arrays returns; which results are numbers; whether to keep the GIL.
TRUE, SCALAR, CELLS, SHORT = range(15, 19)
# The codes of a call and of one into given arrays, for ``twins.calling``.
CALL, INTO = range(19, 21)
# What must be as it was; how results are put together, in which memory; what arguments and results are.
N_TESTS, TESTS, N_MADE, MADE, STACK, PLACES, SPECS = range(21, 28)
WRITABLE: Final = 0x0400  # NumPy's flag, ndarraytypes.h
EQUAL: Final = 2  # Py_EQ
BRIEF: Final = 1024  # elements that a program reads and computes at most, which keeps the GIL

_READ: Final = (
    f"""
def {{name}}(owner, args, count):
    given = load_pointer(owner, {{array_data}})
    fits, test = True, load_pointer(given, {TESTS})
    for _ in range(given[{N_TESTS}]):
        holder = load_pointer(test, 0)
        if test[1] != 0:
            held = PyDict_GetItem(address(holder), test[1])
        else:
            held = load_pointer(holder, {{cell}})
        if address(held) != test[2]:
            fits = address(held) != 0 and test[3] != 0 and held[1] == test[3]
            if fits:
                fits = PyObject_RichCompareBool(address(held), test[2], {EQUAL}) == 1
                PyErr_Clear()
        if not fits:
            break
        test = offset_words(test, 4)
    if not fits or given[{BUSY}] != 0 or count != given[{N_ARGS}]{{more}}:
        Py_IncRef(given[{NONE}])
        return given[{NONE}]
    bases, spec = load_pointer(given, {ARGS}), offset_words(given, {SPECS})
    numbers, kind = load_pointer(given, {NUMBERS}), given[{ARRAY}]
    for k in range(given[{N_ARGS}]):
        x = load_pointer(args, k)
        number = numbers[given[{N_ARGS}] + k]
"""
    + indent(layout.FITS, " " * 8)
    + f"""
        if fits:
            store_pointer(bases, k, load_pointer(x, {{array_data}}))
        elif number != 0 and x[1] == number:
            fits = spec[0] == given[{DTYPE}] and spec[1] == 0
            numbers[k] = f8_as_i8(PyFloat_AsDouble(args[k]))
            store_pointer(bases, k, offset_words(numbers, k))
        # To promotion a Python float is another thing than an array, to ``+=`` a scalar is.
        if not fits or (number != 0 and x[1] != number):
            Py_IncRef(given[{NONE}])
            return given[{NONE}]
        spec = offset_words(spec, 2 + spec[1])
"""
)
# To let other threads in takes as long as a program of a few numbers.
_RUN: Final = f"""
        frame = load_pointer(given, {FRAME})
        if given[{SHORT}] != 0:
            status = call_loop(load_pointer(given, {LOOP}), frame, frame)
        else:
            state = PyEval_SaveThread()
            status = call_loop(load_pointer(given, {LOOP}), frame, frame)
            PyEval_RestoreThread(state)
        if status != 0:  # the long way says what went wrong
            fits, result = False, given[{NONE}]
            Py_IncRef(result)
"""
_FRESH: Final = (
    _READ
    + f"""
    # Making objects may run a finalizer, and the kernels run without the GIL.
    given[{BUSY}] = 1
    dtypes, outs, result = load_pointer(given, {DTYPES}), load_pointer(given, {PLACES}), 0
    numbers = load_pointer(given, {CELLS})  # whether a result is one, then where they lie meanwhile
    for j in range(given[{N_OUTS}]):
        outs[j] = 0
        if numbers[j] != 0:
            cell = offset_words(numbers, given[{N_OUTS}] + 2 * j)
            store_pointer(load_pointer(given, {OUTS}), j, cell)
        elif fits:
            Py_IncRef(dtypes[j])  # which the call takes
            out = call_empty(
                load_pointer(given, {EMPTY}), spec[1], offset_words(spec, 2), dtypes[j]
            )
            outs[j], fits = address(out), address(out) != 0
            if fits:
                store_pointer(load_pointer(given, {OUTS}), j, load_pointer(out, {{array_data}}))
        spec = offset_words(spec, 2 + spec[1])
    if fits:
"""
    + _RUN
    + f"""
    for j in range(given[{N_OUTS}] if fits else 0):
        if numbers[j] != 0 and fits:
            cell = offset_words(numbers, given[{N_OUTS}] + 2 * j)
            outs[j] = call_scalar(load_pointer(given, {SCALAR}), cell, dtypes[j])
            fits = outs[j] != 0
    stack, made, top, taken = load_pointer(given, {STACK}), load_pointer(given, {MADE}), 0, 0
    for k in range(given[{N_MADE}] if fits else 0):
        if made[k] < 0:
            stack[top], outs[taken] = outs[taken], 0
            top, taken = top + 1, taken + 1
            continue
        n, listed = made[k] >> 1, made[k] & 1
        whole = PyList_New(n) if listed != 0 else PyTuple_New(n)
        if whole == 0:
            fits = False
            break
        top -= n
        for j in range(n):
            if listed != 0:
                PyList_SetItem(whole, j, stack[top + j])
            else:
                PyTuple_SetItem(whole, j, stack[top + j])
        stack[top] = whole
        top += 1
    if fits:
        result = stack[0]
    else:
        for j in range(top):
            Py_DecRef(stack[j])
        for j in range(given[{N_OUTS}]):
            if outs[j] != 0:
                Py_DecRef(outs[j])
    given[{BUSY}] = 0
    return result
"""
)
# Results that the caller gives follow the arguments: each must fit, may be written, and lies apart from all else.
_INTO: Final = (
    _READ
    + f"""
    sizes, before = load_pointer(given, {SIZES}), given[{N_ARGS}] + given[{HELD}]
    for j in range(given[{N_OUTS}]):
        x = load_pointer(args, given[{N_ARGS}] + j)
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
    result = given[{TRUE}]
    if fits:
"""
    + _RUN
    + f"""
    if fits:
        Py_IncRef(result)
    given[{BUSY}] = 0
    return result
"""
)


@cache
def _words() -> dict[str, int]:
    """Where arrays and cells keep what the code reads; 0 where unknown."""
    return layout.array_layout() | {"array_data": layout.array_data(), "cell": layout.cell()}


def entry(
    frame: Frame,
    args: Sequence[Aval],
    held: Sequence[Any],
    outs: Sequence[Aval],
    ends: Ends,
    short: bool,
    keep: object,
) -> Entry:
    """Return the machine code of a frame that nothing else runs: ``enter(*args)`` gives results or None.

    The second is ``into(*args, *results)``, which gives True or None and writes to results that the caller
    owns. The third are the words of both.

    Parameters
    ----------
    frame : Frame
        Its first bases are *args*, then those of *held*, which stay, then *outs*.
    args, outs : sequence of Aval
    held : sequence of ndarray
    ends : Ends
    short : bool
        Whether a run is too short to let other threads in.
    keep : object
        What the addresses in the frame lead to; it lives as long as the function.
    """
    frame.words[LIST_ITEMS] = 0  # its bases are filled in already
    first, numbers = frame.bases.ctypes.data, ends.numbers
    kinds = [id(numbers[k]) if k in numbers else 0 for k in range(len(args))]
    rows = (
        [0] * len(args) + kinds,
        [id(aval.dtype) for aval in outs],
        [a.nbytes for a in (*args, *held, *outs)],
        [k in ends.scalars for k in range(len(outs))] + 2 * len(outs) * [0],
        [word for test in ends.tests for word in _test(*test)],
        ends.made,
        [0] * (len(ends.made) + 1),
        [0] * len(outs),
    )
    tables = [np.array(row, np.int64) for row in rows]
    values, dtypes, sizes, cells, tests, made, stack, places = [t.ctypes.data for t in tables]
    words = [0, frame.address, first, first + layout.WORD * (len(args) + len(held))]
    words += [int(frame.words[LOOP_ADDRESS]), len(args), len(outs)]
    words += [id(None), id(np.ndarray), layout.of_numpy("PyArray_Empty")]
    words += [layout.elements_of(np.dtype(np.float64)), values, dtypes, sizes, len(held), id(True)]
    codes = [_code(_FRESH, "nbgrad_call", ""), _code(_INTO, "nbgrad_into", f" + given[{N_OUTS}]")]
    words += [layout.of_numpy("PyArray_Scalar"), cells, int(short), *(c.address for c in codes)]
    words += [len(ends.tests), tests, len(ends.made), made, stack, places]
    owner = np.array([*words, *layout.specification((*args, *outs))], np.int64)
    bounds.register(*tables, owner)
    alive = (frame, args, outs, ends, tables, keep)
    enter, into = (
        builtin.builtin(
            code,
            name,
            owner,
            builtin.METH_FASTCALL,
            stands_for="backends.cpu.runner.Runner.run",
            keep=alive,
        )
        for code, name in zip(codes, ("nbgrad_call", "nbgrad_into"), strict=True)
    )
    return enter, into, owner


def _test(holder: Any, key: str | None, value: Any, kind: type | None) -> tuple[int, ...]:
    return id(holder), 0 if key is None else id(key), id(value), 0 if kind is None else id(kind)


def _code(text: str, name: str, more: str) -> Code:
    source = text.format(**_words(), name=name, more=more)
    return native(source, name, ("i8*", "i8*", "i8"), result="i8")[0]


def available() -> bool:
    """Whether the layout of this Python's and NumPy's objects is known."""
    found = [layout.of_numpy(name) for name in ("PyArray_Empty", "PyArray_Scalar")]
    return builtin.available() and 0 not in (*_words().values(), *found)
