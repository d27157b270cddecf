"""Nested data: flatten, unflatten, map, reduce, leaves, ravel, unravel, and classes of your own."""

from nbgrad.api.nesting import register, register_dataclass
from nbgrad.api.trees import (
    Structure,
    all,
    flatten,
    leaves,
    map,
    ravel,
    reduce,
    structure,
    unflatten,
    unravel,
)

__all__ = [
    "Structure", "all", "flatten", "leaves", "map", "ravel", "reduce", "register", "register_dataclass",
    "structure", "unflatten", "unravel",
]  # fmt: skip
