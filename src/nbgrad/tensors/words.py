"""PyTorch's words for NumPy's settings: ``dim=`` is taken wherever NumPy has ``axis=``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

WORDS = {"dim": "axis", "keepdim": "keepdims", "n": "N", "m": "M"}
_WORDS = WORDS | {"dims": "axis"}


def in_words_of(function: Callable[..., Any], settings: dict[str, Any]) -> dict[str, Any]:
    """*settings* with PyTorch's words replaced by NumPy's where *function* has those."""
    if _WORDS.keys().isdisjoint(settings):
        return settings
    known = inspect.signature(function).parameters
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = _WORDS[key] if key not in known and _WORDS.get(key) in known else key
        if name in found:
            raise TypeError(f"{function.__name__}: {name} is given twice, once by PyTorch's name")
        found[name] = value
    return found
