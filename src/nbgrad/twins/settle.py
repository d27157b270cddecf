"""Reading a value as machine code: from the node that is asked for to the arrays that are bound.

For structures that are compiled and small, in which finding the program, calling it and giving its
results to nodes take 3 µs in Python and 0.5 here. A table leads from what the walk finds, its key and
what is noted, to a program with memory of its own. What is not exactly as it was when Python did it
is answered with None: another setting, a node that an earlier evaluation passed through, a number of
another kind, an array of another layout.

The lock of Python is held throughout, as programs here take microseconds. So nothing else runs
between the walk and the binding, and nothing has to be owned; what the graph drops is dropped last.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from textwrap import indent
from typing import Any, Final

import numpy as np

from nbgrad.backends.cpu import entry
from nbgrad.backends.cpu.executor import LIST_ITEMS
from nbgrad.backends.cpu.executor import LOOP as LOOP_ADDRESS
from nbgrad.backends.cpu.runner import Instance, Runner, is_brief
from nbgrad.config import settings
from nbgrad.core.linearize import Capture
from nbgrad.core.modes import lines
from nbgrad.core.ports import compiled
from nbgrad.machine import bounds, builtin, layout
from nbgrad.machine.compile import lacking, native, remembered
from nbgrad.program.values import CODES
from nbgrad.twins import capture

NODES: Final = 512  # of a graph that is looked at: a large one is soon cheaper than the look
OUTS: Final = 16
MUCH: Final = 20_000  # elements that a program computes: more take long enough to let others run
ARENA: Final = 1 << 16
PROGRAMS: Final = 256  # each with memory of its own; the table is emptied when it is full

# Words of the function's owner: the table of the walk, then objects.
TABLE, ENTRIES, EMPTY = range(3)
OBJECTS: Final = {
    "TUPLE": tuple,
    "FLOAT": float,
    "INT": int,
    "ARRAY": np.ndarray,
    "LINES": lines,
    "ZERO": 0,
    "NO_INPUTS": (),
    "SETTINGS": settings,
}
# Words of an entry: the settings it was made under; the Habit that must not keep yet, or 0, and its
# word that tells; where the program is; counts; then tables: sizes of numbers, dtypes and places of
# results, what arrays are.
CONFIG, HABIT, KEEPS, FRAME, LOOP, BASES, NUMBERS, N_ARGS, N_NUMBERS, N_OUTS = range(10)
KINDS, DTYPES, PLACES, SPECS = range(10, 14)

_SOURCE: Final = (
    f"""
def nbgrad_value(owner, root):
    shared = load_pointer(owner, {{array_data}})
    table, differentiate = load_pointer(shared, {TABLE}), False
    if (
        root[1] != table[{capture.NODE_TYPE}]
        or root[{{passed}}] != table[{capture.NONE}]
        or load_pointer(shared, {{LINES}})[{{on}}] != shared[{{ZERO}}]
    ):
        Py_IncRef(table[{capture.NONE}])
        return table[{capture.NONE}]
    items, n_roots = stack_words(), 1
    items[0] = address(root)
"""
    + capture.WALK
    + f"""
    table[{capture.BUSY}] = 0
    for k in range(n_noted):
        fits = fits and load_pointer(nodes, noted[k])[{{passed}}] == nothing
        key[n_key + k] = noted[k]
    key[n_key + n_noted] = n_key
    text = PyBytes_FromStringAndSize(key, 8 * (n_key + n_noted + 1))
    if text == 0:
        return 0
    entry = PyDict_GetItem(shared[{ENTRIES}], text)
    Py_DecRef(text)
    if not fits or address(entry) == 0 or entry[1] != shared[{{TUPLE}}]:
        Py_IncRef(nothing)
        return nothing
    given = load_pointer(load_pointer(entry, {{items}}), {{array_data}})
    fits = (
        given[{CONFIG}] == load_pointer(shared, {{SETTINGS}})[{{current}}]
        and given[{N_ARGS}] == n_leaves and given[{N_NUMBERS}] == n_scalars
    )
    if fits and given[{HABIT}] != 0:
        fits = load_pointer(given, {HABIT})[given[{KEEPS}]] != true

    bases, spec, kind = load_pointer(given, {BASES}), load_pointer(given, {SPECS}), shared[{{ARRAY}}]
    for k in range(n_leaves if fits else 0):
        x = load_pointer(values, k)
"""
    + indent(layout.FITS, " " * 8)
    + f"""
        if not fits:
            break
        store_pointer(bases, k, load_pointer(x, {{array_data}}))
        spec = offset_words(spec, 2 + spec[1])
    kinds, numbers = load_pointer(given, {KINDS}), load_pointer(given, {NUMBERS})
    for k in range(n_scalars if fits else 0):
        x = load_pointer(scalars, k)
        if x[1] != shared[{{FLOAT}}] and x[1] != shared[{{INT}}]:
            fits = False
            break
        number = PyFloat_AsDouble(scalars[k])
        if number == -1.0 and PyErr_Occurred() != 0:  # an integer beyond them
            PyErr_Clear()
            fits = False
            break
        numbers[k] = f8_as_i8(number) if kinds[k] == 8 else i8(f4_as_i4(f4(number)))
    if not fits:
        Py_IncRef(nothing)
        return nothing

    outs, dtypes, n_outs = stack_room(), load_pointer(given, {DTYPES}), given[{N_OUTS}]
    status = 0
    for j in range(n_outs):
        Py_IncRef(dtypes[j])  # which the call takes
        out = call_empty(load_pointer(shared, {EMPTY}), spec[1], offset_words(spec, 2), dtypes[j])
        outs[j] = address(out)
        if outs[j] == 0:
            status, n_outs = 1, j
            break
        store_pointer(bases, n_leaves + j, load_pointer(out, {{array_data}}))
        spec = offset_words(spec, 2 + spec[1])
    if status == 0:
        frame = load_pointer(given, {FRAME})
        status = call_loop(load_pointer(given, {LOOP}), frame, frame)
    if status != 0:
        for j in range(n_outs):
            Py_DecRef(outs[j])
        if n_outs < given[{N_OUTS}]:
            return 0  # out of memory: Python raises what the call has set
        Py_IncRef(nothing)
        return nothing  # the long way says what went wrong

    # What is dropped may run finalizers, so all is in place before.
    dropped, n_dropped, wanted = offset_words(outs, {OUTS}), 0, load_pointer(given, {PLACES})
    for j in range(n_outs):
        node = load_pointer(nodes, wanted[j])
        before = node[{{depth}}]
        node[{{value}}], node[{{depth}}] = outs[j], shared[{{ZERO}}]
        Py_IncRef(shared[{{ZERO}}])
        Py_DecRef(nothing)
        Py_DecRef(before)
        if node[{{requires_grad}}] != true or node[{{leaf}}] != nothing or node[{{freed}}] == true:
            dropped[n_dropped] = node[{{inputs}}]
            n_dropped += 1
            node[{{inputs}}] = shared[{{NO_INPUTS}}]
            Py_IncRef(shared[{{NO_INPUTS}}])
    if given[{HABIT}] != 0:
        for k in range(n_noted):
            node = load_pointer(nodes, noted[k])
            node[{{passed}}] = given[{HABIT}]
            Py_IncRef(given[{HABIT}])
            Py_DecRef(nothing)
    result = outs[0]
    Py_IncRef(result)
    for j in range(n_dropped):
        Py_DecRef(dropped[j])
    return result
"""
)


def key_of(cap: Capture) -> bytes:
    """Where the entry of a structure is: by its key, what is noted of it, and where that begins."""
    return cap.key + cap.noted + (len(cap.key) // layout.WORD).to_bytes(layout.WORD, "little")  # type: ignore[no-any-return]


class Entries(dict[bytes, Any]):
    """What leads from a key to the words of a program, and to what keeps their addresses alive."""

    def learn(self, cap: Capture, program: Any, places: Sequence[int], habit: Any = None) -> None:
        """Serve the structure of *cap* by machine code from now on, if its program allows it.

        Parameters
        ----------
        cap : Capture
            Of one root.
        program : Runnable
            It is compiled. One of another backend than the CPU is left to Python.
        places : sequence of int
            The captured nodes that it computes.
        habit : Habit or None
            What notes that it was run, while it does not keep what others hold.
        """
        config = settings.current
        if cap.key.__class__ is not bytes or config.tier not in ("auto", "fused"):
            return
        key = key_of(cap)
        if key in self and ((known := self[key]) is None or known[1:3] == (config, habit)):
            return
        if len(self) >= PROGRAMS:
            self.clear()
        self[key] = _entry(cap, program, places, config, habit)


def _fits(cap: Capture, program: Any, places: Sequence[int]) -> bool:
    """Whether a program is the CPU's, small, and reads what the capture has found in its order."""
    if not isinstance(program, Runner):
        return False
    tape = program.tape
    weak = [False] * len(cap.values) + [True] * len(cap.scalars)
    return (
        is_brief(tape, MUCH)
        and program.arena_bytes <= ARENA
        and 0 < len(program.outputs) == len(places) <= OUTS
        and [v.weak for v in tape.inputs] == weak
        and {CODES.get(v.aval.dtype) for v in program.weak} <= {"f8", "f4"}
    )


def _entry(
    cap: Capture, program: Any, places: Sequence[int], config: Any, habit: Any
) -> tuple[Any, ...] | None:
    """The words of an entry, and what they lead to; None for a program that is left to Python."""
    keeps = 0 if habit is None else _keeps(habit.__class__)
    if not _fits(cap, program, places) or (habit is not None and not keeps):
        return None
    instance = Instance(program)
    if not instance.quick:
        return None
    frame = instance.frame
    frame.words[LIST_ITEMS] = 0  # its bases are filled in already
    arrays = [v.aval for v in (*program.arrays, *program.outputs)]
    rows = (
        [v.aval.dtype.itemsize for v in program.weak],
        [id(v.aval.dtype) for v in program.outputs],
        places,
        layout.specification(arrays),
    )
    tables = [np.array(row, np.int64) for row in rows]
    words = [id(config), 0 if habit is None else id(habit), keeps]
    words += [frame.address, int(frame.words[LOOP_ADDRESS]), frame.bases.ctypes.data]
    words += [instance.scalar_view.ctypes.data]
    words += [len(cap.values), len(cap.scalars), len(places)]
    words += [table.ctypes.data for table in tables]
    given = np.array(words, np.int64)
    bounds.register(given, instance.scalar_view, *tables)
    return given, config, habit, instance, tables, program


@cache
def _keeps(kind: Any) -> int:
    return layout.slot(kind.__new__(kind), "keeps")


def _places() -> dict[str, int]:
    found = capture.places() | layout.array_layout() | {"room": NODES}
    found["current"] = layout.slot(type(settings)(), "current")
    found["on"] = layout.slot(type(lines)(), "on")
    return found


@remembered
def install() -> None:
    """Let values be read by machine code from now on, where this Python allows it."""
    places = _places()
    if not entry.available() or 0 in places.values():
        return
    places |= {name: k for k, name in enumerate(OBJECTS, 3)}
    code = native(_SOURCE.format(**places), "nbgrad_value", ("i8*", "i8*"), result="i8")[0]
    if lacking():
        return
    memory, entries = capture.memory(), Entries()
    first = [memory.words.ctypes.data, id(entries), layout.of_numpy("PyArray_Empty")]
    shared = np.array([*first, *map(id, OBJECTS.values())], np.int64)
    bounds.register(shared)
    keep = (memory, entries, OBJECTS)  # also when Python ends and empties the modules
    compiled.value = builtin.builtin(
        code, "nbgrad_value", shared, stands_for="core.values.value_of", keep=keep
    )
    compiled.learn = entries.learn
