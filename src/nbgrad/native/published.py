"""Which functions code of a user's names as symbols, and finding them again in another process.

Code that Numba keeps on disk calls a function of :func:`nbgrad.compile` by a symbol, named by what the function
computes. An anchor is stored beside the code: reading it looks for the function among those that this
process has made, compiles it, and tells the linker where it is. If there is none (the function is
another one now, say), it raises what Numba takes for a file that is gone: the code is compiled again.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Final

from nbgrad.core.lazy import load
from nbgrad.machine.called import Called, Holder

_holders: Final[weakref.WeakValueDictionary[int, Holder]] = weakref.WeakValueDictionary()
_kept: Final[
    dict[str, Called]
] = {}  # by symbol, for good: machine code of Numba's is never unloaded


def known(holder: Holder) -> None:
    """Let anchors find *holder*."""
    _holders[id(holder)] = holder


def keep(symbol: str, called: Called) -> Called:
    """*called*, or what was kept before under this symbol, which computes the same."""
    return _kept.setdefault(symbol, called)


class Anchor:
    """Stored beside code that calls a function by its symbol."""

    def __init__(self, symbol: str, label: str, kind: str) -> None:
        self.symbol, self.label, self.kind = symbol, label, kind

    def __call__(self) -> None:
        """Nothing: by then it is known, or this would not have been read."""

    def __hash__(self) -> int:
        return hash(self.symbol)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Anchor) and other.symbol == self.symbol

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str, str]]:
        return restored, (self.symbol, self.label, self.kind)


def _symbol(holder: Holder, kind: str) -> str | None:
    try:
        found: str = getattr(holder, kind).publish()
    except Exception:  # one of that name that has no such derivative is not the one
        return None
    return found


def restored(symbol: str, label: str, kind: str) -> Anchor:
    """The anchor, after the function has been found.

    Raises
    ------
    FileNotFoundError
        If this process has not made it.
    """
    if symbol not in _kept:
        alike = [holder for holder in list(_holders.values()) if holder.label == label]
        if not any(_symbol(holder, kind) == symbol for holder in alike):
            raise FileNotFoundError(f"{label}.{kind} is not what it was, or not made yet")
    load("llvmlite.binding").add_symbol(symbol, _kept[symbol].descriptor)
    return Anchor(symbol, label, kind)
