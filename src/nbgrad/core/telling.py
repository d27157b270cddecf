"""What takes long says so: a line on standard error if that was asked for, and a record for ``logging``.

    with step("compiling", lambda: "24 kernels for jit of loss"):
        ...

Nothing is said of a step that is over within a second, nor of one inside another. ``logging`` is not
imported: whoever listens has done so.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from nbgrad.config import settings
from nbgrad.core.forks import ThreadLock

SECONDS: float = 1.0  # what is over sooner goes unmentioned
LOGGER: Final = "nbgrad"
clock = time.perf_counter


class _Here(threading.local):
    """What this thread is about, and whether it is inside a step."""

    about = ""
    inside = False


_here = _Here()
_writing = ThreadLock()


@contextlib.contextmanager
def about(subject: str) -> Iterator[None]:
    """Name what is planned and compiled meanwhile, ``"jit of loss"``."""
    before, _here.about = _here.about, subject
    try:
        yield
    finally:
        _here.about = before


def subject() -> str:
    """What this thread is about; "" where nobody said so."""
    return _here.about


class _Line:
    """The line of one step: begun by a timer while the step lasts, or at its end, and then closed."""

    def __init__(self, text: Callable[[], str]) -> None:
        self.text, self.begun, self.closed = text, False, False
        self.timer = threading.Timer(SECONDS, self.begin)
        self.timer.daemon = True
        with contextlib.suppress(RuntimeError):  # no more threads: the line comes at the end
            self.timer.start()

    def begin(self) -> None:
        with _writing.held:
            if not (self.begun or self.closed):
                self.begun = True
                _write(f"nbgrad: {self.text()} ...")

    def close(self, seconds: float) -> None:
        self.timer.cancel()
        if seconds >= SECONDS:
            self.begin()
        with _writing.held:
            self.closed = True
            if self.begun:
                _write(f" {seconds:.1f} s\n")


def _write(text: str) -> None:
    """Write to standard error, if there is one that takes it."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


@contextlib.contextmanager
def step(doing: str, facts: Callable[[], str]) -> Iterator[None]:
    """Say, if it takes over a second, that *doing* is being done, with *facts* asked for then."""
    logging: Any = sys.modules.get("logging")
    heard = hasattr(logging, "getLogger") and logging.getLogger(LOGGER).isEnabledFor(logging.INFO)
    shown = settings.current.progress
    if _here.inside or not (heard or shown):
        yield
        return
    _here.inside, started = True, clock()
    line = _Line(lambda: f"{doing} {facts()}") if shown else None
    try:
        yield
    finally:
        _here.inside, seconds = False, clock() - started
        if line is not None:
            line.close(seconds)
        if heard and seconds >= SECONDS:
            logging.getLogger(LOGGER).info("%s %s took %.1f s", doing, facts(), seconds)


__all__ = ["about", "step", "subject"]
