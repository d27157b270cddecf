"""What a function reads from outside: Numba keeps it as it was when it compiled the function.

Its derivatives are compiled later, and would read it as it is then. So it is noted when a function is given to ``njit``,
and compared before a derivative is compiled.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from nbgrad.native.cloning import reached, read_by

Marks = dict[tuple[str, str], Any]


def marks_of(dispatcher: Any) -> Marks:
    """A mark of each number, text or array that the function and what it calls read from outside."""
    found: Marks = {}
    for f in reached(dispatcher):
        for name, value in read_by(f).items():
            if (noted := mark(value)) is not None:
                found[f.py_func.__qualname__, name] = noted
    return found


def mark(x: Any) -> Any:
    """What tells a value from others; None for what is no value of numbers."""
    if isinstance(x, np.ndarray):
        return (
            x.shape,
            x.dtype.descr,
            x.flags.c_contiguous,
            x.flags.f_contiguous,
            hashlib.blake2b(x.tobytes()).hexdigest(),
        )
    if isinstance(x, tuple):
        marks = tuple([mark(item) for item in x])
        return None if None in marks else (type(x), marks)
    if isinstance(x, bool | int | float | complex | str | np.generic):
        return type(x), repr(x)
    return None


def check(dispatcher: Any, before: Marks) -> None:
    """Refuse derivatives of what is another function by now.

    Raises
    ------
    TypeError
        If something that the function reads from outside has changed since *before*.
    """
    now = marks_of(dispatcher)
    changed = sorted({key[1] for key in {**before, **now} if before.get(key) != now.get(key)})
    if changed:
        raise TypeError(
            f"njit: {', '.join(changed)} changed after {dispatcher.__name__} was given to nbgrad.njit, and Numba "
            "keeps what a function reads from outside as it was when it compiled it: pass it as an "
            f"argument, or make the function anew, nbgrad.njit({dispatcher.__name__}.py_func)"
        )
