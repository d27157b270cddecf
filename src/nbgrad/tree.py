"""Nested data: flatten, unflatten, map, leaves, ravel, unravel, and classes of your own."""

from nbgrad.api.nesting import register, register_dataclass
from nbgrad.api.trees import (
    Structure,
    flatten,
    leaves,
    map,
    ravel,
    structure,
    unflatten,
    unravel,
)

__all__ = [
    "Structure", "flatten", "leaves", "map", "ravel", "register", "register_dataclass", "structure",
    "unflatten", "unravel",
]  # fmt: skip
