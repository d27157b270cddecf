"""Transforms: tape to tape. ``vjp`` and ``jvp`` change the meaning, ``simplify`` keeps it."""

from nbgrad.transforms import bodies  # noqa: F401 - serves the port of rules that need transforms
