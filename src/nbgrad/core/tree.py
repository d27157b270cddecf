"""Trees: arguments and results nested in tuples, lists and dicts, as a flat list and a structure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from operator import itemgetter
from typing import Any

LEAF = "*"
_STATIC = "static"
Structure = Any


def flatten(x: Any, is_leaf: Callable[[Any], bool]) -> tuple[list[Any], Structure]:
    """Return the leaves of *x* in order, and a hashable structure that holds everything else.

    Raises
    ------
    TypeError
        For something that is neither a leaf, a container nor hashable.
    """
    leaves: list[Any] = []
    return leaves, _structure(x, is_leaf, leaves)


def _structure(x: Any, is_leaf: Callable[[Any], bool], leaves: list[Any]) -> Structure:
    if is_leaf(x):
        leaves.append(x)
        return LEAF
    if isinstance(x, (tuple, list)):
        return type(x), None, tuple(_structure(item, is_leaf, leaves) for item in x)
    if isinstance(x, dict):
        items = tuple(_structure(item, is_leaf, leaves) for item in x.values())
        return type(x), tuple(x), items
    hash(x)
    # The type tells True from 1, which are equal.
    return _STATIC, type(x), x


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """Rebuild what was flattened, with *leaves* in place of the leaves."""
    return builder(structure)(leaves)


def builder(structure: Structure) -> Callable[[Sequence[Any]], Any]:
    """Return :func:`unflatten` of one structure, which is walked now and not at each call."""
    return _builder(structure, count())


def _builder(structure: Structure, position: Iterator[int]) -> Callable[[Sequence[Any]], Any]:
    if structure == LEAF:
        return itemgetter(next(position))
    kind, keys, content = structure
    if kind == _STATIC:
        return lambda leaves: content
    parts = [_builder(part, position) for part in content]
    if keys is not None:
        return lambda leaves: {k: part(leaves) for k, part in zip(keys, parts, strict=True)}
    make = getattr(kind, "_make", kind)
    return lambda leaves: make([part(leaves) for part in parts])
