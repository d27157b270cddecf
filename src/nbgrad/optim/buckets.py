"""What a step's program is given, and the memory that it writes to."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from operator import is_
from typing import Any

import numpy as np

from nbgrad.core.modes import modes
from nbgrad.core.node import Node, put_node
from nbgrad.core.ports import ports
from nbgrad.tensors.tensor import Tensor

Array = np.ndarray[Any, Any]
# Bytes of all results from which on memory is used again: the system takes back what is freed, and
# handing it out anew costs several times what a step does. Below that, allocating is quicker.
MUCH = 1 << 24
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


def given_of(taken: Iterable[tuple[Bucket, Any, Any]]) -> list[Any]:
    """The arguments of the program: lists of arrays, or of tensors on a device.

    What is pending of parameters and gradients is computed first, all at once.
    """
    nodes = [
        ([p._node for p in b.params], [p.grad._node for p in b.params])  # type: ignore[union-attr]
        for b, _, _ in taken
    ]
    if pending := [n for v, g in nodes for n in (*v, *g) if n.value is None]:
        ports.evaluate(list(dict.fromkeys(pending)))
    return [
        ([*map(_held, v)], [*map(_held, g)], b.columns, numbers, on, float(b.step + 1))
        for (v, g), (b, numbers, on) in zip(nodes, taken, strict=True)
    ]


def refuse_traced(taken: Iterable[tuple[Bucket, Any, Any]]) -> None:
    """Refuse to write to parameters while a function is traced, before anything is changed."""
    for p in [p for b, _, _ in taken for p in b.params] if modes.tracing else ():
        if p._node.seq < modes.tracing or p._node.value is None:
            raise TypeError(STEP_IN_TRACE)


class Spares:
    """Arrays that nobody reads any more, for the results of the next step."""

    def __init__(self) -> None:
        self.held: dict[Any, list[Array]] = {}
        self.used = False

    def run(self, program: Any, given: list[Any]) -> Any:
        """What *program* makes of *given*; much of it in memory that a step before has left."""
        self.used = sum(_written(values, columns) for values, _, columns, *_ in given) >= MUCH
        if not self.used:
            self.held.clear()
            return program(given)
        out = [
            ([*map(self._taken, v)], {k: [*map(self._taken, x)] for k, x in columns.items()})
            for v, _, columns, *_ in given
        ]
        self.held.clear()
        return program.into(given, out=out)

    def keep(self, nodes: list[Node], columns: dict[str, list[Any]]) -> None:
        """Take the memory of what there was before a step, unless somebody else looks at it."""
        if not self.used:
            return
        while nodes:
            # Held by the list and by the call; by a graph, a view or another tensor as well?
            if sys.getrefcount(nodes[-1]) == 2 and _alone(nodes[-1]):
                self._keep(nodes[-1].value)
            nodes.pop()
        for column in columns.values():
            for x in column:
                self._keep(x)

    def _keep(self, x: Array) -> None:
        self.held.setdefault((x.shape, x.dtype), []).append(x)

    def _taken(self, x: Array) -> Array:
        found = self.held.get((x.shape, x.dtype))
        return found.pop() if found else np.empty(x.shape, x.dtype)


def _written(values: list[Any], columns: dict[str, list[Any]]) -> int:
    """Bytes at home that a step makes."""
    each = [x.nbytes for x in values if x.__class__ is np.ndarray]
    return sum(each) * (1 + len(columns)) if len(each) == len(values) else 0


def _alone(node: Node) -> bool:
    """Whether a node, which nobody else holds, is the only one to hold its array, which owns its memory."""
    value = node.value
    # Held by the node, by ``value`` and by the call.
    return value.flags.owndata and value.flags.writeable and sys.getrefcount(value) == 3


def _held(node: Node) -> Any:
    """The elements of a node, which has been computed: an array at home, a tensor on a device."""
    value = node.value
    return value if value.__class__ is np.ndarray else Tensor(put_node(value))
