"""Functions of vectors of two numbers, in floats and in mpmath's numbers, and derivatives by differences."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

N = 2
DIGITS, STEP = 80, 12  # of the numbers, and of a difference
Func = Callable[[Any], Any]

V, C = np.array([0.75, -0.5]), np.array([1.25, 0.5])
M = np.array([[0.5, -0.25], [0.75, 0.5]])


@dataclass(frozen=True)
class Transform:
    """One step: *order* derivatives; ``ours(f, choice)`` and ``theirs(f, choice)`` make functions."""

    order: int
    ours: Callable[[Func, int], Func]
    theirs: Callable[[Func, int], Func]


# ------------------------------------------------------------------------------------- expressions


@dataclass(frozen=True)
class Expression:
    """A vector function: what it is, and its parts."""

    kind: str
    parts: tuple[Expression, ...] = ()

    def __call__(self, x: Any, exact: bool = False) -> Any:
        """Its value, of nbgrad's or NumPy's arrays; or *exact*, of arrays of mpmath's numbers."""
        kind, (*given,) = self.kind, (part(x, exact) for part in self.parts)
        if kind == "x":
            return x
        y = given[0]
        if kind in ("sin", "cos", "tanh", "exp"):
            return _each(kind, y) if exact else getattr(np, kind)(y)
        if kind in ("add", "multiply"):
            return y + given[1] if kind == "add" else y * given[1]
        if kind == "divide":
            return y / (given[1] * given[1] + 1.5)
        return {
            "matmul": lambda: M @ y,
            "reverse": lambda: y[::-1] * V,
            "sum": lambda: y.sum() * C,
            "scan": lambda: np.cumsum(y) if not exact else np.array([y[0], y[0] + y[1]]),
            "pick": lambda: y[0] * y,
            "square": lambda: y * y,
        }[kind]()


def _each(kind: str, x: Any) -> Any:
    return np.array([getattr(mpmath, kind)(v) for v in x])


UNARY = ("sin", "cos", "tanh", "exp", "matmul", "reverse", "sum", "scan", "pick", "square")
BINARY = ("add", "multiply", "divide")


def expression(source: random.Random, depth: int) -> Expression:
    if depth == 0:
        return Expression("x")
    if source.random() < 0.5:
        kind = source.choice(UNARY)
        inner = expression(source, depth - 1)
        # Bounded, so that nothing grows beyond what a double holds.
        return Expression(kind, (Expression("tanh", (inner,)) if kind == "exp" else inner,))
    parts = expression(source, depth - 1), expression(source, source.randrange(depth))
    return Expression(source.choice(BINARY), parts)


# ----------------------------------------------------------------------- derivatives by differences


def along(f: Func, x: Any, v: Any) -> Any:
    """The derivative of *f* at *x* along *v*."""
    h = mpmath.mpf(10) ** -STEP
    return (f(x + h * v) - f(x - h * v)) / (2 * h)


def matrix(f: Func, x: Any) -> Any:
    """The Jacobian of *f*."""
    return np.stack([along(f, x, unit) for unit in np.eye(N, dtype=int)], -1)


def slope(f: Func, x: Any) -> Any:
    """The gradient of the sum of *f* weighted."""
    return C @ matrix(f, x)
