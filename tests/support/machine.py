"""The machine code for recording and for walking graphs, compared with Python wherever it runs.

The whole suite runs under this comparison: each graph that a test evaluates is walked twice, and
each operation that a test records is recorded twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core import linearize, ports, recipes
from nbgrad.core.collector import paused
from nbgrad.core.linearize import Capture
from nbgrad.core.modes import unrecorded
from nbgrad.core.node import Node
from nbgrad.core.ports import shortcuts
from nbgrad.core.primitive import bind
from nbgrad.core.recipes import Recipe
from nbgrad.engine import demand
from nbgrad.twins import capture, hot, settle


def install() -> None:
    """Install the machine code, each of its functions with its check."""
    hot.install()
    if settings.current.twins == "off":  # the whole run is to be Python
        return
    compiled, make = ports.compiled, shortcuts.make
    assert compiled.forward is not None and compiled.backward is not None and make is not None
    compiled.forward = _compared(compiled.forward, differentiate=False)
    compiled.backward = _compared(compiled.backward, differentiate=True)
    assert compiled.value is not None
    compiled.value = _valued(compiled.value)
    shortcuts.offer(lambda tables, swapped: _repeated(make(tables, swapped)))
    assert shortcuts.replay is not None
    shortcuts.replay = _replayed(shortcuts.replay)


def _compared(code: Callable[[Any], Any], differentiate: bool) -> Callable[[Any], Any]:
    def call(roots: Any) -> Any:
        with paused():  # garbage that goes between the two walks would refer to nodes in the first
            found = code(roots)
            if found is not None and threading.active_count() == 1:
                same_as_walked(found, roots, differentiate)
        return found

    return call


def _valued(code: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def call(node: Node) -> Any:
        # Computed before, since what still refers to the graph changes what is noted of it.
        expected = _computed(node) if threading.active_count() == 1 else None
        value = code(node)
        if value is not None and expected is not None:
            assert value is node.value and node.depth == 0 and node.passed is None
            assert value.dtype is node.aval.dtype and value.shape == node.aval.shape
            assert value.tobytes() in expected
            assert bool(node.inputs) == (node.requires_grad and node.leaf is None)
        return value

    return call


def _computed(node: Node) -> list[bytes] | None:
    """What the compiled programs for the structure of a pending node give, kept values or none."""
    if node.value is not None or node.sig is None:
        return None
    cap = linearize.walked([node], False)
    if not cap.known:  # a placeholder, whose number somebody asks for
        return None
    keys = [("forward", cap.key, places) for places in dict.fromkeys((b"", cap.noted))]
    slots = [demand.programs.slots.get(key) for key in keys]
    programs = [slot.entry.exe.compiled for slot in slots if slot is not None]
    found = [p for p in programs if p is not None]
    if not found and _is_served(cap):  # the cache has forgotten it since, among many others
        found = [demand.Forward(cap, [node], key[2]).exe.compile() for key in keys]
    return [p.run(cap.values + cap.scalars)[0].tobytes() for p in found]


def _is_served(cap: Capture) -> bool:
    """Whether machine code has a program for the structure of *cap*, as it is held now."""
    assert ports.compiled.learn is not None
    return ports.compiled.learn.__self__.get(settle.key_of(cap)) is not None


def same_as_walked(found: Any, roots: Any, differentiate: bool) -> None:
    """Fail unless the machine code has found what the walk in Python finds."""
    expected = linearize.walked(roots, differentiate, others=1)
    assert found.key == expected.key, (np.frombuffer(found.key, np.int64), roots)
    assert found.noted == expected.noted, (np.frombuffer(found.noted, np.int64), roots)
    assert found.known is expected.known
    assert found.consumed is expected.consumed
    for name in capture.LISTS:
        part, wanted = getattr(found, name), getattr(expected, name)
        assert len(part) == len(wanted), name
        assert all(x is y for x, y in zip(part, wanted, strict=True)), name


def _repeated(code: Callable[..., Any]) -> Callable[..., Any]:
    def call(*operands: Any) -> Any:
        tensor = code(*operands)
        if tensor is not None:
            same_as_bound(tensor._node)
        return tensor

    return call


def same_as_bound(node: Node) -> None:
    """Fail unless ``bind`` records the same operation on the same operands."""
    with unrecorded():
        again = bind(node.sig.prim, *node.inputs, **node.sig.params)
    assert node.seq < again.seq
    same_node(node, again)
    assert all(x is y for x, y in zip(node.inputs, again.inputs, strict=True))


def same_node(node: Node, again: Node) -> None:
    for name in ("sig", "aval", "value", "leaf", "line", "watch", "freed", "requires_grad"):
        assert getattr(node, name) is getattr(again, name), name
    assert node.depth == again.depth
    assert len(node.inputs) == len(again.inputs)


def _replayed(code: Callable[[Recipe, Any], Any]) -> Callable[[Recipe, Any], Any]:
    def call(recipe: Recipe, operands: Any) -> Any:
        found = code(recipe, operands)
        if found is not None:
            shortcuts.replay = None
            try:
                same_graph(found, recipes.replay(recipe, operands), {*map(id, operands)})
            finally:
                shortcuts.replay = call
        return found

    return call


def same_graph(found: Any, wanted: Any, operands: set[int]) -> None:
    """Fail unless both graphs record the same operations, in the same order, on the operands."""
    seen: dict[int, tuple[Node, Node]] = {}
    stack = [(found, wanted)]
    while stack:
        x, y = stack.pop()
        if x is y:  # an operand, a constant, a number
            continue
        assert id(x) not in operands
        if id(x) in seen:
            assert seen[id(x)][1] is y
            continue
        seen[id(x)] = (x, y)
        same_node(x, y)
        stack += zip(x.inputs, y.inputs, strict=True)
    in_order = [y.seq for _, y in sorted(seen.values(), key=lambda pair: pair[0].seq)]
    assert in_order == sorted(in_order)
