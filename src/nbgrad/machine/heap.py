"""What the C library does with memory that was freed, and tables that take memory where written."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from nbgrad.core.lazy import load

# glibc takes blocks from its heap up to the largest one that it has seen freed, at most 32 MiB, and
# gives the top of the heap back once twice as much lies free.
LARGEST = 31 << 20


class Memory(np.ndarray[Any, Any]):
    """Bytes whose array, made by a program that may use them again, is alone in having them."""


def alone(array: np.ndarray[Any, Any]) -> bool:
    """Whether what *array* has is no part of another array."""
    return array.base is None or array.base.__class__ is Memory


def keep_freed_memory() -> None:
    """Let the heap keep up to 62 MiB of what arrays free, instead of returning it at once.

    By default two arrays of 10^5 numbers that die together are returned to the system, and the
    next two are 400 page faults: eight times what an eager gradient takes. glibc adjusts itself
    to what a program frees (``M_MMAP_THRESHOLD`` in mallopt(3)), so one large block, never
    touched, tells it; a threshold that the user has set stays. What is kept may become resident later,
    as Linux joins its pages to huge ones: within the same bound.
    """
    with contextlib.suppress(MemoryError):  # a process of little memory keeps its defaults
        np.empty(LARGEST, np.uint8)


def sparse_words(size: int) -> np.ndarray[Any, Any]:
    """Return *size* words, all zero, whose pages become memory only once they are written.

    Those of ``np.zeros`` may do so without: from 4 MB on NumPy asks Linux for huge pages, also where
    the block comes from the heap, and those are taken 2 MB at a time, by what lies nearby later too.
    """
    mmap = load("mmap")
    private = (
        {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    )
    return np.frombuffer(mmap.mmap(-1, size * 8, **private), np.int64)
