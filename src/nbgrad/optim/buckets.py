"""What a step's program is given, and the memory that it writes to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from operator import is_
from typing import Any

import numpy as np

from nbgrad.core.memory import FREE_THREADED
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, put_node
from nbgrad.core.ports import ports
from nbgrad.core.standing import turn
from nbgrad.tensors.tensor import Tensor

Array = np.ndarray[Any, Any]
# Bytes of all results from which on they are written in the place of what was there: a third less memory is
# moved. Below that it is in the caches, and to look at who holds what takes longer.
MUCH = 1 << 20
STEP_IN_TRACE = (
    "an optimizer's step writes to parameters, and a traced function may not change what lies outside: "
    "take the step outside of jit and scan, or inside by a pure form: "
    "params, state = nbgrad.optim.adam(lr).update(grads, state, params)"
)


class Bucket:
    """Parameters of a group that took as many steps, and their slots: a list for each name."""

    __slots__ = ("columns", "params", "step")

    def __init__(self, step: int) -> None:
        self.step = step
        self.params: list[Tensor] = []
        self.columns: dict[str, list[Any]] = {}

    def add(self, p: Tensor, slots: dict[str, Any]) -> None:
        """Take a parameter in, and its slots."""
        self.params.append(p)
        for name, x in slots.items():
            self.columns.setdefault(name, []).append(x)

    def holds(self, params: list[Tensor]) -> bool:
        """Whether these are the parameters."""
        return len(params) == len(self.params) and all(map(is_, params, self.params))

    def rows(self) -> list[dict[str, Any]]:
        """The slots of each parameter."""
        return [{name: x[k] for name, x in self.columns.items()} for k in range(len(self.params))]


def given_of(
    taken: Iterable[tuple[Bucket, Any, Any]],
) -> tuple[list[Any], list[Any], list[list[Node]]]:
    """What the program makes anew and what it reads, arrays or tensors on a device; nodes of parameters.

    What is pending of parameters and gradients is computed first, all at once.
    """
    nodes = [
        ([p._node for p in b.params], [p.grad._node for p in b.params])  # type: ignore[union-attr]
        for b, _, _ in taken
    ]
    if pending := [n for v, g in nodes for n in (*v, *g) if n.value is None]:
        ports.evaluate(list(dict.fromkeys(pending)))
    rows = list(zip(nodes, taken, strict=True))
    own = [([*map(_held, v)], b.columns) for (v, _), (b, _, _) in rows]
    read = [
        ([*map(_held, g)], numbers, on, float(b.step + 1)) for (_, g), (b, numbers, on) in rows
    ]
    return own, read, [v for v, _ in nodes]


def refuse_traced(taken: Iterable[tuple[Bucket, Any, Any]]) -> None:
    """Refuse to write to parameters while a function is traced, before anything is changed."""
    for p in [p for b, _, _ in taken for p in b.params] if modes.tracing else ():
        if p._node.seq < modes.tracing or p._node.value is None:
            raise TypeError(STEP_IN_TRACE)


def in_place(taken: Iterable[tuple[Bucket, Any, Any]]) -> bool:
    """Whether a step writes to the memory of parameters and slots: all at home, and large."""
    size = 0
    for bucket, _, _ in taken:
        for p in bucket.params:
            aval = p._node.aval
            if aval.device is not None:
                return False
            size += aval.nbytes * (1 + len(bucket.columns))
    return size >= MUCH and not FREE_THREADED


def own_values(own: list[Any], nodes: list[list[Node]]) -> None:
    """Put copies in the place of values in *own*, those of *nodes*, that somebody else may look at."""
    alone = _of_one_alone()
    for (values, _), row in zip(own, nodes, strict=True):
        for k in range(len(values)):
            if not _whole(values[k]) or _counts(row[k]) != alone:
                values[k] = _copied(values[k])


@contextmanager
def readers_of(params: list[Tensor]) -> Iterator[list[Tensor] | None]:
    """Those of *params* that other threads may read meanwhile; None if they cannot be made to wait."""
    if threading.active_count() == 1:
        yield []
        return
    with turn() as reached:
        yield params if reached else None


def _counts(node: Node) -> tuple[int, int]:
    """How many references there are to *node*, and to what it holds."""
    value = node.value
    return sys.getrefcount(node), sys.getrefcount(value)


@cache
def _of_one_alone() -> tuple[int, int]:
    """The same of a node that but a parameter and a row hold, and of what it and a row of values hold.

    How many references a call itself has depends on Python.
    """
    p = Tensor(put_node(np.empty(1)))
    row = [p._node]
    values = [row[0].value]
    found = [_counts(row[k]) for k in range(len(values))]
    return found[0]


def _whole(x: Array) -> bool:
    return x.flags.owndata and x.flags.writeable


def _copied(x: Array) -> Array:
    return x.copy()


def _held(node: Node) -> Any:
    """The elements of a node, which has been computed: an array at home, a tensor on a device."""
    value = node.value
    return value if value.__class__ is np.ndarray else Tensor(put_node(value))
