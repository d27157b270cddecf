"""Derivatives of the Python functions: complex steps, difference quotients."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

Function = Callable[..., Any]
# Weights of the central differences of eighth order, of the first and of the second derivative.
FIRST = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
SECOND = {0: -205 / 72, 1: 8 / 5, 2: -1 / 5, 3: 8 / 315, 4: -1 / 560}


class Shim:
    """A module whose functions take complex numbers, and whose arrays hold them."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name in ("zeros", "empty", "ones", "full", "array", "eye") and self._module is np:
            return complexly(getattr(np, name))
        if self._module is math and name not in ("pi", "e", "inf", "nan"):
            return lambda *xs: SCALARS.get(name, scalar(name))(*xs)
        return getattr(self._module, name)


def scalar(name: str) -> Function:
    if hasattr(cmath, name):
        return lambda *xs: np.complex128(getattr(cmath, name)(*xs))
    return getattr(math, name)  # type: ignore[no-any-return]


SCALARS: dict[str, Function] = {
    "hypot": lambda a, b: np.sqrt(a * a + b * b),
    "pow": lambda a, b: a**b,
}


def complexly(make: Function) -> Function:
    def made(*args: Any, **words: Any) -> Any:
        out = make(*args, **words)
        return out.astype(complex) if out.dtype == np.float64 else out

    return made


def magnitude(x: Any) -> Any:
    """The absolute value of the real part, analytically."""
    return np.where(np.real(x) < 0, -x, x)[()] if np.iscomplexobj(x) else abs(x)


def python(function: Any, analytically: bool = False) -> Function:
    """The Python function, and those that it calls."""
    return _python(function, analytically, {})


def _python(function: Any, analytically: bool, done: dict[Any, Any]) -> Any:
    function = getattr(function, "py_func", function)
    if function in done:
        return done[function]
    names: dict[str, Any] = {}
    made = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    done[function] = made
    names["__builtins__"] = __builtins__
    for name, value in function.__globals__.items():
        if hasattr(value, "py_func"):
            value = _python(value, analytically, done)
        elif analytically and value in (np, math) if isinstance(value, ModuleType) else False:
            value = Shim(value)
        names[name] = value
    if analytically:
        names |= {"abs": magnitude, "int": lambda x: int(np.real(x))}
    return made


def leaves(tree: Any) -> list[Any]:
    """The numbers and arrays of nested tuples."""
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def combined(f: Function, *trees: Any) -> Any:
    """*f* of the leaves of several nested tuples of one structure."""
    first = trees[0]
    if isinstance(first, tuple):
        parts = [combined(f, *part) for part in zip(*trees, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return f(*trees)


def along(case: Any, directions: tuple[Any, ...], t: Any) -> tuple[Any, ...]:
    """The arguments moved by *t* times the directions; copies, as functions may write."""
    args = [combined(lambda a: a.copy() if isinstance(a, np.ndarray) else a, a) for a in case.args]
    for k, d in zip(case.wrt, directions, strict=True):
        args[k] = combined(lambda a, d: np.asarray(a + t * d)[()], args[k], d)
    return tuple(args)


def weigh(result: Any, weights: list[Any]) -> Any:
    return sum(np.sum(w * y) for w, y in zip(weights, leaves(result), strict=True))


def derivatives(
    case: Any, directions: tuple[Any, ...], weights: list[Any]
) -> tuple[float, float, float]:
    """Value, first and second derivative of the weighed results along the directions."""
    plain = python(case.function)
    phi = lambda t: float(weigh(plain(*along(case, directions, t)), weights))
    h = case.step
    with np.errstate(all="ignore"):
        if case.analytic:
            exact = python(case.function, analytically=True)
            slope = lambda t: (
                float(weigh(exact(*along(case, directions, t + 1e-30j)), weights).imag) / 1e-30
            )
            first = slope(0.0)
            second = sum(w * (slope(k * h) - slope(-k * h)) for k, w in FIRST.items()) / h
            return phi(0.0), first, second
        first = sum(w * (phi(k * h) - phi(-k * h)) for k, w in FIRST.items()) / h
        second = (
            sum(w * (phi(k * h) + phi(-k * h)) / (2 if not k else 1) for k, w in SECOND.items())
            / h**2
        )
        return phi(0.0), first, second
