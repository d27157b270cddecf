"""Machine code for recording and for evaluating graphs, installed once some structure is hot.

``configure(twins="off")`` takes it out of use, and what is installed meanwhile: the Python that it
stands for runs then, as it did before.
"""

from __future__ import annotations

from typing import Any

from nbgrad.config import settings
from nbgrad.core.forks import ThreadLock
from nbgrad.core.ports import compiled, shortcuts
from nbgrad.machine.background import Wish
from nbgrad.twins import capture, record, settle, viewing

_FILLED: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (compiled, ("backward", "forward", "further", "further_back", "learn", "value")),
    (shortcuts, ("detached", "make", "replay", "view")),
)
_taken: list[tuple[Any, str, Any]] = []  # machine code that is out of use
_lock = ThreadLock()


def install() -> bool:
    """Record and evaluate by machine code from now on, where this Python allows it."""
    return _installed(record, viewing, capture, settle)


def _installed(*parts: Any) -> bool:
    with _lock.held:
        _put_back()
        for part in parts:
            part.install()
        _follow()
    return True


# Recording is wanted first: a loop that is recorded once has no use for the rest.
recording: Wish[bool] = Wish(lambda: _installed(record))
wish: Wish[bool] = Wish(install)


def ask(now: bool) -> None:
    """Install the machine code: at once if *now*, else once it is compiled. Not if it is off."""
    if settings.current.twins == "off":
        return
    if now:
        install()
    elif recording.get():
        wish.get()


def _follow() -> None:
    """Take the machine code out of use, or put it back, as the settings say."""
    with _lock.held:
        if settings.current.twins != "off":
            _put_back()
            return
        for port, names in _FILLED:
            for name in names:
                code = getattr(port, name)
                if code is not None:
                    _taken.append((port, name, code))
                    _put(port, name, None)


def _put_back() -> None:
    while _taken:
        _put(*_taken.pop())


def _put(port: Any, name: str, code: Any) -> None:
    if name == "make":
        shortcuts.offer(code)
    else:
        setattr(port, name, code)


settings.told.append(_follow)
_follow()
