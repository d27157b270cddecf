"""Machine code for recording and for evaluating graphs, installed once some structure is hot."""

from __future__ import annotations

from typing import Any

from nbgrad.config import settings
from nbgrad.core.ports import compiled, shortcuts
from nbgrad.machine.background import Wish
from nbgrad.twins import capture, record, settle, viewing

_FILLED = (
    (compiled, ("backward", "forward", "learn", "value")),
    (shortcuts, ("detached", "replay", "view")),
)
_taken: list[Any] = []  # machine code that is out of use, while the settings say so


def install() -> bool:
    """Record and evaluate by machine code from now on, where this Python allows it."""
    record.install()
    viewing.install()
    capture.install()
    settle.install()
    return True


wish: Wish[bool] = Wish(install)


def ask(now: bool) -> None:
    """Install the machine code: at once if *now*, else once it is compiled. Not if it is off."""
    if settings.current.twins == "off":
        return
    if now:
        install()
    else:
        wish.get()


def _follow() -> None:
    """Take the machine code out of use, or put it back, as the settings say."""
    if settings.current.twins == "off":
        if not _taken:
            held = [(port, name, getattr(port, name)) for port, names in _FILLED for name in names]
            _taken.append((held, shortcuts.make))
            for port, name, _ in held:
                setattr(port, name, None)
            shortcuts.offer(None)
    elif _taken:
        held, make = _taken.pop()
        for port, name, code in held:
            setattr(port, name, code)
        shortcuts.offer(make)


settings.told.append(_follow)
_follow()
