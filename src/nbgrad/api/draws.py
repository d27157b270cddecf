"""Random draws in bodies, which would be made once, while the body is traced, for all runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from nbgrad.api.sameness import Sources, is_source, source_of
from nbgrad.errors import DRAWN_IN_TRACE, ConcretizationError

DEPTH = 4  # functions that functions read
_PLAIN = (int, float, str, bytes, tuple, list, dict, type)


@contextmanager
def undrawn(f: Callable[..., Any]) -> Iterator[None]:
    """Raise if *f* draws random numbers while it is traced.

    The states of generators are looked at, which takes longer than to trace a small body, only where
    the function, or one that it reads, names one.
    """
    given: list[Any] = []
    if not _names(f, given, DEPTH):
        yield
        return
    np.random.get_state  # noqa: B018  # loads it, if nobody did: its state before is known then
    sources = Sources(given)
    yield
    if any(sources.drawn()):
        raise ConcretizationError(DRAWN_IN_TRACE)


def _names(f: Any, given: list[Any], depth: int) -> bool:
    """Whether *f* may draw; generators that it reads are added to *given*."""
    f = f.__func__ if isinstance(f, MethodType) else f
    if not isinstance(f, FunctionType):
        return False
    found = "random" in f.__code__.co_names
    values = [f.__globals__[name] for name in f.__code__.co_names if name in f.__globals__]
    values += [cell.cell_contents for cell in f.__closure__ or () if _is_filled(cell)]
    for value in (*values, *(f.__defaults__ or ())):
        if isinstance(value, (FunctionType, MethodType)):
            found |= depth > 0 and _names(value, given, depth - 1)
        elif not isinstance(value, _PLAIN):
            source = value if is_source(value) else source_of(value)
            if source is not None:
                given.append(source)
                found = True
    return found


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
