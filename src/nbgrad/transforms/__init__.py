"""Transforms: tape to tape. ``vjp`` and ``jvp`` change the meaning, ``simplify`` keeps it."""
