"""Making nodes: one operation whose operands are prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbgrad.core.modes import lines, modes, not_recording, user_line
from nbgrad.core.node import Node, new_node

if TYPE_CHECKING:
    from nbgrad.core.signature import Signature
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbgrad.core.recipes import Recipe


Tables = tuple[dict[Any, Any], dict[Any, Any], dict[Any, Any]]


@dataclass(slots=True)
class Shortcut:
    """How one function asks for machine code: ``call`` is None until there is some.

    ``call`` takes a tensor, two operands, or a tensor and a signature. It records what the tables
    have a signature for, by the aval of the tensor: of one or two such tensors, with a float, with
    an integer. It returns None for anything else. If *swapped*, the tensor is the second operand of
    the operation, as in ``1.0 - x``.
    """

    tables: Tables
    swapped: bool = False
    call: Callable[..., Any] | None = None


class Shortcuts:
    """Recording by machine code: who can use it, and, once a backend is there, who makes it.

    ``make(tables, swapped)`` returns the ``call`` of a Shortcut; ``replay(recipe, operands)`` takes a
    tuple or a list of operands and returns a node, or None; ``view(tensor, recipe)`` returns a tensor
    that is a view, or None, and ``detached(tensor)`` one without history. The classes are those of
    tensors and of their groups.
    """

    __slots__ = ("asked", "detached", "group", "make", "replay", "tensor", "view")

    def __init__(self) -> None:
        self.tensor: type | None = None
        self.group: type | None = None
        self.view: Callable[[Any, Recipe], Any] | None = None
        self.detached: Callable[[Any], Any] | None = None
        self.make: Callable[[Tables, bool], Callable[..., Any]] | None = None
        self.replay: Callable[[Recipe, Sequence[Any]], Any] | None = None
        self.asked: list[Shortcut] = []

    def ask(self, *tables: dict[Any, Any], swapped: bool = False) -> Shortcut:
        """Return the shortcut of these tables, of which there are none, one for all, or three."""
        held = tables * 3 if len(tables) == 1 else tables or ({}, {}, {})
        shortcut = Shortcut(held, swapped)  # type: ignore[arg-type]
        self.asked.append(shortcut)
        self._serve(shortcut)
        return shortcut

    def offer(self, make: Callable[[Tables, bool], Callable[..., Any]] | None) -> None:
        """Serve all who asked and will ask; with None they record in Python again."""
        self.make = make
        for shortcut in self.asked:
            self._serve(shortcut)

    def _serve(self, shortcut: Shortcut) -> None:
        make = self.make
        shortcut.call = None if make is None else make(shortcut.tables, shortcut.swapped)


shortcuts = Shortcuts()


def record(sig: Signature, xs: tuple[Any, ...]) -> Node:
    """Make the node of an operation whose operands are already prepared."""
    requires_grad = False
    depth = 0
    for x in xs:
        if x.__class__ is Node:
            if x.requires_grad:
                requires_grad = True
            if x.depth > depth:
                depth = x.depth
    if requires_grad:
        requires_grad = sig.differentiable and (not not_recording or modes.grad)
    node = new_node(sig, sig.aval, xs, requires_grad, depth + 1)
    if lines.on:
        node.line = user_line()
        if modes.recorded is not None:
            modes.recorded(node)
        if modes.saved is not None:
            modes.saved(node)
    return node
