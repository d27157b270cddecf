"""Functions that tests send to other processes: at the top of a module, so that pickle finds them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

import nbgrad as ng


def valley(x: Any) -> Any:
    return ((x**2 - 1.0) ** 2).sum() + 0.1 * np.sin(5.0 * x).sum() + 0.05 * x.sum()


GRADIENT = ng.jit(ng.value_and_grad(valley))


def fit(x0: Any) -> Any:
    return minimize(GRADIENT, x0, jac=True, method="L-BFGS-B")


def loss(w: Any, shard: Any) -> Any:
    return (np.tanh(shard @ w) ** 2).sum() + 1e-3 * (w * w).sum()


PART = ng.value_and_grad(loss)


def fails_at_two(k: int) -> int:
    if k == 2:
        raise ValueError("two is refused")
    return k * k


class Awkward(Exception):
    """Cannot be pickled: it wants two arguments."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def awkward(k: int) -> int:
    raise Awkward(k, k)


class DiesOnce:
    """Ends its worker at task *at*, if nobody has yet, and notes each task that it came to an end with."""

    def __init__(self, folder: str, at: int, task: Any = None) -> None:
        self.folder, self.at, self.task = folder, at, task

    def __call__(self, k: Any) -> Any:
        number = k if self.task is None else k[0]
        mark = Path(self.folder) / "died"
        if number == self.at and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number if self.task is None else self.task(k[1])


def dies_always(k: int) -> int:
    if k == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return k


def pid(_: int) -> int:
    return os.getpid()


class Traced:
    """How often a worker traced the function: once, though it gets many chunks."""

    def __init__(self) -> None:
        self.count = 0
        self.f = ng.jit(self.formula)

    def formula(self, x: Any) -> Any:
        self.count += 1
        return x * 2.0

    def __call__(self, x: Any) -> Any:
        return float(self.f(x)[0]), self.count, os.getpid()
