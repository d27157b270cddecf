"""Methods of tensors that are found by their name, and PyTorch's words for NumPy's settings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from nbgrad.core.lookup import method
from nbgrad.core.ports import ports
from nbgrad.tensors.protocols import apply

# PyTorch's word for a setting, and NumPy's.
WORDS = {"dim": "axis", "keepdim": "keepdims", "n": "N", "m": "M"}


def find(x: Any, name: str) -> Any:
    """The method *name* of tensor *x* that the vocabulary declares, or None.

    Those of every day are in methods.py. A name that ends in an underscore is the method without
    it, and writes the result to the tensor.
    """
    if name.startswith("_"):
        return None
    function = method(name)
    if function is not None:
        bound = functools.partial(_call, x, function)
        bound.__name__ = name  # type: ignore[attr-defined]
        return bound
    return _in_place(x, name) if name.endswith("_") else None


def _call(x: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    return apply(ports.tensor, function, (x, *args), in_words_of(function, kwargs))


def _in_place(x: Any, name: str) -> Any:
    plain = name[:-1]
    if method(plain) is None and not inspect.isfunction(getattr(type(x), plain, None)):
        return None

    def call(*args: Any, **kwargs: Any) -> Any:
        made = getattr(x, plain)(*args, **kwargs)
        node = getattr(made, "_node", None)
        if node is None:
            raise TypeError(f"{name}: {plain} does not make one tensor, so it has no such form")
        return x._rebind(node)

    call.__name__ = name
    call.__doc__ = f"In-place form of ``{plain}``: writes the result to the tensor."
    return call


def in_words_of(function: Callable[..., Any], settings: dict[str, Any]) -> dict[str, Any]:
    """*settings* with PyTorch's words replaced by NumPy's where *function* has those."""
    if not any(word in settings for word in WORDS):
        return settings
    known = inspect.signature(function).parameters
    return {
        WORDS[key] if key not in known and WORDS.get(key) in known else key: value
        for key, value in settings.items()
    }
