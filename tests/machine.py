"""The machine code for recording and for walking graphs, compared with Python wherever it runs.

The whole suite runs under this comparison: each graph that a test evaluates is walked twice, and
each operation that a test records is recorded twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nbgrad.backends import quick, walk
from nbgrad.core import linearize
from nbgrad.core.modes import unrecorded
from nbgrad.core.node import Node
from nbgrad.core.primitive import bind
from nbgrad.core.record import shortcuts

PARTS = ("nodes", "operands", "leaves", "values", "scalars")


def install() -> None:
    """Install the machine code, each of its functions with its check."""
    walk.install()
    quick.install()
    compiled, make = linearize.compiled, shortcuts.make
    assert compiled.forward is not None and compiled.backward is not None and make is not None
    compiled.forward = _compared(compiled.forward, differentiate=False)
    compiled.backward = _compared(compiled.backward, differentiate=True)
    shortcuts.offer(lambda *tables: _repeated(make(*tables)))


@contextmanager
def switched_off() -> Iterator[None]:
    """Everything in Python, as in the first runs and where layouts are not known."""
    compiled, make = linearize.compiled, shortcuts.make
    forward, backward = compiled.forward, compiled.backward
    compiled.forward = compiled.backward = None
    shortcuts.offer(None)
    try:
        yield
    finally:
        compiled.forward, compiled.backward = forward, backward
        shortcuts.offer(make)


def _compared(code: Callable[[Any], Any], differentiate: bool) -> Callable[[Any], Any]:
    def call(roots: Any) -> Any:
        found = code(roots)
        if found is not None and threading.active_count() == 1:
            same_as_walked(found, roots, differentiate)
        return found

    return call


def same_as_walked(found: Any, roots: Any, differentiate: bool) -> None:
    """Fail unless the machine code has found what the walk in Python finds."""
    expected = linearize.walked(roots, differentiate)
    key, *parts = found
    assert key == expected.key, (np.frombuffer(key, np.int64), roots)
    for name, part in zip(PARTS, parts, strict=True):
        wanted = getattr(expected, name)
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
    for name in Node.__slots__:
        if name not in ("__weakref__", "seq", "inputs"):
            assert getattr(node, name) is getattr(again, name) or (
                name == "depth" and node.depth == again.depth
            ), name
    assert len(node.inputs) == len(again.inputs)
    assert all(x is y for x, y in zip(node.inputs, again.inputs, strict=True))
    assert node.seq < again.seq
