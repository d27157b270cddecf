"""Thread-local switches of recording, and the process-wide switch that captures source lines."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# Not by pathlib, whose import takes a twentieth of that of nbgrad.
_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_NUMPY = os.path.dirname(np.__file__) + os.sep  # the operators of nodes are Python functions there
_LIBRARIES = (
    os.path.dirname(os.__file__),
    os.path.dirname(os.path.dirname(np.__file__)),
    "<frozen",
)
_INSTALLED = f"{os.sep}site-packages{os.sep}"  # of an environment that this one builds on


class _Modes(threading.local):
    """Per-thread state.

    ``transforms`` counts the functions that ``grad`` and ``jacobian`` are running, ``products`` those
    that the functions of ``autograd.functional`` are. ``observers`` see each operation's value as it is computed: ``observer(node, start, end)``,
    times in nanoseconds. While there are any, operations are computed one at a time. ``recorded``
    sees each operation as it is recorded, ``gradients`` collects those that a trace makes,
    ``functions`` counts the user-written functions that were called. ``inference`` is true inside
    ``inference_mode``. ``saving`` are the open hooks
    on what is saved for the backward, which ``saved`` shows each operation; ``saving_refused`` is
    what to say if there must be none.
    """

    _grad: bool = True
    transforms: int = 0
    products: int = 0
    anomaly: bool = False
    observers: tuple[Callable[[Any, int, int], None], ...] = ()
    recorded: Callable[[Any], None] | None = None
    gradients: list[Any] | None = None
    functions: int = 0
    inference: bool = False
    exported: int = 0  # floating-point values that the user was given, as arrays or numbers
    saving: tuple[Any, ...] = ()
    saved: Callable[[Any], None] | None = None
    saving_refused: str | None = None
    whole: int = 0  # what is recorded has to be a tape as it is: a checkpoint is what it computes
    tracing: int = 0  # while jit traces: the position in recording order at which it began

    @property
    def grad(self) -> bool:
        """Whether operations of this thread are recorded for differentiation."""
        return self._grad

    @grad.setter
    def grad(self, flag: bool) -> None:
        if flag != self._grad:
            self._grad = flag
            (not_recording.discard if flag else not_recording.add)(threading.get_ident())


class _Watching:
    """``any`` turns true with the first hook, retained gradient or user-written backward."""

    __slots__ = ("any",)

    def __init__(self) -> None:
        self.any = False


class _Lines:
    """``on`` counts the open anomaly or profiling contexts; a look-up costs about 1 µs.

    ``timed`` counts those among them that want nothing but lines: programs run as ever.
    """

    __slots__ = ("on", "timed")

    def __init__(self) -> None:
        self.on = self.timed = 0


modes = _Modes()
# Threads inside ``no_grad``. Reading a thread's own switch takes 40 ns of the 400 that recording
# takes; seeing that this set is empty takes 10. A thread that ends inside ``no_grad`` stays here.
not_recording: set[int] = set()
# Threads in which a function is being traced, for machine code, which cannot read their switches.
tracing: set[int] = set()
lines = _Lines()
watching = _Watching()


@contextmanager
def unrecorded() -> Iterator[None]:
    """Show nothing to ``modes.recorded``: a tape is being built, not a user's program recorded."""
    before = modes.recorded, modes.saved
    modes.recorded = modes.saved = None
    try:
        yield
    finally:
        modes.recorded, modes.saved = before


@contextmanager
def as_a_whole() -> Iterator[None]:
    """Record what checkpointed parts compute: a loop's body keeps no values on the way as it is."""
    modes.whole += 1
    try:
        yield
    finally:
        modes.whole -= 1


def asked_by(packages: str | tuple[str, ...], above: int) -> bool:
    """Whether the function *above* calls up from the caller was called by code of one of *packages*."""
    caller = f"{sys._getframe(above + 1).f_globals.get('__name__')}."
    among = (packages,) if isinstance(packages, str) else packages
    return caller.startswith(tuple([f"{package}." for package in among]))


def in_package(filename: str) -> bool:
    """Whether code of that file is nbgrad's own."""
    return filename.startswith(_PACKAGE) and "examples" not in filename[len(_PACKAGE) :]


def in_library(filename: str) -> bool:
    """Whether code of that file is nbgrad's, Python's or of an installed package."""
    return in_package(filename) or filename.startswith(_LIBRARIES) or _INSTALLED in filename


def calls_to_user() -> int:
    """How many calls up from the caller the innermost code outside nbgrad and NumPy is: ``stacklevel``."""
    frame, count = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith((_PACKAGE, _NUMPY)):
        frame, count = frame.f_back, count + 1
    return count


def user_line() -> str | None:
    """``file:line`` of the innermost frame outside nbgrad and NumPy, or None."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((_PACKAGE, _NUMPY)) or "examples" in name[len(_PACKAGE) :]:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return None


def user_line_of(error: BaseException) -> str | None:
    """``file:line`` of the innermost frame outside nbgrad and NumPy of a traceback, or None."""
    trace, found = error.__traceback__, None
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith((_PACKAGE, _NUMPY)) or "examples" in name[len(_PACKAGE) :]:
            found = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
