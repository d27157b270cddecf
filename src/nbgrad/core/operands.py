"""Operands: what users and rules give, as nodes and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.boxes import is_box, unbox
from nbgrad.core.foreign import numbers_of, settled
from nbgrad.core.node import Node, constant
from nbgrad.core.ports import ports

PLAIN = frozenset({Node, np.ndarray, int, float, bool, str, type(None), slice})


def as_operand(x: Any) -> Any:
    """Return *x* as a Node, or unchanged if it is a Python scalar."""
    kind = x.__class__
    if kind is Node or kind in (float, int, bool, complex):
        return x
    if kind is ports.tensor:
        return unbox(x)
    if kind is np.ndarray:
        return constant(x)
    if is_box(kind):
        return unbox(x)
    found = numbers_of(x)
    if isinstance(found, (list, tuple)) and holds_node(found):
        return ports.stack(found)
    return unbox(found) if is_box(found.__class__) else constant(found)


def holds_node(x: Any) -> bool:
    """Whether *x* is a node or a tensor, or a nest of lists and tuples with one in it."""
    if isinstance(x, (list, tuple)):
        kinds = set(map(type, x))
        if any(kind is Node or is_box(kind) for kind in kinds):
            return True
        nested = any(issubclass(kind, (list, tuple)) for kind in kinds)
        return nested and any(holds_node(item) for item in x)
    return x.__class__ is Node or is_box(x.__class__)


def unwrap(x: Any) -> Any:
    """Replace tensors by their nodes in nested tuples, lists and dicts, series by arrays."""
    kind = x.__class__
    if kind is ports.tensor:
        return unbox(x)
    if kind in PLAIN:
        return x
    if kind is tuple or kind is list:
        return kind([unwrap(item) for item in x])
    if isinstance(x, dict):
        return {key: unwrap(item) for key, item in x.items()}
    if is_box(kind):
        return unbox(x)
    found = settled(x)
    return unbox(found) if is_box(found.__class__) else found
