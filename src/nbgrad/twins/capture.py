"""``capture`` as machine code: the walk over the lazy graph that every evaluation starts with.

In Python the walk takes 0.3 µs a node, which is most of what a backward pass of a small program
costs; here it takes 0.03. It reads the slots of nodes where specimens show them to be, holds the
GIL throughout, and runs no Python code before it owns all it has found. What is rare (placeholders
of a trace, graphs that a pass has freed, outputs that are leaves, more nodes than it has room for)
it leaves to ``core.linearize.walked``, whose results it repeats word by word.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np

from nbgrad.core.linearize import ACTIVE, BOUND, CUT, FREED, INACTIVE, TRACKED, Capture
from nbgrad.core.node import Node
from nbgrad.core.ports import compiled
from nbgrad.core.signature import Signature
from nbgrad.machine import bounds, builtin, layout
from nbgrad.machine.compile import lacking, native, remembered
from nbgrad.machine.heap import sparse_words

NODES: Final = 8192  # room for nodes, for leaves and for scalars
# For graphs that have no room there. A graph is not looked for in what it does not need: a hash table
# of this size would be a cache miss a node for the small ones.
MANY: Final = 1 << 20
SLOTS: Final = 4  # of the hash table for each node: at most half full
KEYS: Final = 8  # words of the key for each

# Words of a function's owner: whether it is to differentiate, and where the table is.
DIFFERENTIATE, TABLE = range(2)
# Words of the table: identities of objects, then the memory of a walk.
BUSY, EPOCH, NODE_TYPE, LIST_TYPE, NONE, TRUE = range(6)
FOUND, OPERANDS, LEAVES, VALUES, SCALARS, COUNTS = range(6, 12)  # five counts
KEY, PLACES, READS, NOTED, CAPTURE = range(17, 22)
PARTS, ROOM, MASK, FULL, FALSE, WORDS = 22, 27, 28, 29, 30, 31  # five words for a Capture's lists
LISTS: Final = ("nodes", "operands", "leaves", "values", "scalars")

# From ``n_roots`` nodes at ``items`` on: ends with None, or has filled the table with what it found.
WALK: Final = f"""
    # Busy: a finalizer that a walk set off, or another thread while that runs.
    kind, nothing, true = table[{NODE_TYPE}], table[{NONE}], table[{TRUE}]
    if table[{BUSY}] != 0:
        Py_IncRef(nothing)
        return nothing
    table[{BUSY}] = 1
    table[{EPOCH}] += 1
    epoch, room, mask = table[{EPOCH}], table[{ROOM}], table[{MASK}]
    nodes, lists = load_pointer(table, {FOUND}), load_pointer(table, {OPERANDS})
    leaves, values = load_pointer(table, {LEAVES}), load_pointer(table, {VALUES})
    scalars, key = load_pointer(table, {SCALARS}), load_pointer(table, {KEY})
    places, reads = load_pointer(table, {PLACES}), load_pointer(table, {READS})
    n_nodes, n_leaves, n_scalars, n_key, fits, used = 0, 0, 0, 0, True, False

    for k in range(n_roots):
        root = load_pointer(items, k)
        at = ((items[k] >> 4) * 7919) & mask
        while places[3 * at] == epoch and places[3 * at + 1] != items[k]:
            at = (at + 1) & mask
        # Twice the same, a leaf, or computed and not to be differentiated.
        if n_nodes == room - 1 or places[3 * at] == epoch or root[{{sig}}] == nothing or (
            root[{{value}}] != nothing and not (
                differentiate and root[{{requires_grad}}] == true and root[{{leaf}}] == nothing
            )
        ):
            fits = False
            break
        places[3 * at], places[3 * at + 1], places[3 * at + 2] = epoch, items[k], n_nodes
        nodes[n_nodes] = items[k]
        n_nodes += 1

    k = 0
    while fits and k < n_nodes:
        node = load_pointer(nodes, k)
        operands = load_pointer(node, {{inputs}})
        count = operands[{{size}}]
        used = used or node[{{freed}}] == true
        plain = node[{{value}}] == nothing and node[{{leaf}}] == nothing and node[{{freed}}] != true
        if n_key + count >= {KEYS - 1} * room or (count == 0 and not plain):
            fits = False
            break
        state = PyLong_AsLongLong(load_pointer(node, {{sig}})[{{number}}])
        if node[{{freed}}] == true and differentiate:
            state |= {FREED}
        if node[{{value}}] != nothing:
            state |= {BOUND}
        elif node[{{requires_grad}}] != true:
            state |= {INACTIVE}
        elif node[{{leaf}}] == nothing:
            state |= {ACTIVE}
        else:
            state |= {CUT}
        key[n_key] = state
        n_key += 1
        lists[k] = node[{{inputs}}]
        k += 1
        for j in range({{items}}, {{items}} + count):
            x = load_pointer(operands, j)
            if x[1] != kind:
                if n_scalars == room:
                    fits = False
                    break
                scalars[n_scalars] = operands[j]
                n_scalars += 1
                continue
            at = ((operands[j] >> 4) * 7919) & mask
            while places[3 * at] == epoch and places[3 * at + 1] != operands[j]:
                at = (at + 1) & mask
            index = places[3 * at + 2]
            if places[3 * at] != epoch:
                computed = x[{{value}}] != nothing
                if x[{{sig}}] != nothing and (not computed or (
                    differentiate and x[{{requires_grad}}] == true and x[{{leaf}}] == nothing
                    and load_pointer(x, {{inputs}})[{{size}}] > 0
                )):
                    index = n_nodes
                    nodes[n_nodes] = operands[j]
                    reads[n_nodes] = 0
                    n_nodes += 1
                    fits = fits and n_nodes < {{room}}
                else:
                    if not computed or x[{{freed}}] == true:
                        fits = False
                    leaves[n_leaves] = operands[j]
                    values[n_leaves] = x[{{value}}]
                    n_leaves += 1
                    index = -n_leaves
                    fits = fits and n_leaves < room
                places[3 * at], places[3 * at + 1] = epoch, operands[j]
                places[3 * at + 2] = index
                if index < 0 and x[{{requires_grad}}] == true:
                    index -= {TRACKED}
            if index >= 0:
                reads[index] += 1
            key[n_key] = index
            n_key += 1
            if not fits:
                break

    if not fits:
        table[{BUSY}] = 0
        full = n_nodes >= room - 1 or n_leaves >= room or n_scalars >= room
        table[{FULL}] = 1 if full or n_key >= {KEYS - 2} * room else 0
        Py_IncRef(nothing)
        return nothing
    for k in range(n_roots):
        key[n_key] = k
        n_key += 1
    noted, n_noted = load_pointer(table, {NOTED}), 0
    for k in range(n_roots, n_nodes):
        node = load_pointer(nodes, k)
        if node[{{value}}] == nothing and node[{{leaf}}] == nothing and (
            (node[0] & {layout.REFERENCES}) > reads[k] or node[{{passed}}] != nothing
        ):
            noted[n_noted] = k
            n_noted += 1
"""

_SOURCE: Final = (
    f"""
def nbgrad_walk(owner, roots):
    given = load_pointer(owner, {{array_data}})
    differentiate, table = given[{DIFFERENTIATE}] != 0, load_pointer(given, {TABLE})
    if roots[1] != table[{LIST_TYPE}]:
        Py_IncRef(table[{NONE}])
        return table[{NONE}]
    n_roots = roots[{{size}}]
    items = load_pointer(roots, {{list_items}})
"""
    + WALK
    + f"""
    table[{COUNTS}], table[{COUNTS} + 1], table[{COUNTS} + 2] = n_nodes, n_nodes, n_leaves
    table[{COUNTS} + 3], table[{COUNTS} + 4] = n_leaves, n_scalars
    # Making objects may run a finalizer, so what was found is owned before that.
    for part in range(5):
        items = load_pointer(table, {FOUND} + part)
        for k in range(table[{COUNTS} + part]):
            Py_IncRef(items[k])
    # Places of a Capture that are not filled stay empty.
    found = PyType_GenericAlloc(table[{CAPTURE}], 0)
    made = PyBytes_FromStringAndSize(key, 8 * n_key)
    if address(found) != 0:
        found[{{key}}] = made
    for part in range(5):
        if address(found) == 0 or made == 0:  # out of memory: Python raises what the call has set
            break
        items, n = load_pointer(table, {FOUND} + part), table[{COUNTS} + part]
        made = PyList_New(n)
        found[table[{PARTS} + part]] = made
        for k in range(n if made != 0 else 0):
            PyList_SetItem(made, k, items[k])
    if address(found) != 0 and made != 0:
        made = PyBytes_FromStringAndSize(noted, 8 * n_noted)
        found[{{noted}}], found[{{known}}] = made, true
        found[{{consumed}}] = true if used else table[{FALSE}]
        Py_IncRef(true)
        Py_IncRef(found[{{consumed}}])
    table[{BUSY}] = 0
    if address(found) == 0 or made == 0:
        return 0
    return address(found)
"""
)


def places() -> dict[str, Any]:
    """Where nodes, signatures and containers keep what the walk reads; 0 where unknown."""
    node, signature = Node(), Signature.__new__(Signature)
    found: dict[str, Any] = {"number": layout.slot(signature, "number"), "room": "room"}
    for name in ("depth", "freed", "inputs", "leaf", "passed", "requires_grad", "sig", "value"):
        found[name] = layout.slot(node, name)
    return found | layout.containers() | _capture()


def _capture() -> dict[str, int]:
    capture = Capture()
    return {
        name: layout.slot(capture, name) for name in ("consumed", "key", "noted", "known", *LISTS)
    }


class Memory:
    """A table that walks share, with room for what one finds."""

    def __init__(self, nodes: int) -> None:
        self.words = np.zeros(WORDS, np.int64)
        self.kind = Node  # its address must stay its own
        self.words[[NODE_TYPE, LIST_TYPE, NONE, TRUE]] = [id(x) for x in (Node, list, None, True)]
        sizes = dict.fromkeys((FOUND, OPERANDS, LEAVES, VALUES, SCALARS, READS, NOTED), nodes)
        sizes |= {KEY: KEYS * nodes, PLACES: 3 * SLOTS * nodes}
        self.rooms = {word: sparse_words(size) for word, size in sizes.items()}
        bounds.register(self.words, *self.rooms.values())
        for word, room in self.rooms.items():
            self.words[word] = room.ctypes.data
        self.words[CAPTURE], known = id(Capture), _capture()
        self.words[PARTS : PARTS + len(LISTS)] = [known[name] for name in LISTS]
        self.words[[ROOM, MASK, FALSE]] = nodes, SLOTS * nodes - 1, id(False)

    def owner(self, differentiate: int) -> np.ndarray[Any, Any]:
        owner = np.array([differentiate, self.words.ctypes.data], np.int64)
        bounds.register(owner)
        return owner


_sized = cache(Memory)


def memory(nodes: int = NODES) -> Memory:
    """The one of its size: whoever holds Python's lock walks. Its pages are there once touched."""
    return _sized(nodes)


@remembered
def install() -> None:
    """Let ``capture`` walk by machine code from now on, where this Python allows it."""
    known = places()
    if not builtin.available() or 0 in known.values():
        return
    code = native(_SOURCE.format(**known), "nbgrad_walk", ("i8*", "i8*"), result="i8")[0]
    if lacking():
        return
    forward, backward, further, further_back = (
        builtin.builtin(
            code,
            "nbgrad_walk",
            memory(nodes).owner(flag),
            stands_for="core.linearize.walked",
            keep=memory(nodes),
        )
        for nodes in (NODES, MANY)
        for flag in (0, 1)
    )
    compiled.forward, compiled.backward = forward, backward
    compiled.further, compiled.further_back = _if_full(further), _if_full(further_back)


def _if_full(walk: Any) -> Any:
    """*walk*, if the last one in the small table found it full: nothing else is a matter of room."""
    words = memory().words
    return lambda roots: walk(roots) if words[FULL] else None
