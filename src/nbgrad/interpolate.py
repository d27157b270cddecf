"""Piecewise linear and cubic-spline interpolation, as in ``scipy.interpolate``."""

from __future__ import annotations

import importlib
from typing import Any

from nbgrad.namespaces import lookup

_function, _functions = lookup("interpolate")
_CLASSES = ("CubicSpline", "PPoly")


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return getattr(importlib.import_module("nbgrad.vocabulary.spline_objects"), name)
    return _function(name)


def __dir__() -> list[str]:
    return sorted({*_functions(), *_CLASSES})
