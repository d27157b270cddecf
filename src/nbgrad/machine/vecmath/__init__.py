"""Scalar mathematics that LLVM vectorises, written once for every target (see README.md)."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from nbgrad.machine.vecmath import (
    bases,
    error_function,
    exponential,
    hyperbolic,
    inverse_hyperbolic,
    inverse_trigonometric,
    logarithm,
    power,
    roots,
    trigonometric,
)

_NAMES = {
    exponential: ("exp", "expm1", "sigmoid"),
    logarithm: ("log", "log1p", "softplus"),
    trigonometric: ("sin", "cos", "tan"),
    inverse_trigonometric: ("asin", "acos", "atan", "atan2"),
    hyperbolic: ("sinh", "cosh", "tanh", "sech2"),
    inverse_hyperbolic: ("asinh", "acosh", "atanh"),
    power: ("pow",),
    bases: ("log2", "log10", "exp2"),
    roots: ("cbrt", "hypot"),
    error_function: ("erf",),
}

SCALAR: Final[MappingProxyType[str, Callable[..., Any]]] = MappingProxyType(
    {
        f"{name}_{dtype}": getattr(module, f"{name}_{dtype}")
        for module, names in _NAMES.items()
        for name in names
        for dtype in ("f8", "f4")
    }
)
"""Plain functions of scalars by name: ``SCALAR["exp_f8"](x)``."""
