"""What Numba is told of arrays of active numbers."""

from __future__ import annotations
