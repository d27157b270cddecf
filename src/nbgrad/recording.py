"""Recording one operation on tensors: the hot path of eager code.

The common cases are written out: operands that need no cast and no broadcast, found by their avals
in dictionaries, and nodes made in place. Each Python call saved is about 50 ns of some 400.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core.modes import lines, modes, not_recording
from nbgrad.core.node import Node, next_sequence
from nbgrad.core.primitive import Primitive, bind
from nbgrad.core.record import STATIC, Recipes, replay, shortcuts
from nbgrad.engine import flush
from nbgrad.ops import structure
from nbgrad.ops.shaping import as_node

FAST_ENTRIES = 4096
OPERANDS = (float, int, bool, complex, np.ndarray, np.generic, list, tuple)

Method = Callable[..., Any]
new = object.__new__


def unary(prim: Primitive, general: Callable[[Any], Any] | None = None) -> Callable[[Any], Any]:
    """Return the function that records *prim* of one tensor; *general* takes anything else."""
    fast: dict[Any, Any] = {}
    quick: Any = None

    def method(self: Any) -> Any:
        if quick is not None and (tensor := quick(self)) is not None:
            return tensor
        try:
            a = self._node
            sig = fast[a.aval]
        except KeyError:
            sig = None
        except AttributeError:
            if general is None:
                raise
            return general(self)
        if sig is None or lines.on:
            node = bind(prim, a)
            _remember(fast, a.aval, node, a)
            return self.__class__(node)
        node = Node()
        node.sig, node.aval, node.inputs = sig, sig.aval, (a,)
        node.requires_grad = (
            a.requires_grad and sig.differentiable and (not not_recording or modes.grad)
        )
        node.depth = depth = a.depth + 1
        node.seq, node.freed = next_sequence(), False
        node.value = node.leaf = node.line = node.watch = None
        if depth > settings.max_pending:
            flush(node)
        tensor = new(self.__class__)
        tensor._node = node
        return tensor

    def take(made: Any) -> None:
        nonlocal quick
        quick = made

    shortcuts.ask((fast, fast, fast), take)
    return _named(method, prim)


def binary(prim: Primitive) -> Method:
    """Return the function that records *prim* of a tensor and a second operand.

    It returns NotImplemented for an operand that is no number, array or tensor.
    """
    # Signatures by the aval of both operands, of a tensor with a float, of a tensor of floating
    # point with an integer, and by two avals.
    alike, number, whole, mixed = tables = _tables()

    def general(self: Any, other: Any) -> Any:
        cls, a = self.__class__, self._node
        depth, requires_grad = a.depth, a.requires_grad
        try:
            if other.__class__ is cls:
                b = other._node
                if b.depth > depth:
                    depth = b.depth
                requires_grad = requires_grad or b.requires_grad
                sig = alike[a.aval] if b.aval is a.aval else mixed[a.aval, b.aval]
            elif other.__class__ is float:
                b = other
                sig = number[a.aval]
            elif other.__class__ is int and a.aval.inexact:
                b = other
                sig = whole[a.aval]
            else:
                known = isinstance(other, OPERANDS)
                return cls(bind(prim, a, operand(other))) if known else NotImplemented
        except KeyError:
            sig = None
        if sig is None or lines.on:
            return cls(_slow(prim, tables, a, b))
        node = Node()
        node.sig, node.aval, node.inputs = sig, sig.aval, (a, b)
        if requires_grad:
            requires_grad = sig.differentiable and (not not_recording or modes.grad)
        node.requires_grad = requires_grad
        node.depth = depth = depth + 1
        node.seq, node.freed = next_sequence(), False
        node.value = node.leaf = node.line = node.watch = None
        if depth > settings.max_pending:
            flush(node)
        tensor = new(cls)
        tensor._node = node
        return tensor

    return _named(_quickened(general, (alike, number, whole)), prim)


def _quickened(general: Method, tables: Any) -> Method:
    """The method of two operands that tries machine code first, where there is some."""
    quick: Any = None

    def method(self: Any, other: Any) -> Any:
        if quick is not None and (tensor := quick(self, other)) is not None:
            return tensor
        return general(self, other)

    def take(made: Any) -> None:
        nonlocal quick
        quick = made

    shortcuts.ask(tables, take)
    return method


def operand(x: Any) -> Any:
    """The second operand as `bind` takes it: a list with tensors in it is their stack."""
    return as_node(x) if isinstance(x, (list, tuple)) else x


def _tables() -> tuple[dict[Any, Any], ...]:
    return {}, {}, {}, {}


def _slow(prim: Primitive, tables: tuple[dict[Any, Any], ...], a: Node, b: Any) -> Node:
    """Bind with casts and broadcasts; remember the signature when none was needed."""
    alike, number, whole, mixed = tables
    node: Node = bind(prim, a, b)
    if b.__class__ is float:
        _remember(number, a.aval, node, a, b)
    elif b.__class__ is int:
        _remember(whole, a.aval, node, a, b)
    elif b.aval is a.aval:
        _remember(alike, a.aval, node, a, b)
    else:
        _remember(mixed, (a.aval, b.aval), node, a, b)
    return node


def static(function: Callable[..., Node]) -> Method:
    """Return the method that records *function* of one tensor and of settings.

    What it recorded is remembered by the aval and the settings, and replayed the next time.
    """
    fast = Recipes()
    quick: Any = None

    def method(self: Any, *args: Any, **given: Any) -> Any:
        a = self._node
        # The types come first: 2 and 2.0 and True are equal, and a tensor compares to a tensor.
        key: Any = a.aval
        for x in args:
            key = (key, x.__class__, x)
        for name, x in given.items():
            key = (key, name, x.__class__, x)
        try:
            recipe = fast[key]
        except KeyError:
            node = _new(function(a, *args, **given), a)
            if all(map(_tells, (*args, *given.values()))):
                fast.learn(key, node, (a,))
        except TypeError:  # a list, a slice, an array
            node = _new(function(a, *args, **given), a)
        else:
            sig = recipe.alone
            if sig is not None and quick is not None and (made := quick(self, sig)) is not None:
                return made
            node = replay(recipe, (a,))
        if node.depth > settings.max_pending:
            flush(node)
        tensor = new(self.__class__)
        tensor._node = node
        return tensor

    def take(made: Any) -> None:
        nonlocal quick
        quick = made

    shortcuts.ask(({}, {}, {}), take)  # it is always told the signature
    method.__name__ = function.__name__
    method.__doc__ = function.__doc__
    return method


def apart(node: Node) -> Node:
    """Another node of the same value, so that hooks on a result are not hooks on the operand."""
    return structure.reshape(node, shape=node.shape)  # type: ignore[no-any-return]


def _new(node: Node, operand: Node) -> Node:
    return apart(node) if node is operand else node


def _tells(x: Any) -> bool:
    """Whether a setting is no array and equals no other setting of its type."""
    if x.__class__ in (tuple, list):
        return all(map(_tells, x))
    return isinstance(x, STATIC) or (x.__class__ is float and x == x and x != 0.0)


def pair(function: Callable[[Any, Any], Node]) -> Callable[[Node, Any], Node]:
    """Return *function* of two nodes, which replays what it recorded for such avals before."""
    fast = Recipes()

    def call(a: Node, b: Any) -> Node:
        if b.__class__ is not Node:
            return function(a, b)
        recipe = fast.get((a.aval, b.aval))
        if recipe is not None:
            return replay(recipe, (a, b))  # type: ignore[no-any-return]
        node = function(a, b)
        fast.learn((a.aval, b.aval), node, (a, b))
        return node

    return call


def index_key(index: Any) -> Any:
    """A hashable form of a basic index; None for any other."""
    kind = index.__class__
    if kind is int or index is None or index is Ellipsis:
        return (index,)
    if kind is slice:
        parts = (index.start, index.stop, index.step)
        return parts if all(p is None or p.__class__ is int for p in parts) else None
    if kind is tuple:
        keys = tuple([index_key(item) for item in index])
        return None if None in keys else (kind, keys)
    return None


def index_of(key: Any) -> Any:
    """The index that *key* stands for."""
    if len(key) == 3:
        return slice(*key)
    return key[0] if len(key) == 1 else tuple(index_of(item) for item in key[1])


def _remember(fast: dict[Any, Any], key: Any, node: Node, *operands: Any) -> None:
    """Keep the signature of *node* if it was recorded of exactly *operands*."""
    if len(node.inputs) != len(operands):
        return
    if all(x is y for x, y in zip(node.inputs, operands, strict=True)):
        _bounded(fast)[key] = node.sig


def _bounded(table: dict[Any, Any]) -> dict[Any, Any]:
    if len(table) >= FAST_ENTRIES:
        table.clear()
    return table


def _named(method: Any, prim: Any) -> Any:
    method.__name__ = prim.name
    method.__doc__ = prim.doc
    return method
