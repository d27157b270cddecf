"""Transforms: tape to tape. ``vjp`` and ``jvp`` change the meaning, ``simplify`` keeps it."""

from typing import Any

from nbgrad.core.lazy import LazyModule
from nbgrad.core.ports import ports

# What rules of loops and branches ask for: a program without them does not import theirs.
_bodies: Any = LazyModule("nbgrad.transforms.bodies")
ports.bodies = _bodies
