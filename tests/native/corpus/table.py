"""One declaration a function: what it is called with, what is differentiated, what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np

Function = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """A function of the corpus.

    Attributes
    ----------
    name : str
        Module and function.
    function : callable
        Numba's dispatcher; ``function.py_func`` is the Python function.
    args : tuple
        What it is called with.
    wrt : tuple of int
        The arguments that are differentiated: floats, arrays, tuples of these.
    analytic : bool
        A complex step through the Python function is its derivative.
    float32 : bool
        It is well enough conditioned to be compared in float32, and Numba has types for it there.
    order2 : bool
        It has a second derivative there.
    step : float
        The step of difference quotients: none of these crosses a branch.
    rtol : float
        What the conditioning of the function leaves of the oracle.
    options : dict
        Options of ``numba.njit``.
    """

    name: str
    function: Any
    args: tuple[Any, ...]
    wrt: tuple[int, ...]
    analytic: bool = True
    float32: bool = True
    order2: bool = True
    step: float = 1e-2
    rtol: float = 1e-9
    options: dict[str, Any] = field(default_factory=dict)


CASES: dict[str, Case] = {}


def case(*args: Any, wrt: int | tuple[int, ...] = 0, **words: Any) -> Callable[[Function], Any]:
    """Declare a function of the corpus; it becomes one of Numba's."""

    def declare(function: Function) -> Any:
        subject = function.__module__.rpartition(".")[2]
        name = f"{subject}.{function.__name__}"
        assert name not in CASES
        compiled = numba.njit(function, **words.get("options", {}))
        places = wrt if isinstance(wrt, tuple) else (wrt,)
        CASES[name] = Case(name, compiled, args, places, **words)
        return compiled

    return declare


def draw(seed: int, *shape: int, low: float = -1.0, high: float = 1.0) -> Any:
    """Numbers between *low* and *high*, the same each time."""
    return np.random.default_rng(seed).uniform(low, high, shape)


def spread(seed: int, *shape: int) -> Any:
    """Numbers of which no two are nearer than half of their mean distance, in any order."""
    rng = np.random.default_rng(seed)
    n = int(np.prod(shape))
    return (rng.permutation(n) + rng.uniform(0.0, 0.5, n)).reshape(shape) / n
