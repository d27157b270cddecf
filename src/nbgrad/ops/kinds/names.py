"""Names: what kinds call rules, and what users see of a backward node.

A kind is a function that returns a Primitive: from what an author writes about an operation it derives
everything else. Partials, adjoints and rules are ordinary code over nbgrad's own operations on nodes;
see cotangents.py for what else a cotangent may be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Rule = Callable[..., Any]


def camel(name: str) -> str:
    """``reduce_max`` -> ``ReduceMax``: the name of a backward node."""
    return "".join(part.capitalize() for part in name.split("_"))
