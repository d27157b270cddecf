"""Machine code for recording and for evaluating graphs, installed once some structure is hot."""

from __future__ import annotations

from nbgrad.machine.background import Wish
from nbgrad.twins import capture, record, settle, viewing


def install() -> bool:
    """Record and evaluate by machine code from now on, where this Python allows it."""
    record.install()
    viewing.install()
    capture.install()
    settle.install()
    return True


wish: Wish[bool] = Wish(install)
