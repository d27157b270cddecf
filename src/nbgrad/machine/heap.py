"""What the C library does with memory that was freed."""

from __future__ import annotations

import contextlib

import numpy as np

# glibc takes blocks from its heap up to the largest one that it has seen freed, at most 32 MiB, and
# gives the top of the heap back once twice as much lies free.
LARGEST = 31 << 20


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
