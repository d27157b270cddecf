"""Operations with several results: one node on the graph, and a ``part`` for each that is used.

On a tape there are no parts: ``build_tape`` makes them variables of one equation. The node itself
never has a value; what computes it gives the values to the parts that somebody still holds.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NoReturn

from nbgrad.core.aval import Aval, Several
from nbgrad.core.modes import lines, modes, unrecorded
from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive, Rules, bind

_parts: weakref.WeakKeyDictionary[Node, list[Any]] = weakref.WeakKeyDictionary()


class SeveralResults(Primitive):
    """A primitive whose ``prepare`` gives the aval ``several(...)``, and its calls so many nodes."""

    def __call__(self, *operands: Any, **params: Any) -> Any:
        return results_of(bind(self, *operands, **params))


def _prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[tuple[Any, ...], Aval, Any]:
    return xs, xs[0].aval.parts[params["number"]], ()


def _no_rule(*args: Any) -> NoReturn:
    raise AssertionError("there are no parts on a tape")


part = Primitive(
    name="part",
    kind="linear",
    evaluate=lambda results, number: results[number],
    prepare=_prepare,
    rules=Rules(_no_rule, _no_rule),
    lower=None,
    grad_name="Part",
    doc="One of the results of an operation that has several.",
    projects=True,
    registered=False,
)


def result_of(node: Node, number: int) -> Node:
    """Result *number* of the operation *node*, which has several."""
    found = bind(part, node, number=number)
    found.line = node.line
    join(node, found)
    return found  # type: ignore[no-any-return]


def results_of(node: Node) -> tuple[Node, ...]:
    """All results of the operation *node*, which may have several."""
    if not isinstance(node.aval, Several):
        return (node,)
    numbers = range(len(node.aval.parts))
    if not lines.on or modes.recorded is None:
        return tuple([result_of(node, k) for k in numbers])
    with unrecorded():
        found = tuple([result_of(node, k) for k in numbers])
    for one in found:  # all are there: to compute one is to compute the others
        modes.recorded(one)
    return found


def join(node: Node, found: Node) -> None:
    """Note that *found* is a part of *node*."""
    held = _parts.setdefault(node, [])
    if len(held) > 4 * len(node.aval.parts):  # type: ignore[attr-defined]
        held[:] = [ref for ref in held if ref() is not None]
    held.append(weakref.ref(found))


def results_held(node: Node) -> list[Node]:
    """The results of the operation *node* that somebody holds: itself, or its parts."""
    if not isinstance(node.aval, Several):
        return [node]
    return [x for ref in _parts.get(node, ()) if (x := ref()) is not None]


def give(node: Node, values: Sequence[Any]) -> list[tuple[Node, Any]]:
    """The pending parts of *node* that somebody holds, each with its value of *values*."""
    held = [x for x in results_held(node) if x.value is None]
    return [(x, values[x.sig.params["number"]]) for x in held]
