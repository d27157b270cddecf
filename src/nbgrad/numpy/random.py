"""``nbgrad.numpy.random``: NumPy's own module, so that a script's imports hold.

Its draws are arrays, constants of what is recorded. Draws with a gradient by their parameters are
those of :mod:`nbgrad.random`.
"""

from typing import Any

from numpy import random as _random


def __getattr__(name: str) -> Any:
    return getattr(_random, name)


def __dir__() -> list[str]:
    return dir(_random)
