"""CUDA as a backend: what ``engine`` knows of it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nbgrad.backends.base import Runnable, Work
from nbgrad.backends.cuda.memory import NAME, CudaBuffer
from nbgrad.backends.cuda.runtime import runtime
from nbgrad.backends.cuda.stepping import Stepping

Array = np.ndarray[Any, Any]
name: Final = NAME


def accepts(work: Work) -> bool:
    """Everything: what has no kernel is run by the card's library, or at home."""
    return True


def prepare(work: Work, tier: str) -> Runnable:
    """Make *work* runnable."""
    return Stepping(work.tape, runtime.store)


def price(work: Work, fresh: bool) -> float:
    return 0.0


def to_host(buffer: CudaBuffer) -> Array:
    return buffer.host()


def from_host(array: Array) -> CudaBuffer:
    store = runtime.store()
    return CudaBuffer(store, store.copied_in(array), array.shape, array.dtype)
