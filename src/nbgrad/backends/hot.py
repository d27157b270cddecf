"""Machine code for recording and for evaluating graphs, installed once some structure is hot."""

from __future__ import annotations

from nbgrad.backends import quick, settle, viewing, walk
from nbgrad.backends.background import Wish


def install() -> bool:
    """Record and evaluate by machine code from now on, where this Python allows it."""
    quick.install()
    viewing.install()
    walk.install()
    settle.install()
    return True


wish: Wish[bool] = Wish(install)
