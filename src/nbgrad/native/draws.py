"""Random numbers that a function draws inside: each run draws others, so a gradient would not be of the value.

A function that seeds, it or what it calls, draws the same in each run: that one is differentiated.
"""

from __future__ import annotations

import random
from typing import Any, Final

import numpy as np

from nbgrad.native.cloning import named, reached, read_by

# What Numba has of the global generators of NumPy and Python, by name.
_MODULES: Final = (np.random, random)
_OWNERS: Final = (np.random.RandomState, random.Random)
_DRAWS: Final = frozenset(
    name
    for module, owner in zip(_MODULES, _OWNERS, strict=True)
    for name in dir(module)
    if not name.startswith(("_", "get", "set", "seed")) and callable(getattr(owner, name, None))
)


def check(dispatcher: Any) -> None:
    """Refuse derivatives of what draws random numbers and never seeds.

    Raises
    ------
    TypeError
        If the function, or one that it calls, draws from the generators that Numba keeps for each thread.
    """
    found = [(f.__name__, name) for f in reached(dispatcher) for name in _drawn(f)]
    if found and not any(name == "seed" for _, name in found):
        # "random" is also what modules are called: another name says more.
        where, name = min(found, key=lambda pair: pair[1] == "random")
        raise TypeError(
            f"njit: {where} draws by {name}() inside, and each run draws other numbers: the gradient would not be "
            "that of the value. Draw outside and pass the numbers as an argument, or seed inside, as by "
            "np.random.seed(0)"
        )


def _drawn(f: Any) -> list[str]:
    """Names of draws, and of seeds, in a function's code."""
    names, read = named(f.py_func.__code__), list(read_by(f).values())
    direct = [x.__name__ for x in read if isinstance(getattr(x, "__self__", None), _OWNERS)]
    through = any(x in _MODULES for x in read if isinstance(x, type(np)))
    through |= "random" in names and any(x is np for x in read)
    return direct + sorted(names & (_DRAWS | {"seed"}) if through else ())
