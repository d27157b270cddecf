"""Calls on CUDA that are several kernels: each becomes a step of its own, with the memory between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nbgrad.program import cuda_scans, cuda_segments
from nbgrad.program.views import LibraryCall


def in_stages(items: Iterable[Any]) -> Iterator[Any]:
    """*items*, with the stages in the place of calls that have such."""
    for item in items:
        found = None
        if isinstance(item, LibraryCall):
            found = cuda_segments.staged(item) or cuda_scans.staged(item)
        yield from found or (item,)
