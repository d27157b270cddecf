"""The registry: every primitive by name, and every NumPy function that maps to one of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

primitives: dict[str, Any] = {}
by_reference: dict[Any, Callable[..., Any]] = {}


def register_primitive(prim: Any) -> None:
    """Add *prim*; a second primitive of the same name is an error."""
    if prim.name in primitives:
        raise ValueError(f"primitive {prim.name!r} is already declared; choose another name")
    primitives[prim.name] = prim


def register_reference(reference: Any, function: Callable[..., Any]) -> None:
    """Route NumPy's *reference* (a ufunc or function object) to our *function* of nodes."""
    by_reference.setdefault(reference, function)
