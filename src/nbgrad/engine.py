"""The engine: demands on lazy nodes become tapes, tapes become programs, programs run.

Programs are found by structural key in an LRU cache, so a steady state records, looks up, runs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core.check import checked
from nbgrad.core.linearize import build_tape, capture, require_values
from nbgrad.core.node import Node
from nbgrad.core.tape import Tape
from nbgrad.executable import Executable
from nbgrad.transforms.simplify import simplify

Array = np.ndarray[Any, Any]


class ProgramCache:
    """Thread-safe LRU of executables by structural key."""

    def __init__(self, capacity: int = 1024) -> None:
        self.capacity = capacity
        self.entries: OrderedDict[Any, Any] = OrderedDict()
        self.lock = threading.Lock()

    def find(self, key: Any, build: Callable[[], Any]) -> Any:
        """Return the entry of *key*, built on the first call."""
        entry = self.entries.get(key)
        if entry is not None:
            return entry
        entry = build()
        with self.lock:
            entry = self.entries.setdefault(key, entry)
            while len(self.entries) > self.capacity:
                self.entries.popitem(last=False)
        return entry

    def clear(self) -> None:
        with self.lock:
            self.entries.clear()


programs = ProgramCache()


def executable(tape: Tape, constants: Sequence[Node] = ()) -> Executable:
    """Simplify *tape* and make it runnable; *constants* fill its last inputs."""
    return Executable(simplify(checked(tape)), [node.value for node in constants])


def demand(nodes: Sequence[Node]) -> None:
    """Compute *nodes*: afterwards each has its buffer."""
    pending = [n for n in dict.fromkeys(nodes) if n.value is None]
    if not pending:
        return
    cap = capture(pending)
    require_values(cap)

    def build() -> Executable:
        tape, _ = build_tape(cap, pending)
        return executable(tape)

    exe = programs.find(("forward", cap.key), build)
    for node, value in zip(pending, exe.run([*cap.values, *cap.scalars]), strict=True):
        settle(node, value)


def settle(node: Node, value: Array) -> None:
    """Give *node* its buffer; drop the operands that nothing will need again."""
    node.value = value
    node.depth = 0
    if not node.requires_grad or node.leaf is not None or node.freed:
        node.inputs = ()


def value_of(node: Node) -> Array:
    """Return the buffer of *node*, computing it if it is pending."""
    if node.value is None:
        demand([node])
    return node.value


def flush(node: Node) -> None:
    """Evaluate the end of a long pending chain, so that abandoned work cannot pile up.

    While a function is traced there is nothing to evaluate; the chain then starts anew.
    """
    if node.depth > settings.current.max_pending:
        cap = capture([node])
        if any(v is None for v in cap.values):
            node.depth = 0
        else:
            demand([node])
