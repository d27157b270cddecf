"""A call of a compiled function of arrays as machine code, from arguments to fresh results.

For programs that are one run of serial kernels on arrays and numbers. What is checked before them (type, dtype,
shape and layout of each argument) and done after (results made by NumPy's own ``PyArray_Empty``)
takes 2 µs in Python and 0.2 here. Arguments that are not exactly as the program was compiled for,
and a second call during a first one, are answered with None: the caller goes the long way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
DTYPES, SPECS = range(12, 14)  # the dtypes of results, and what arguments and results are

_SOURCE: Final = (
    f"""
def nbgrad_call(owner, args):
    given = load_pointer(owner, {{array_data}})
    if given[{BUSY}] != 0 or args[{{size}}] != given[{N_ARGS}]:
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
    # Making objects may run a finalizer, and the kernels run without the GIL.
    dtypes = load_pointer(given, {DTYPES})
    given[{BUSY}] = 1
    results = PyList_New(given[{N_OUTS}])
    for j in range(given[{N_OUTS}] if results != 0 else 0):
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
)


@cache
def _words() -> dict[str, int]:
    """Where arrays and tuples keep what the code reads; 0 where unknown."""
    return layout.array_layout() | layout.containers()


Enter = Callable[[tuple[Any, ...]], list[Any] | None]


def entry(
    frame: Frame,
    args: Sequence[Aval],
    held: int,
    outs: Sequence[Aval],
    numbers: Mapping[int, type],
    keep: object,
) -> Enter:
    """Return the machine code ``(args) -> results or None`` of a frame that nothing else runs.

    Parameters
    ----------
    frame : Frame
        Its first bases are *args*, then *held* addresses that stay, then *outs*.
    args, outs : sequence of Aval
    numbers : mapping of int to type
        The classes, float or ``np.float64``, of the arguments that must be numbers, by place.
    keep : object
        What the addresses in the frame lead to; it lives as long as the function.
    """
    frame.words[LIST_ITEMS] = 0  # its bases are filled in already
    first = frame.bases.ctypes.data
    words = [0, frame.address, first, first + layout.WORD * (len(args) + held)]
    words += [int(frame.words[LOOP_ADDRESS]), len(args), len(outs)]
    kinds = [id(numbers[k]) if k in numbers else 0 for k in range(len(args))]
    values = np.array([0] * len(args) + kinds, np.int64)
    words += [id(None), id(np.ndarray), layout.make_empty()]
    double = layout.elements_of(np.dtype(np.float64))
    dtypes = np.array([id(aval.dtype) for aval in outs], np.int64)
    words += [double, values.ctypes.data, dtypes.ctypes.data]
    words += layout.specification((*args, *outs))
    text = _SOURCE.format(**_words())
    code = native(text, "nbgrad_call", ("i8*", "i8*"), result="i8")[0]
    owner = np.array(words, np.int64)
    bounds.register(values, dtypes, owner)
    keep = (frame, args, outs, values, dtypes, keep)
    stands_for = "backends.cpu.runner.Runner.run"
    return builtin.builtin(code, "nbgrad_call", owner, stands_for=stands_for, keep=keep)


def available() -> bool:
    """Whether the layout of this Python's and NumPy's objects is known."""
    return builtin.available() and 0 not in _words().values() and layout.make_empty() != 0
