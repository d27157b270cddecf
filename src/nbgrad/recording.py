"""Recording one operation on tensors: the hot path of eager code.

The common cases are written out: operands that need no cast and no broadcast, found by their avals
in dictionaries, and nodes made in place. Each Python call saved is about 50 ns of some 400.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.modes import lines, modes, not_recording
from nbgrad.core.node import Node, next_sequence
from nbgrad.core.primitive import Primitive, bind
from nbgrad.engine import flush

FAST_ENTRIES = 4096
OPERANDS = (float, int, bool, complex, np.ndarray, np.generic, list, tuple)

Method = Callable[..., Any]
new = object.__new__


def unary(prim: Primitive, general: Callable[[Any], Any] | None = None) -> Callable[[Any], Any]:
    """Return the function that records *prim* of one tensor; *general* takes anything else."""
    fast: dict[Any, Any] = {}

    def method(self: Any) -> Any:
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
        if not depth & 255:
            flush(node)
        tensor = new(self.__class__)
        tensor._node = node
        return tensor

    return _named(method, prim)


def binary(prim: Primitive) -> Method:
    """Return the function that records *prim* of a tensor and a second operand.

    It returns NotImplemented for an operand that is no number, array or tensor.
    """
    # Signatures by the aval of both operands, of a tensor and a float, by two avals or aval and type.
    alike, number, mixed = tables = _tables()

    def method(self: Any, other: Any) -> Any:
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
                sig = mixed[a.aval, int]
            else:
                return cls(bind(prim, a, other)) if isinstance(other, OPERANDS) else NotImplemented
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
        if not depth & 255:
            flush(node)
        tensor = new(cls)
        tensor._node = node
        return tensor

    return _named(method, prim)


def _tables() -> tuple[dict[Any, Any], dict[Any, Any], dict[Any, Any]]:
    return {}, {}, {}


def _slow(prim: Primitive, tables: tuple[dict[Any, Any], ...], a: Node, b: Any) -> Node:
    """Bind with casts and broadcasts; remember the signature when none was needed."""
    alike, number, mixed = tables
    node: Node = bind(prim, a, b)
    if b.__class__ is float:
        _remember(number, a.aval, node, a, b)
    elif b.__class__ is Node and b.aval is a.aval:
        _remember(alike, a.aval, node, a, b)
    else:
        _remember(mixed, (a.aval, b.aval if b.__class__ is Node else b.__class__), node, a, b)
    if not node.depth & 255:
        flush(node)
    return node


def static(function: Callable[..., Node]) -> Method:
    """Return the method that records *function* of one tensor and of settings.

    Where the function makes one node of the tensor alone, its signature is remembered by the aval
    and the settings, so the next call checks nothing again.
    """
    fast: dict[Any, Any] = {}

    def method(self: Any, *args: Any, **settings: Any) -> Any:
        a = self._node
        key = (a.aval, args, *settings.items()) if settings else (a.aval, args)
        try:
            sig = fast.get(key)
        except TypeError:  # a list, a slice, an array
            return self.__class__(function(a, *args, **settings))
        if sig is None or lines.on:
            node = function(a, *args, **settings)
            _remember(fast, key, node, a)
            return self.__class__(node)
        node = Node()
        node.sig, node.aval, node.inputs = sig, sig.aval, (a,)
        node.requires_grad = (
            a.requires_grad and sig.differentiable and (not not_recording or modes.grad)
        )
        node.depth = a.depth + 1
        node.seq, node.freed = next_sequence(), False
        node.value = node.leaf = node.line = node.watch = None
        tensor = new(self.__class__)
        tensor._node = node
        return tensor

    method.__name__ = function.__name__
    method.__doc__ = function.__doc__
    return method


def _remember(fast: dict[Any, Any], key: Any, node: Node, *operands: Any) -> None:
    """Keep the signature of *node* if it was recorded of exactly *operands*."""
    if len(node.inputs) != len(operands):
        return
    if all(x is y for x, y in zip(node.inputs, operands, strict=True)):
        if len(fast) >= FAST_ENTRIES:
            fast.clear()
        fast[key] = node.sig


def _named(method: Any, prim: Any) -> Any:
    method.__name__ = prim.name
    method.__doc__ = prim.doc
    return method
