"""Recording of one operation as machine code: what ``recording`` does most, in a third of the time.

A function here serves one operation. Given a tensor, or a tensor and a number or a tensor of the
same aval, it looks the signature up in the operation's tables, makes node and tensor in place, and
returns the tensor; a signature may also be given. Anything else (other operands, a signature not seen before, recording switched
off, a chain that is to be evaluated) it answers with None, and the Python method goes on.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np

from nbgrad.backends import builtin
from nbgrad.backends.compile import native
from nbgrad.config import settings
from nbgrad.core.modes import lines, not_recording
from nbgrad.core.node import Node, next_sequence
from nbgrad.core.primitive import Signature
from nbgrad.core.record import shortcuts

# Words of a function's owner: the tables of signatures, and the objects that all functions read.
ALIKE, NUMBER, WHOLE, SHARED = range(4)
OBJECTS: Final = {
    "NODE": Node,
    "SIGNATURE": Signature,
    "FLOAT": float,
    "INT": int,
    "NONE": None,
    "TRUE": True,
    "FALSE": False,
    "ZERO": 0,
    "LINES": lines,
    "NOT_RECORDING": not_recording,
    "SETTINGS": settings,
    "NEXT": next_sequence,
}

_SOURCE: Final = """
def nbgrad_record(owner, args, count):
    given = load_pointer(owner, {array_data})
    shared = load_pointer(given, {SHARED})
    none, true = shared[{NONE}], shared[{TRUE}]
    x = load_pointer(args, 0)
    if x[1] != shared[{TENSOR}] or load_pointer(shared, {LINES})[{on}] != shared[{ZERO}]:
        Py_IncRef(none)
        return none
    a = load_pointer(x, {_node})
    tracked, depth = a[{requires_grad}] == true, PyLong_AsLongLong(a[{depth}])
    table, y, operands, sig = given[{ALIKE}], load_pointer(args, count - 1), count, x
    if count == 2:
        if y[1] == shared[{FLOAT}]:
            table = given[{NUMBER}]
        elif y[1] == shared[{TENSOR}]:
            y = load_pointer(y, {_node})
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

    # Making objects may run a finalizer, so what is needed is owned before that.
    first, result = x[{_node}], sig[{sig_aval}]
    Py_IncRef(first)
    if operands == 2:
        Py_IncRef(address(y))
    Py_IncRef(address(sig))
    Py_IncRef(result)
    flag = true if tracked and sig[{differentiable}] == true else shared[{FALSE}]
    inputs, sequence = PyTuple_New(operands), PyObject_CallNoArgs(shared[{NEXT}])
    level = PyLong_FromLongLong(depth + 1)
    node = PyType_GenericAlloc(shared[{NODE}], 0)
    tensor = PyType_GenericAlloc(shared[{TENSOR}], 0)
    if (
        inputs == 0 or sequence == 0 or level == 0 or address(node) == 0 or address(tensor) == 0
    ):
        return 0  # out of memory: Python raises what the call has set
    PyTuple_SetItem(inputs, 0, first)
    if operands == 2:
        PyTuple_SetItem(inputs, 1, address(y))
    node[{sig}], node[{aval}], node[{inputs}] = address(sig), result, inputs
    node[{requires_grad}], node[{depth}], node[{seq}] = flag, level, sequence
    node[{value}], node[{leaf}], node[{line}], node[{watch}] = none, none, none, none
    node[{freed}] = shared[{FALSE}]
    Py_IncRef(flag)
    Py_IncRef(shared[{FALSE}])
    for _ in range(4):
        Py_IncRef(none)
    tensor[{_node}] = address(node)
    return address(tensor)
"""


def _words(tensor: type) -> dict[str, int]:
    """Where objects keep what the code reads and writes; 0 where unknown."""
    specimens: list[tuple[Any, tuple[str, ...]]] = [
        (Node(), tuple(name for name in Node.__slots__ if name != "__weakref__")),
        (Signature.__new__(Signature), ("differentiable",)),
        (type(settings)(), ("max_pending",)),
        (type(lines)(), ("on",)),
        (tensor.__new__(tensor), ("_node",)),
    ]
    places = {name: builtin.slot(x, name) for x, names in specimens for name in names}
    places["sig_aval"] = builtin.slot(Signature.__new__(Signature), "aval")
    return places | {"array_data": builtin.array_data()}


@cache
def install() -> None:
    """Let operations be recorded by machine code from now on, where this Python allows it."""
    tensor = shortcuts.tensor
    if tensor is None or not builtin.available():
        return
    places = _words(tensor)
    if 0 in places.values():
        return
    objects = OBJECTS | {"TENSOR": tensor}
    places |= {name: k for k, name in enumerate(objects)}
    text = _SOURCE.format(ALIKE=ALIKE, NUMBER=NUMBER, WHOLE=WHOLE, SHARED=SHARED, **places)
    code = native(text, "nbgrad_record", ("i8*", "i8*", "i8"), result="i8")[0]
    shared = np.array([id(x) for x in objects.values()], np.int64)

    def make(*tables: dict[Any, Any]) -> Any:
        owner = np.array([*map(id, tables), shared.ctypes.data], np.int64)
        keep = (tables, shared)
        return builtin.builtin(code, "nbgrad_record", owner, builtin.METH_FASTCALL, keep)

    shortcuts.offer(make)
