"""Numba's compiler without its notes: thousands of records at DEBUG for each kernel.

A program that listens to everything, ``logging.basicConfig(level=logging.DEBUG)``, would hear of
little else. While nbgrad compiles, the logger "numba" has a level, if nobody has given it one; before
and afterwards it is as it was, so that what the user compiles is told as ever. To hear of nbgrad's kernels, too:
``logging.getLogger("numba").setLevel(logging.DEBUG)``.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def numba() -> Iterator[None]:
    """Let Numba tell of nothing below a warning; the caller holds ``forks.compiling``."""
    logging: Any = sys.modules.get("logging")
    logger = logging.getLogger("numba") if hasattr(logging, "getLogger") else None
    if logger is None or logger.level or not logger.isEnabledFor(logging.INFO):
        yield
        return
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        if logger.level == logging.WARNING:
            logger.setLevel(logging.NOTSET)


__all__ = ["numba"]
