"""Recording as machine code: one operation on tensors, or a recipe of several on nodes.

A function of the first kind serves one operation. Given a tensor, or a tensor and a number or a
tensor of the same aval, it looks the signature up in the operation's tables, makes node and tensor
in place, and returns the tensor; a signature may also be given. Anything else (other operands, a
signature not seen before, recording switched off, a chain that is to be evaluated) it answers with
None, and the Python method goes on.
"""

from __future__ import annotations

from functools import cache
from textwrap import indent
from typing import Any, Final

import numpy as np

from nbgrad.config import settings
from nbgrad.core.collector import age_kept
from nbgrad.core.modes import lines, not_recording
from nbgrad.core.node import Node, next_sequence
from nbgrad.core.ports import Tables, ports, shortcuts
from nbgrad.core.recipes import Recipe
from nbgrad.core.signature import Signature
from nbgrad.machine import bounds, builtin, layout
from nbgrad.machine.compile import lacking, native, remembered

# Words of a function's owner: the tables of signatures, whether the tensor is the second operand,
# and the objects that all functions read.
ALIKE, NUMBER, WHOLE, SWAPPED, SHARED = range(5)
LONG, MANY = 128, 256  # operations of a chain that is long; of such ones, until all are made old
ROOM: Final = 256  # operands, constants and steps of a recipe that machine code replays
_method: Any = next_sequence  # of a counter, written in C
OBJECTS: Final = {
    "NODE": Node,
    "SIGNATURE": Signature,
    "FLOAT": float,
    "INT": int,
    "LIST": list,
    "TUPLE": tuple,
    "NONE": None,
    "TRUE": True,
    "FALSE": False,
    "ZERO": 0,
    "LINES": lines,
    "NOT_RECORDING": not_recording,
    "SETTINGS": settings,
    "NEXT": _method.__self__,
    "NO_INPUTS": (),
    "AGE": age_kept,
}

# Makes a node of ``sig``, ``inputs``, ``tracked`` and ``depth``, of which it takes the first two: they
# are owned already, since making objects, as the tuple of inputs, may run a finalizer.
MAKE_NODE: Final = """
    Py_IncRef(sig[{sig_aval}])
    flag = shared[{TRUE}] if tracked and sig[{differentiable}] == true else shared[{FALSE}]
    sequence, level = PyIter_Next(shared[{NEXT}]), PyLong_FromLongLong(depth + 1)
    node = PyType_GenericAlloc(shared[{NODE}], 0)
    if inputs == 0 or sequence == 0 or level == 0 or address(node) == 0:
        return 0  # out of memory: Python raises what the call has set
    node[{sig}], node[{aval}], node[{inputs}] = address(sig), sig[{sig_aval}], inputs
    node[{requires_grad}], node[{depth}], node[{seq}] = flag, level, sequence
    node[{value}], node[{leaf}], node[{line}], node[{watch}] = none, none, none, none
    node[{passed}] = none
    node[{freed}] = shared[{FALSE}]
    Py_IncRef(flag)
    load_pointer(shared, {FALSE})[0] += {COUNT}
    load_pointer(shared, {NONE})[0] += 5 * {COUNT}
"""

_RECORD: Final = (
    """
def nbgrad_record(owner, args, count):
    given = load_pointer(owner, {array_data})
    shared = load_pointer(given, {SHARED})
    none, true = shared[{NONE}], shared[{TRUE}]
    x = load_pointer(args, 0)
    if x[1] != shared[{TENSOR}] or load_pointer(shared, {LINES})[{on}] != shared[{ZERO}]:
        Py_IncRef(none)
        return none
    a = load_pointer(x, {_node})
    if address(a) == 0:  # a tensor that nobody has initialised
        Py_IncRef(none)
        return none
    tracked, depth = a[{requires_grad}] == true, PyLong_AsLongLong(a[{depth}])
    table, y, operands, sig = given[{ALIKE}], load_pointer(args, count - 1), count, x
    if count == 2:
        if y[1] == shared[{FLOAT}]:
            table = given[{NUMBER}]
        elif y[1] == shared[{TENSOR}]:
            y = load_pointer(y, {_node})
            if address(y) == 0:
                table = 0
            else:
                tracked = tracked or y[{requires_grad}] == true
                depth = max(depth, PyLong_AsLongLong(y[{depth}]))
                if y[{aval}] != a[{aval}]:
                    table = 0
        elif y[1] == shared[{INT}]:
            table = given[{WHOLE}]
        elif y[1] == shared[{SIGNATURE}]:
            sig, operands = y, 1
        else:
            table = 0
    if operands == count and table != 0:
        sig = PyDict_GetItem(table, a[{aval}])
    limit = PyLong_AsLongLong(load_pointer(shared, {SETTINGS})[{max_pending}])
    if (
        table == 0 or address(sig) == 0 or depth >= limit
        or (tracked and PySet_Size(shared[{NOT_RECORDING}]) != 0)
    ):
        Py_IncRef(none)
        return none

    first = x[{_node}]
    Py_IncRef(first)
    if operands == 2:
        Py_IncRef(address(y))
    Py_IncRef(address(sig))
    inputs = PyTuple_New(operands)
    if inputs != 0:
        at = given[{SWAPPED}] if operands == 2 else 0
        PyTuple_SetItem(inputs, at, first)
        if operands == 2:
            PyTuple_SetItem(inputs, 1 - at, address(y))
"""
    + MAKE_NODE
    + """
    tensor = PyType_GenericAlloc(shared[{TENSOR}], 0)
    if address(tensor) == 0:
        return 0
    Py_IncRef(none)
    tensor[{_node}], tensor[{_alias}] = address(node), none
    if tracked and depth > {LONG}:
        shared[{KEPT}] += 1
        if shared[{KEPT}] >= {MANY}:
            shared[{KEPT}] = 0
            done = PyObject_CallNoArgs(shared[{AGE}])
            if done == 0:  # it was interrupted
                Py_DecRef(address(tensor))
                return 0
            Py_DecRef(done)
    return address(tensor)
"""
)

_REPLAY: Final = (
    """
def nbgrad_replay(owner, args, count):
    shared = load_pointer(owner, {array_data})
    none, true = shared[{NONE}], shared[{TRUE}]
    recipe, given = load_pointer(args, 0), load_pointer(args, 1)
    constants, steps = load_pointer(recipe, {constants}), load_pointer(recipe, {steps})
    n_given, n_constants = given[{size}], constants[{size}]
    place = n_given + n_constants
    if (
        place + steps[{size}] > {ROOM}
        or load_pointer(shared, {LINES})[{on}] != shared[{ZERO}]
        or PySet_Size(shared[{NOT_RECORDING}]) != 0
    ):
        Py_IncRef(none)
        return none
    env, operands = stack_room(), offset_words(given, {items})
    if given[1] == shared[{LIST}]:
        operands = load_pointer(given, {list_items})
    for k in range(n_given):
        env[k] = operands[k]
    for k in range(n_constants):
        env[n_given + k] = constants[{items} + k]
    for s in range(steps[{size}]):
        step = load_pointer(steps, {items} + s)
        sig, reads = load_pointer(step, {items}), load_pointer(step, {items} + 1)
        Py_IncRef(address(sig))
        inputs, tracked, depth = PyTuple_New(reads[{size}]), False, 0
        for j in range(reads[{size}] if inputs != 0 else 0):
            k = PyLong_AsLongLong(reads[{items} + j])
            Py_IncRef(env[k])
            PyTuple_SetItem(inputs, j, env[k])
            x = load_pointer(env, k)
            if x[1] == shared[{NODE}]:
                tracked = tracked or x[{requires_grad}] == true
                depth = max(depth, PyLong_AsLongLong(x[{depth}]))
"""
    + indent(MAKE_NODE, "    ")
    + """
        env[place + s] = address(node)
    result = env[PyLong_AsLongLong(recipe[{result}])]
    Py_IncRef(result)
    for s in range(steps[{size}]):
        Py_DecRef(env[place + s])
    return result
"""
)


def words(tensor: Any) -> dict[str, int]:
    """Where objects keep what the code reads and writes; 0 where unknown."""
    specimens: list[tuple[Any, tuple[str, ...]]] = [
        (Node(), tuple(name for name in Node.__slots__ if name != "__weakref__")),
        (Signature.__new__(Signature), ("differentiable",)),
        (Recipe.__new__(Recipe), ("constants", "steps", "result", "window", "element")),
        (type(settings)(), ("max_pending",)),
        (type(lines)(), ("on",)),
        (tensor.__new__(tensor), ("_alias", "_node")),
    ]
    places = {name: layout.slot(x, name) for x, names in specimens for name in names}
    places["sig_aval"] = layout.slot(Signature.__new__(Signature), "aval")
    return places | layout.containers() | {"COUNT": layout.COUNTED}


@cache
def shared_objects() -> tuple[np.ndarray[Any, Any], dict[str, int], object]:
    """A table of what all functions read, the places in it by name, and what must live as long.

    Its last word is a count.
    """
    objects = OBJECTS | {"TENSOR": ports.tensor, "GROUP": shortcuts.group}
    shared = np.array([*[id(x) for x in objects.values()], 0], np.int64)
    bounds.register(shared)
    return shared, {name: k for k, name in enumerate([*objects, "KEPT"])}, objects


@remembered
def install() -> None:
    """Let operations be recorded by machine code from now on, where this Python allows it."""
    tensor = ports.tensor
    if tensor is None or shortcuts.group is None or not builtin.available():
        return
    places = words(tensor)
    if 0 in (places | {"COUNT": 1}).values():
        return
    shared, names, objects = shared_objects()
    places |= {"ALIKE": ALIKE, "NUMBER": NUMBER, "WHOLE": WHOLE, "SWAPPED": SWAPPED}
    places |= {"SHARED": SHARED, "ROOM": ROOM, "LONG": LONG, "MANY": MANY} | names
    record, replay = (
        native(text.format(**places), name, ("i8*", "i8*", "i8"), result="i8")[0]
        for text, name in ((_RECORD, "nbgrad_record"), (_REPLAY, "nbgrad_replay"))
    )
    if lacking():
        return
    keep = (shared, objects)  # also when Python ends and empties the modules

    def make(tables: Tables, swapped: bool) -> Any:
        owner = np.array([*map(id, tables), swapped, shared.ctypes.data], np.int64)
        bounds.register(owner)
        flags = builtin.METH_FASTCALL
        stands_for, held = "core.primitive.bind", (tables, keep)
        return builtin.builtin(
            record, "nbgrad_record", owner, flags, stands_for=stands_for, keep=held
        )

    shortcuts.offer(make)
    flags = builtin.METH_FASTCALL
    shortcuts.replay = builtin.builtin(
        replay, "nbgrad_replay", shared, flags, stands_for="core.recipes.replay", keep=keep
    )
