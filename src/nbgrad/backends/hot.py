"""Machine code for recording and for walking graphs, installed once some structure is hot."""

from __future__ import annotations

from nbgrad.backends import quick, walk
from nbgrad.backends.background import Wish


def install() -> bool:
    """Record and walk by machine code from now on, where this Python allows it."""
    quick.install()
    walk.install()
    return True


wish: Wish[bool] = Wish(install)
