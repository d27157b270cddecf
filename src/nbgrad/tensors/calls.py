"""Calls of functions of nodes: what a call recorded is replayed for the same avals and settings.

What a function records depends on avals and settings alone, unless it looks at a value: then the call
teaches nothing. Only what was declared is replayed, of which that is known. Checking shapes and
settings anew takes 3 to 80 µs a call, replaying about 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.boxes import nested
from nbgrad.core.node import Node
from nbgrad.core.placing import moved
from nbgrad.core.recipes import STATIC, Recipe, Recipes, replay
from nbgrad.core.registry import declared
from nbgrad.core.values import looks

_PLAIN = frozenset({int, bool, str, type(None)})  # most of what STATIC covers
_recipes = Recipes()
MAX_ITEMS = 128  # in the lists of a call: to find and keep longer ones costs more than they save


class Call:
    """A call of a function with tensors, by what it depends on.

    Attributes
    ----------
    key : tuple or None
        The function, avals and settings; None if some argument is of another kind, or too long.
    nodes : list of Node
        The operands, each once.
    items : int
        How many items the lists and tuples have.
    """

    __slots__ = ("items", "key", "nodes", "tensor")

    def __init__(self, tensor: type, function: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self.tensor = tensor
        self.nodes: list[Node] = []
        self.items = 0
        self.key: Any = None
        try:
            key = [function, *[self._describe(x) for x in args]]
            if kwargs:
                key += [(name, self._describe(x)) for name, x in kwargs.items()]
            self.key = tuple(key)
        except TypeError:
            pass

    def _describe(self, x: Any) -> Any:
        """What the call depends on, hashable, without the operands, which are collected."""
        kind = x.__class__
        if kind in _PLAIN:
            return kind, x
        if kind is self.tensor or kind is Node:
            node = x if kind is Node else x._node
            for k, other in enumerate(self.nodes):
                if other is node:
                    return k  # given before: another call may give two
            self.nodes.append(node)
            return node.aval
        if kind is float:  # the text tells 0.0 from -0.0
            return kind, repr(x)
        if kind in (tuple, list):
            self.items += len(x)
            if self.items > MAX_ITEMS:
                raise TypeError(kind)
            return kind, *[self._describe(item) for item in x]
        # A class of numbers is a dtype; another may be a callable with a state of its own.
        if isinstance(x, STATIC) and not (
            isinstance(x, type) and not issubclass(x, (np.generic, int, float, complex))
        ):
            return kind, x
        raise TypeError(kind)

    def again(self) -> Any:
        """What the call records, if one like it has taught that, else None."""
        recipe = _recipes.get(self.key)
        return None if recipe is None else replay(recipe, self.nodes)

    def run(self, function: Any, operands: Any, settings: Any) -> Any:
        """Call *function* of nodes, and learn from it if it looks at no value."""
        before = looks.count
        result = function(*operands, **settings)
        there = next((n.aval.device for n in self.nodes if n.aval.device is not None), None)
        if there is not None and "device" not in settings:  # what was found in values at home
            result = _put(result, there)
        if (
            result.__class__ is Node
            and self.nodes
            and self.key is not None
            and looks.count == before
            and function in declared
        ):
            _recipes.learn(self.key, result, self.nodes)
        return result


def _put(found: Any, device: str) -> Any:
    """The nodes of a result on *device*."""
    if found.__class__ is Node:
        return moved(found, device)
    return nested(found, lambda item: _put(item, device))


def of_one(function: Any, node: Node) -> Recipe | None:
    """How *function* records one node, as a call of it alone has taught."""
    return _recipes.get((function, node.aval))  # the key of such a call
