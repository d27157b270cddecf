"""Calls of functions whose derivative rules the user writes: what they are given, and what they return.

Eagerly such a call runs on values, and its rules are called with values by the pass that meets it. While
a function is traced the call is an equation, and function and rules are traced at once: its bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.bodies import Ran, ran
from nbgrad.api.enclosing import belongs_outside
from nbgrad.core.linearize import capture
from nbgrad.core.modes import modes
from nbgrad.core.node import Node
from nbgrad.core.tape import Body
from nbgrad.errors import CLOSED_OVER, AutogradError
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.custom import Failed, Written, custom, together
from nbgrad.transforms.trace import Traced, leaves_of_results, rebuilder
from nbgrad.vocabulary.elements.composite import detached
from nbgrad.vocabulary.shapes import as_node

NUMBERS = (Tensor, np.ndarray, np.generic, float, complex)


class Parted:
    """A nest taken apart: its values, those of *kinds*, and everything else, which stays as it is."""

    __slots__ = ("kinds", "leaves", "made", "places")

    def __init__(self, nest: Any, kinds: Any = Tensor) -> None:
        self.leaves, self.made = leaves_of_results(nest)
        self.places = [k for k, x in enumerate(self.leaves) if isinstance(x, kinds)]

    @property
    def values(self) -> list[Any]:
        return [self.leaves[k] for k in self.places]

    @property
    def tensors(self) -> list[Tensor]:
        """The values, as tensors."""
        return [x if isinstance(x, Tensor) else Tensor(as_node(x)) for x in self.values]

    def filled(self, values: Sequence[Any], others: Callable[[Any], Any] | None = None) -> Any:
        """The nest with *values* in the place of its own, and ``others(x)`` of what else it has."""
        leaves = list(self.leaves) if others is None else [others(x) for x in self.leaves]
        for k, x in zip(self.places, values, strict=True):
            leaves[k] = x
        return rebuilder(self.made)(leaves)

    def boxed(self, nodes: Sequence[Node]) -> Any:
        """The nest of nodes, boxed as its values are."""
        values = zip(self.values, nodes, strict=True)
        return self.filled(
            [x.__class__(n) if isinstance(x, Tensor) else Tensor(n) for x, n in values]
        )


def nothing(x: Any) -> None:
    """In the place of what has no derivative."""


def matching(given: Any, found: Any, what: str) -> list[Any]:
    """For each tensor in *given* what *found* has in its place; None stands for zeros of anything."""
    if found is None:
        return [None] * len(Parted(given).places)
    if isinstance(given, Tensor):
        return [found]
    if isinstance(given, (tuple, list)) and isinstance(found, (tuple, list)):
        if len(given) == len(found):
            pairs = zip(given, found, strict=True)
            return [x for a, b in pairs for x in matching(a, b, what)]
    elif isinstance(given, dict) and isinstance(found, dict):
        if given.keys() == found.keys():
            return [x for key in given for x in matching(given[key], found[key], what)]
    elif not isinstance(given, (tuple, list, dict)):
        parts, other = Parted(given), Parted(found)
        if not parts.places:
            return []
        if other.made == parts.made:
            return [other.leaves[k] for k in parts.places]
    raise TypeError(
        f"{what}: expected the nest of what it belongs to ({_outline(given)}), or None for zeros, "
        f"not {_outline(found)}"
    )


def _outline(x: Any) -> str:
    if isinstance(x, (tuple, list)):
        inside = ", ".join(map(_outline, x))
        return f"[{inside}]" if isinstance(x, list) else f"({inside})"
    if isinstance(x, dict):
        return f"{{{', '.join(f'{k!r}: {_outline(v)}' for k, v in x.items())}}}"
    return f"{type(x).__name__} of shape {x.shape}" if isinstance(x, NUMBERS[:3]) else repr(x)


def fitted(found: Any, node: Node, what: str) -> Node:
    """A derivative that a rule returned, as an array like *node*."""
    if found is None:
        return materialize(0.0, node.aval)
    if isinstance(found, (int, float, complex)) and not isinstance(found, np.generic):
        return materialize(found, node.aval)
    try:
        made = found._node if isinstance(found, Tensor) else as_node(found)
    except (TypeError, ValueError):
        raise TypeError(f"{what}: {type(found).__name__} is no array of numbers") from None
    if made.shape != node.shape:
        raise AutogradError(f"{what}: shape {made.shape} in the place of {node.shape}")
    return materialize(made, node.aval)


def refuse_closed(name: str, results: Parted, given: Sequence[Tensor] = ()) -> None:
    """Raise if a result depends on a tensor from outside that is being differentiated."""
    nodes = [t._node for t in given]
    for x in results.values:
        if not isinstance(x, Tensor) or not x.requires_grad or x._node in nodes:
            continue
        if belongs_outside(capture([x._node], differentiate=True), [x._node], nodes):
            raise AutogradError(CLOSED_OVER.format(name=name, aval=x._node.aval))


def attempted(f: Callable[..., Any], avals: Sequence[Any], where: str) -> Ran | Failed:
    """Trace a rule, which may be differentiated; an error is raised where the rule is asked for."""
    try:
        return ran(f, avals, where)
    except Exception as error:
        modes.functions += 1  # jit runs the function as it is where it is differentiated
        return Failed(error)


def as_equation(
    name: str, tensors: Sequence[Tensor], body: Traced, rules: dict[str, Ran | Failed]
) -> list[Node]:
    """Record the call of *tensors* as one equation; return its results."""
    made = [(t.tape, t.captured) for t in rules.values() if isinstance(t, Ran)]
    (function, *bodies), closed = together([(body.tape, body.constants), *made])
    now = iter(bodies)
    parts: dict[str, Body | Failed] = {
        key: next(now) if isinstance(t, Ran) else t for key, t in rules.items()
    }
    nodes = [t._node for t in tensors]
    rule = Written(name, len(nodes), **parts)  # type: ignore[arg-type]
    # What is known and not differentiated is a constant: no rule is asked for its derivative.
    apart = [detached(n) if n.value is not None and not n.requires_grad else n for n in closed]
    return list(custom(*nodes, *apart, body=function, rule=rule))
