"""The vocabulary is imported when something asks for a function nobody has declared yet.

Most programs need little of it, and all of it would double the time of ``import nbgrad``.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import Any

import numpy as np

from nbgrad.core.registry import by_reference, functions


@functools.cache
def load_vocabulary() -> None:
    """Import every module of ``nbgrad.vocabulary``; their declarations fill the registry."""
    package = importlib.import_module("nbgrad.vocabulary")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"nbgrad.vocabulary.{module.name}")


def ours(reference: Any) -> Any:
    """Our function of nodes for NumPy's or SciPy's *reference*, or None."""
    found = _known(reference)
    if found is None:
        load_vocabulary()
        found = _known(reference)
    return found


def method(name: str) -> Any:
    """The function of nodes that is the method *name* of tensors, or None."""
    load_vocabulary()
    for held in functions.values():
        if name in held and held[name].method:
            return held[name].implementation
    return None


def _known(reference: Any) -> Any:
    found = by_reference.get(reference)
    if found is None and isinstance(reference, np.ufunc):
        found = by_reference.get(reference.__name__)
    return found
