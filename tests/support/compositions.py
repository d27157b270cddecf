"""Functions composed of transforms at random, and what they are in 80 digits, by differences alone.

A step maps a function of vectors of two numbers to another one, so that steps nest in any order. Each
has two forms: nbgrad's, and one of mpmath's numbers, in which derivatives are central differences and
a map is a loop. Another transform is one more entry of ``STEPS``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

import nbgrad as ng

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


# ------------------------------------------------------------------------------------------- steps


def _scalar(f: Func) -> Func:
    return lambda y: (f(y) * C).sum()


def _ours_jvp(f: Func, choice: int) -> Func:
    return lambda x: ng.autograd.functional.jvp(f, ng.as_tensor(x), ng.as_tensor(V + x), True)[1]


def _ours_vjp(f: Func, choice: int) -> Func:
    return lambda x: ng.autograd.functional.vjp(f, ng.as_tensor(x), ng.as_tensor(C * x), True)[1]


def _ours_jacobian(f: Func, choice: int) -> Func:
    made = (ng.jacobian, ng.jacfwd, ng.jacrev)[choice % 3](f)
    return lambda x: ng.as_tensor(made(x)) @ V


def _ours_vmap(f: Func, choice: int) -> Func:
    if choice % 3 == 0:
        return lambda x: ng.as_tensor(ng.vmap(f)(np.stack([x, x * 0.5, x - 1.0]))).sum(0)
    if choice % 3 == 1:  # by the last axis, closing over what surrounds it
        mapped = lambda x: ng.vmap(lambda r: f(r * x), in_axes=1, out_axes=1)(
            np.stack([x, x * 0.5], 1)
        )
        return lambda x: ng.as_tensor(mapped(x)) @ V
    both = lambda x: ng.vmap(lambda r, s: f(r) * s, in_axes=(None, 0))(x, ng.as_tensor(M) * x[0])
    return lambda x: ng.as_tensor(both(x)).sum(0)


def _theirs_vmap(f: Func, choice: int) -> Func:
    if choice % 3 == 0:
        return lambda x: f(x) + f(x * 0.5) + f(x - 1)
    if choice % 3 == 1:
        return lambda x: f(x * x) * V[0] + f(x * 0.5 * x) * V[1]
    return lambda x: f(x) * (M * x[0]).sum(0)


def _ours_scan(f: Func, choice: int) -> Func:
    step = lambda c, t: (f(c) * t + c, c * t)
    return lambda x: _total(ng.scan(step, ng.as_tensor(x) * 1.0, M[0], reverse=choice % 2 == 1))


def _total(found: Any) -> Any:
    return found[0] + found[1].sum(0)


def _theirs_scan(f: Func, choice: int) -> Func:
    def looped(x: Any) -> Any:
        c, ys = x, 0
        for t in M[0][::-1] if choice % 2 else M[0]:
            c, ys = f(c) * t + c, ys + c * t
        return c + ys

    return looped


def _ours_while(f: Func, choice: int) -> Func:
    def looped(x: Any) -> Any:
        state = ng.while_loop(
            lambda s: s[0] < 2,
            lambda s: (s[0] + 1, f(s[1])),
            (0, ng.as_tensor(x) * 1.0),
            max_steps=3,
        )
        return state[1]

    return looped


def _ours_cond(f: Func, choice: int) -> Func:
    return lambda x: ng.cond(ng.as_tensor(x).sum() > 0.3, f, lambda y: y * y * V, ng.as_tensor(x))


STEPS: dict[str, Transform] = {
    "grad": Transform(
        1,
        lambda f, choice: ng.grad(_scalar(f)),
        lambda f, choice: lambda x: slope(f, x),
    ),
    "value_and_grad": Transform(
        1,
        lambda f, choice: lambda x: (lambda v, g: v * g)(*ng.value_and_grad(_scalar(f))(x)),
        lambda f, choice: lambda x: (C @ f(x)) * slope(f, x),
    ),
    "jvp": Transform(1, _ours_jvp, lambda f, choice: lambda x: along(f, x, V + x)),
    "vjp": Transform(1, _ours_vjp, lambda f, choice: lambda x: (C * x) @ matrix(f, x)),
    "jacobian": Transform(1, _ours_jacobian, lambda f, choice: lambda x: along(f, x, V)),
    "hessian": Transform(
        2,
        lambda f, choice: lambda x: ng.as_tensor(ng.hessian(_scalar(f))(x)) @ V,
        lambda f, choice: lambda x: along(lambda y: slope(f, y), x, V),
    ),
    "vmap": Transform(0, _ours_vmap, _theirs_vmap),
    "jit": Transform(0, lambda f, choice: ng.jit(f), lambda f, choice: f),
    "scan": Transform(0, _ours_scan, _theirs_scan),
    "cond": Transform(
        0, _ours_cond, lambda f, choice: lambda x: f(x) if x.sum() > 0.3 else x * x * V
    ),
    "while_loop": Transform(0, _ours_while, lambda f, choice: lambda x: f(f(x))),
    "checkpoint": Transform(
        0,
        lambda f, choice: lambda x: ng.checkpoint(f, ng.as_tensor(x)),
        lambda f, choice: f,
    ),
}
MAX_ORDER = 3
# Bodies of loops and branches refuse what has a backward of its own.
REFUSED = {("checkpoint", loop) for loop in ("scan", "cond", "while_loop")}


@dataclass(frozen=True)
class Composition:
    """An expression with transforms around it, the innermost first."""

    inner: Expression
    steps: tuple[tuple[str, int], ...]

    def ours(self) -> Func:
        f: Func = self.inner
        for name, choice in self.steps:
            f = STEPS[name].ours(f, choice)
        return f

    def exact(self, x: Any) -> Any:
        f: Func = lambda y: self.inner(y, True)
        for name, choice in self.steps:
            f = STEPS[name].theirs(f, choice)
        with mpmath.workdps(DIGITS):
            return np.array(f(np.array([mpmath.mpf(float(v)) for v in x])), float)


def accepted(inside: list[tuple[str, int]], name: str) -> bool:
    """Whether *name* may stand around these."""
    return all((other, name) not in REFUSED for other, _ in inside)


def composition(source: random.Random, names: tuple[str, ...], depth: int) -> Composition:
    steps: list[tuple[str, int]] = []
    order = 0
    for _ in range(depth):
        name = source.choice(names)
        if order + STEPS[name].order <= MAX_ORDER and accepted(steps, name):
            order += STEPS[name].order
            steps.append((name, source.randrange(6)))
    return Composition(expression(source, source.randint(1, 3)), tuple(steps))
