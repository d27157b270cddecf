"""Where objects keep their parts: what ``machine.layout`` says, and that nobody else says anything."""

from __future__ import annotations

import ast
import inspect
import weakref

import numpy as np
import pytest
from subprocesses import ROOT

from nbgrad.core.node import Node
from nbgrad.machine import layout

SOURCE = ROOT / "src" / "nbgrad"
FACTS = (
    "header_known", "tuple_items", "list_items", "container_size", "referent", "classes",
    "array_data", "array_layout", "elements_of", "of_numpy", "slot", "cell", "REFERENCES", "COUNTED", "SUBCLASSES",
)  # fmt: skip
# What reads other memory than its own.
READS = {"from_address", "words_of", "word_with", "__sizeof__", "_ARRAY_API", "_multiarray_umath"}
MAY = {"machine/layout.py": READS}


@pytest.mark.parametrize("fact", FACTS)
def test_each_fact_is_in_the_docstring(fact: str) -> None:
    assert layout.__doc__ is not None
    assert f"``{fact}``" in layout.__doc__
    assert hasattr(layout, fact)


def test_the_docstring_has_each_fact() -> None:
    tools = {"containers", "specification", "word_with", "words_of"}
    functions = {
        name
        for name, thing in vars(layout).items()
        if callable(thing) and getattr(thing, "__module__", "") == layout.__name__
    }
    assert {name for name in functions if not name.startswith("_")} - tools <= set(FACTS)


def test_facts_hold_for_other_specimens() -> None:
    """Of this Python: on one where a fact is not found nothing is installed."""
    assert layout.header_known()
    array, node = np.arange(7.0)[1:], Node()
    words = layout.words_of(array, 12 * layout.WORD)
    assert words[layout.array_data()] == array.ctypes.data
    assert words[layout.array_layout()["dtype"]] == id(array.dtype)
    pair, items = ("x", node), [array, node]
    assert layout.words_of(pair, 64)[layout.tuple_items() + 1] == id(node)
    assert layout.words_of(pair, 64)[layout.container_size()] == 2
    assert layout.words_of(items, 40)[layout.container_size()] == 2
    mark = weakref.ref(node)
    assert layout.words_of(mark, mark.__sizeof__())[layout.referent()] == id(node)
    node.depth = depth = 10**30
    assert layout.words_of(node, node.__sizeof__())[layout.slot(Node(), "depth")] == id(depth)
    basic, item, flags = layout.classes()
    kind = layout.words_of(Node, 32 * layout.WORD)
    assert (kind[basic], kind[item] or 0) == (Node.__basicsize__, Node.__itemsize__)
    assert kind[flags] == Node.__flags__
    for name, flag in layout.SUBCLASSES.items():
        cls = {"list": list, "tuple": tuple, "type": type}[name]
        assert cls.__flags__ & flag and not Node.__flags__ & flag
    assert layout.of_numpy("PyArray_Empty") != 0


def test_nobody_else_reads_objects_as_memory() -> None:
    for path in sorted(SOURCE.rglob("*.py")):
        allowed = MAY.get(path.relative_to(SOURCE).as_posix(), set())
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if any(w in text for w in READS - allowed) else ():
            names = {getattr(node, "id", None), getattr(node, "attr", None)}
            if isinstance(node, ast.Constant):
                names = {node.value} if isinstance(node.value, str) else set()
            found = names & READS - allowed
            assert not found, f"{path}:{getattr(node, 'lineno', 0)} reads memory by {found}"


def test_sources_of_twins_take_places_from_the_layout() -> None:
    """Words of objects stand in their text by name, but for the class in the header."""
    assert "REFERENCES" in inspect.getsource(layout)
    for path in (SOURCE / "twins").glob("*.py"):
        assert "sys.version_info" not in path.read_text()
