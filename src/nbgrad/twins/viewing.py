"""Views as machine code: their nodes, the tensor, and its place among the views of the base.

What ``views.share`` and ``views.detached`` do for the common cases: a tensor that is no view, or one
of a few others, of which at most some hundred are held.
"""

from __future__ import annotations

from textwrap import indent
from typing import Final

from nbgrad.core.ports import ports, shortcuts
from nbgrad.machine import builtin, layout
from nbgrad.machine.compile import lacking, native, remembered
from nbgrad.twins.record import MAKE_NODE, shared_objects, words

CROWD: Final = 128  # views of one tensor; of more, Python looks which are still there
FAR: Final = 40  # views of views of views: Python shortens longer chains

# Ends with None, or has the node ``a`` of the tensor ``x``, its group (0 if it has none), and what the
# new view is taken from: ``parent``, which is a view by ``views - 1`` steps. Of a full group it drops
# the references that are dead, once: one of which more are alive is Python's.
_BASE: Final = """
    shared = load_pointer(owner, {array_data})
    none, true = shared[{NONE}], shared[{TRUE}]
    x = load_pointer(args, 0)
    fits = (
        x[1] == shared[{TENSOR}]
        and load_pointer(shared, {LINES})[{on}] == shared[{ZERO}]
        and PySet_Size(shared[{NOT_RECORDING}]) == 0
        and x[{_node}] != 0 and x[{_alias}] != 0
    )
    if not fits:
        Py_IncRef(none)
        return none
    a, alias = load_pointer(x, {_node}), load_pointer(x, {_alias})
    held, group, parent, views = alias, address(alias), none, 1
    if group == none:
        group = 0
    elif alias[1] == shared[{TUPLE}]:
        held, group, parent = load_pointer(alias, {items}), alias[{items}], address(alias)
        views = PyLong_AsLongLong(alias[{items} + 3]) + 1
    elif alias[1] != shared[{GROUP}]:
        fits = False
    if fits and group != 0 and held[{size}] == {CROWD} + 1:
        items, alive = load_pointer(held, {list_items}), 0
        for k in range({CROWD} + 1):
            mark = items[k]
            if k == 0 or load_pointer(items, k)[{referent}] != none:
                items[k] = items[alive]
                items[alive] = mark
                alive += 1
        PyList_SetSlice(group, alive, {CROWD} + 1, 0)
    if group != 0 and held[{size}] > {CROWD}:
        fits = False
"""

# Of a tensor without views, a group of its own. The node ``first``, the group and the parent are owned
# from here on: making objects may run a finalizer, and that let another thread write to the tensor.
_GROUP: Final = """
    if not fits:
        Py_IncRef(none)
        return none
    first = address(a)
    Py_IncRef(first)
    Py_IncRef(parent)
    if group == 0:
        group = PyObject_CallNoArgs(shared[{GROUP}])
        mark = PyWeakref_NewRef(address(x), 0)
        if group == 0 or mark == 0:
            return 0
        PyList_Append(group, mark)
        Py_DecRef(mark)
        before = x[{_alias}]
        x[{_alias}] = group
        Py_DecRef(before)
    Py_IncRef(group)
"""

# The tensor of the node ``first``, by ``chain`` from its parent, ``views`` steps from its base.
_MADE: Final = """
    tensor = PyType_GenericAlloc(shared[{TENSOR}], 0)
    place, number = PyTuple_New(4), PyLong_FromLongLong(views)
    if address(tensor) == 0 or place == 0 or number == 0:
        return 0
    PyTuple_SetItem(place, 0, group)
    PyTuple_SetItem(place, 1, parent)
    Py_IncRef(chain)
    PyTuple_SetItem(place, 2, chain)
    PyTuple_SetItem(place, 3, number)
    tensor[{_node}], tensor[{_alias}] = first, place
    if views != 0:
        mark = PyWeakref_NewRef(address(tensor), 0)
        if mark == 0:
            return 0
        PyList_Append(group, mark)
        Py_DecRef(mark)
    return address(tensor)
"""

_VIEW: Final = (
    """
def nbgrad_view(owner, args, count):
"""
    + _BASE
    + """
    recipe = load_pointer(args, 1)
    window, depth = load_pointer(recipe, {window}), PyLong_AsLongLong(a[{depth}])
    limit = PyLong_AsLongLong(load_pointer(shared, {SETTINGS})[{max_pending}])
    if views < 2 and parent != none or views > {FAR} or depth + 16 > limit:
        fits = False  # of an element, or of what detach() gave
"""
    + _GROUP
    + """
    chain = address(window)
    tracked = a[{requires_grad}] == true
    for s in range(window[{size}]):
        sig = load_pointer(window, {items} + s)
        Py_IncRef(address(sig))
        inputs = PyTuple_New(1)
        if inputs != 0:
            PyTuple_SetItem(inputs, 0, first)
"""
    + indent(MAKE_NODE, "    ")
    + """
        first, depth = address(node), depth + 1
        tracked = tracked and sig[{differentiable}] == true
    if recipe[{element}] == true:
        views = 0
"""
    + _MADE
)

# The same node if it is not tracked; a leaf of the same value, if that is known.
_DETACHED: Final = (
    """
def nbgrad_detached(owner, args, count):
"""
    + _BASE
    + """
    tracked = a[{requires_grad}] == true
    if views == 1 and parent != none or (tracked and a[{value}] == none):
        fits = False  # of an element, or to be recorded
    if fits and views == 0:
        parent = alias[{items} + 1]
"""
    + _GROUP
    + """
    chain, views = shared[{NO_INPUTS}], -1
    if tracked:
        node, sequence = (
            PyType_GenericAlloc(shared[{NODE}], 0), PyIter_Next(shared[{NEXT}])
        )
        if address(node) == 0 or sequence == 0:
            return 0
        node[{sig}], node[{aval}], node[{inputs}] = none, a[{aval}], shared[{NO_INPUTS}]
        node[{requires_grad}], node[{depth}] = shared[{FALSE}], shared[{ZERO}]
        node[{seq}], node[{value}], node[{leaf}], node[{line}] = sequence, a[{value}], none, none
        node[{watch}], node[{passed}], node[{freed}] = none, true, shared[{FALSE}]
        for part in (
            none, a[{aval}], shared[{NO_INPUTS}], shared[{FALSE}], shared[{ZERO}], a[{value}],
            none, none, none, true, shared[{FALSE}],
        ):
            Py_IncRef(part)
        Py_DecRef(first)
        first = address(node)
"""
    + _MADE
)


@remembered
def install() -> None:
    """Let views be made by machine code from now on, where this Python allows it."""
    tensor = ports.tensor
    if tensor is None or shortcuts.group is None or not builtin.available():
        return
    places = words(tensor) | {"referent": layout.referent()}
    if 0 in (places | {"COUNT": 1}).values():
        return
    shared, names, objects = shared_objects()
    places |= names | {"CROWD": CROWD, "FAR": FAR}
    view, detached = (
        native(text.format(**places), name, ("i8*", "i8*", "i8"), result="i8")[0]
        for text, name in ((_VIEW, "nbgrad_view"), (_DETACHED, "nbgrad_detached"))
    )
    if lacking():
        return
    flags, keep = builtin.METH_FASTCALL, (shared, objects)
    shortcuts.view = builtin.builtin(
        view, "nbgrad_view", shared, flags, stands_for="tensors.dispatch.again", keep=keep
    )
    shortcuts.detached = builtin.builtin(
        detached, "nbgrad_detached", shared, flags, stands_for="tensors.views.detached", keep=keep
    )
