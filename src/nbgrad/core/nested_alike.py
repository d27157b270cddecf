"""Data that has to be nested as other data is: tangents as arguments are, cotangents as results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbgrad.core.containers import Held
from nbgrad.core.tree import LEAF, STATIC, Structure, steps


def leaves_like(structure: Structure, x: Any, name: str, like: str = "the argument") -> list[Any]:
    """The parts of *x* at the leaves of *structure*, in its order.

    Dictionaries match by their keys, in whichever order these are.

    Raises
    ------
    TypeError
        Where *x*, called *name*, is nested otherwise than *like* is.
    """
    if structure == LEAF:
        return [x]
    kind, keys, content = structure
    if kind == STATIC:
        if x is None or content is not None:
            return []
        raise TypeError(f"{name} is a {type(x).__name__} where {like} has None")
    parts = _parts_like(structure, x)
    if parts is None:
        wanted = _described(kind, keys, content)
        raise TypeError(f"{name} is {_shown(x)} where {like} has {wanted}")
    found = zip(content, parts, steps(structure), strict=True)
    return [
        leaf for part, inner, step in found for leaf in leaves_like(part, inner, name + step, like)
    ]


def _parts_like(structure: Structure, x: Any) -> Sequence[Any] | None:
    """The parts of *x* as the container *structure* has them; None if it is another container."""
    kind, keys, content = structure
    if isinstance(x, dict):
        own = keys.rest[1] if keys.__class__ is Held and issubclass(kind, dict) else keys
        if own is None or (keys.__class__ is Held and not issubclass(kind, dict)):
            return None
        return [x[k] for k in own] if len(own) == len(x) and all(k in x for k in own) else None
    if type(x) is not kind:
        return None
    if keys.__class__ is not Held:
        return x if keys is None and len(x) == len(content) else None
    parts = keys.container.flatten(x)[0]
    return parts if len(parts) == len(content) else None


def _shown(x: Any) -> str:
    if isinstance(x, dict):
        return f"a {type(x).__name__} with keys {list(x)}"
    size = f" of {len(x)}" if isinstance(x, (tuple, list)) else ""
    return f"a {type(x).__name__}{size}" if x is not None else "None"


def _described(kind: type, keys: Any, content: Sequence[Any]) -> str:
    if keys is not None and keys.__class__ is not Held:
        return f"a {kind.__name__} with keys {list(keys)}"
    return f"a {kind.__name__} of {len(content)}"
