"""Recipes: the nodes that a call recorded, to be recorded again without checking anything.

What a function records depends on the avals of its operands and on its settings alone, if it looks
at no value. So the nodes of a first call are a recipe for the next, which then checks nothing
again: ``x[1:]`` costs 1.5 µs instead of 7, a product with broadcasting 2 instead of 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.core.registry import views

if TYPE_CHECKING:
    from nbgrad.core.signature import Signature
from nbgrad.core.ports import shortcuts
from nbgrad.core.record import record

# Settings that what a call recorded may be remembered by, beside finite floats.
STATIC = (int, bool, str, type(None), type, np.dtype, type(np._NoValue))


class Recipe:
    """Operations to record on operands of known avals. Never changed.

    Attributes
    ----------
    constants : tuple of Node or scalar
        What the operations read besides the operands and each other.
    steps : tuple of (Signature, tuple of int)
        Operations and the places of what they read, among operands, constants and earlier results.
    result : int
        The place of the result.
    alone : Signature or None
        The operation, if it is just one of one operand.
    window : tuple of Signature or None
        The operations, if they make a view of one operand.
    element : bool
        Whether the view is one that NumPy gives as a scalar.
    """

    __slots__ = ("alone", "constants", "element", "result", "steps", "window")

    def __init__(
        self,
        constants: tuple[Any, ...],
        steps: tuple[tuple[Any, tuple[int, ...]], ...],
        result: int,
        alone: Signature | None = None,
        window: tuple[Any, ...] | None = None,
        element: bool = False,
    ) -> None:
        self.constants = constants
        self.steps = steps
        self.result = result
        self.alone = alone
        self.window = window
        self.element = element

    @property
    def nbytes(self) -> int:
        """Bytes of the constants."""
        return sum(c.aval.nbytes for c in self.constants if c.__class__ is Node)


class Recipes(dict[Any, Recipe]):
    """Recipes by what they depend on; emptied when full, since settings may have no end.

    Those without constants are small, and many where a loop reads each element of an array by number.
    """

    __slots__ = ()
    CAPACITY, MOST = 4096, 1 << 16
    MAX_BYTES = 1 << 14  # of a recipe's constants: 64 MB in a full table

    def learn(self, key: Any, out: Node, operands: Sequence[Any], element: bool = False) -> None:
        """Keep how *out* was recorded on *operands*, if that can be replayed."""
        recipe = recipe_of(out, operands, element) if together(operands) else None
        if recipe is not None and recipe.nbytes <= self.MAX_BYTES:
            self.keep(key, recipe)

    def keep(self, key: Any, recipe: Recipe) -> None:
        """Keep *recipe*, in the place of all others if there is no room."""
        if len(self) >= (self.CAPACITY if recipe.constants else self.MOST):
            self.clear()
        self[key] = recipe


def together(operands: Sequence[Any]) -> bool:
    """Whether the nodes among *operands* lie on one device.

    What a call did with others is not remembered: whether it may depends on more than avals.
    """
    first: Any = None
    for x in operands:
        if x.__class__ is Node:
            if first is not None and x.aval.device != first.device:
                return False
            first = x.aval
    return True


def recipe_of(out: Node, operands: Sequence[Any], element: bool = False) -> Recipe | None:
    """How *out* was recorded on *operands*, or None.

    None if a node on the way is computed already, if one operand was given twice (another call may
    give two), or if nothing was recorded: each call makes a leaf of its own, as ``zeros_like`` does.
    """
    place: dict[Any, int] = {id(x): k for k, x in enumerate(operands)}
    if len(place) < len(operands) or (out.sig is None and id(out) not in place):
        return None
    nodes: dict[int, Node] = {}
    constants: dict[int, Any] = {}
    stack: list[Any] = [out]
    while stack:
        x = stack.pop()
        if id(x) in place or id(x) in nodes:
            continue
        if x.__class__ is not Node or x.sig is None:
            constants[id(x)] = x
        elif x.value is not None or not x.inputs:
            return None
        else:
            nodes[id(x)] = x
            stack += x.inputs
    if any(c.__class__ is Node and c.value is None for c in constants.values()):
        return None  # a placeholder of some trace
    for key in constants:
        place[key] = len(place)
    ordered = sorted(nodes.values(), key=lambda n: n.seq)
    for node in ordered:
        place[id(node)] = len(place)
    steps = tuple((n.sig, tuple(place[id(x)] for x in n.inputs)) for n in ordered)
    alone = steps[0][0] if [reads for _, reads in steps] == [(0,)] else None
    window = _window(out, operands)
    return Recipe(tuple(constants.values()), steps, place[id(out)], alone, window, element)


def _window(out: Node, operands: Sequence[Any]) -> tuple[Any, ...] | None:
    return window_between(out, operands[0]) if len(operands) == 1 else None


def window_between(out: Node, source: Node) -> tuple[Any, ...] | None:
    """The operations that make *out* as a view of *source*, or None if it is none."""
    found = []
    node: Any = out
    while node is not source:
        if node.__class__ is not Node or node.sig is None or not node.inputs:
            return None
        if node.sig.prim not in views:
            return None
        found.append(node.sig)
        node = node.inputs[0]
    return tuple(found[::-1])


def replay(recipe: Recipe, operands: Sequence[Any]) -> Any:
    """Record *recipe* on *operands*, of the avals it was made for."""
    if (twin := shortcuts.replay) is not None:
        node = twin(recipe, operands)
        if node is not None:
            return node
    env = [*operands, *recipe.constants]
    for sig, reads in recipe.steps:
        env.append(record(sig, tuple([env[k] for k in reads])))
    return env[recipe.result]
