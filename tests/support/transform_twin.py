"""A NumPy twin of transforms: nested tangents, one tag a derivative, and programs to nest at random.

The twin knows nothing of tapes, modes or traces. A derivative is a new tangent for each element of
the argument; ``detach`` and ``no_grad`` strip every tangent there is.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

N = 2  # elements of every vector
_tags = itertools.count(1)


class Dual:
    """A value with a tangent of one tag; values and tangents may be duals of other tags."""

    __array_ufunc__ = None

    def __init__(self, tag: int, value: Any, tangent: Any) -> None:
        self.tag, self.value, self.tangent = tag, value, tangent

    def __add__(self, other: Any) -> Any:
        return _two(lambda a, b: a + b, lambda a, b: (1.0, 1.0), self, other)

    def __sub__(self, other: Any) -> Any:
        return _two(lambda a, b: a - b, lambda a, b: (1.0, -1.0), self, other)

    def __mul__(self, other: Any) -> Any:
        return _two(lambda a, b: a * b, lambda a, b: (b, a), self, other)

    def __radd__(self, other: Any) -> Any:
        return self + other

    def __rmul__(self, other: Any) -> Any:
        return self * other

    def __rsub__(self, other: Any) -> Any:
        return self * -1.0 + other


def _newest(*xs: Any) -> int:
    return max((x.tag for x in xs if isinstance(x, Dual)), default=0)


def _parts(x: Any, tag: int) -> tuple[Any, Any]:
    return (x.value, x.tangent) if isinstance(x, Dual) and x.tag == tag else (x, 0.0)


def _two(f: Any, partials: Any, x: Any, y: Any) -> Any:
    tag = _newest(x, y)
    (a, da), (b, db) = _parts(x, tag), _parts(y, tag)
    p, q = partials(a, b)
    return Dual(tag, f(a, b), da * p + db * q)


def _linear(f: Callable[[Any], Any], x: Any) -> Any:
    if isinstance(x, Dual):
        return Dual(x.tag, _linear(f, x.value), _linear(f, x.tangent))
    return f(np.broadcast_to(x, (N,)))


def _one(f: Any, partial: Any, x: Any) -> Any:
    if isinstance(x, Dual):
        return Dual(x.tag, _one(f, partial, x.value), x.tangent * partial(x.value))
    return f(x)


def sin(x: Any) -> Any:
    return _one(np.sin, cos, x)


def cos(x: Any) -> Any:
    return _one(np.cos, lambda v: sin(v) * -1.0, x)


def tanh(x: Any) -> Any:
    return _one(np.tanh, lambda v: 1.0 - tanh(v) * tanh(v), x)


def strip(x: Any) -> Any:
    """The number that *x* is."""
    while isinstance(x, Dual):
        x = x.value
    return x


def tangent_of(y: Any, tag: int) -> Any:
    """The part of *y* that belongs to the tangent *tag*, which is the newest."""
    return _parts(y, tag)[1]


def gradient(f: Callable[[Any], Any], x: Any) -> Any:
    """The gradient of the scalar (here: all elements equal) *f* at the vector *x*."""
    total: Any = np.zeros(N)
    for k in range(N):
        unit = np.eye(N)[k]
        tag = next(_tags)
        total = total + tangent_of(f(Dual(tag, x, unit)), tag) * unit
    return total


def columns(f: Callable[[Any], Any], x: Any) -> list[Any]:
    """The derivatives of the vector *f* by each element of *x*."""
    found = []
    for k in range(N):
        tag = next(_tags)
        found.append(tangent_of(f(Dual(tag, x, np.eye(N)[k])), tag))
    return found


@dataclass(frozen=True)
class Step:
    """One expression: what it is, its operands, and a number that chooses among variants."""

    kind: str
    parts: tuple[Any, ...]
    choice: int


UNARY = ("sin", "cos", "tanh", "scale", "reverse", "mean")
BINARY = ("add", "subtract", "multiply")
CUT = ("detach", "no_grad", "straight", "enable")
INNER = ("call", "grad", "value_and_grad", "jacobian", "hessian")
ORDER = {"grad": 1, "value_and_grad": 1, "jacobian": 1, "hessian": 2}


def program(source: random.Random, depth: int, variables: int, order: int) -> Step:
    """A random vector expression in *variables* variables, with derivatives up to *order* inside."""
    choice = source.randrange(1 << 16)
    if depth <= 0 or source.random() < 0.04:
        return Step("variable" if source.random() < 0.85 else "constant", (), choice)

    def part(less: int = 1, more: int = 0, spent: int = 0) -> Step:
        return program(source, depth - less, variables + more, order - spent)

    kind = source.choice((*UNARY, *BINARY * 4, *CUT, *INNER * 2, "write"))
    if kind in INNER and (ORDER.get(kind, 0) > order):
        kind = "call"
    if kind in INNER:
        return Step(kind, (part(2, 1, ORDER.get(kind, 0)), part()), choice)
    if kind in BINARY or kind in ("straight", "write"):
        return Step(kind, (part(), part()), choice)
    return Step(kind, (part(),), choice)


CONSTANTS = (np.array([0.5, -1.25]), np.array([1.5, 0.75]), np.array([-0.3, 2.0]))


def twin(step: Step, values: Sequence[Any]) -> Any:
    """What the program is, by nested tangents."""
    kind, parts, choice = step.kind, step.parts, step.choice
    if kind == "variable":
        return values[choice % len(values)]
    if kind == "constant":
        return CONSTANTS[choice % 3]
    if kind in INNER:
        return _twin_inner(step, values)
    xs = [twin(part, values) for part in parts]
    x = xs[0]
    if kind in BINARY:
        return {"add": x + xs[-1], "subtract": x - xs[-1], "multiply": x * xs[-1]}[kind]
    if kind in ("detach", "no_grad"):
        return strip(x)
    if kind == "straight":
        return x + (strip(xs[1]) - strip(x))
    if kind == "write":  # y *= 0.5; y[0] = z[1]
        return _linear(_first, x * 0.5) + _linear(_second, xs[1])
    if kind == "enable":
        return x * 1.0
    return _unary(kind, x)


def _unary(kind: str, x: Any) -> Any:
    if kind in ("sin", "cos", "tanh"):
        return {"sin": sin, "cos": cos, "tanh": tanh}[kind](x)
    if kind == "scale":
        return x * 0.75
    return _linear(lambda v: v[::-1] if kind == "reverse" else np.full(N, v.mean()), x)


def _first(v: Any) -> Any:
    return np.array([0.0, *v[1:]])


def _second(v: Any) -> Any:
    return np.array([v[1], *np.zeros(N - 1)])


def total(x: Any) -> Any:
    """The sum of the elements, in each element."""
    return _linear(lambda v: np.full(N, v.sum()), x)


def _twin_inner(step: Step, values: Sequence[Any]) -> Any:
    body, argument = step.parts
    x = twin(argument, values)

    def f(y: Any) -> Any:
        return twin(body, [*values, y])

    def scalar(y: Any) -> Any:
        return total(f(y))

    if step.kind == "call":
        return f(x)
    if step.kind == "grad":
        return gradient(scalar, x)
    if step.kind == "value_and_grad":
        return gradient(scalar, x) * scalar(x)
    if step.kind == "jacobian":
        first, second = columns(f, x)
        return first + second * 2.0
    first, second = columns(lambda y: gradient(scalar, y), x)
    return first + second * 2.0
