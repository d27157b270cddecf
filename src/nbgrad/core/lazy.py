"""Modules that are imported on first use, and patterns that are compiled on first use.

Compiling and planning code takes 0.1 s to import and the first runs of a structure need none of
it; importing at the top of a file would charge that to every ``import nbgrad``.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any, cast

from nbgrad.core import forks


def load(name: str) -> Any:
    """Import the module *name*."""
    with forks.importing:  # a child cannot import what another thread was importing
        return importlib.import_module(name)


class LazyModule:
    """Stands for a module; the first attribute asked of it imports it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __bool__(self) -> bool:
        """Whether the module has been imported, by whomever."""
        return self._name in sys.modules

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(load(self._name), attribute)
        setattr(self, attribute, value)
        return value


class _LazyPattern:
    """A regular expression; the first method asked of it compiles it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(re.compile(self._text), attribute)
        setattr(self, attribute, value)
        return value


def pattern(text: str) -> re.Pattern[str]:
    """``re.compile``, when it is asked for: few of those that plans look for are met by one program."""
    return cast("re.Pattern[str]", _LazyPattern(text))
