"""Every public callable, found by walking from ``nbgrad``: no list is kept by hand."""

from __future__ import annotations

import functools
import inspect
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import nbgrad as ng
from nbgrad.core.lookup import load_vocabulary

NOT_OURS = ("numpy", "builtins", "typing", "abc")


def _names(module: Any) -> list[str]:
    """What a module says that it has; without a list, what it defines."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    own = (n for n in dir(module) if not n.startswith("_"))
    if "__dir__" in vars(module):
        return sorted(own)
    return sorted(
        n for n in own if getattr(getattr(module, n), "__module__", "") == module.__name__
    )


@functools.cache
def public_modules() -> dict[str, Any]:
    """``nbgrad`` and the modules that users reach from it, by their dotted names."""
    load_vocabulary()
    found: dict[str, Any] = {}
    waiting = [("nbgrad", ng)]
    while waiting:
        label, module = waiting.pop()
        found[label] = module
        for name in _names(module):
            value = getattr(module, name)
            if isinstance(value, types.ModuleType) and value.__name__.startswith(f"{label}."):
                waiting.append((f"{label}.{name}", value))
    return found


def public_callables() -> Iterator[tuple[str, Any]]:
    """Functions and classes with their dotted names, each once, as the first module has it."""
    seen: set[int] = set()
    for label, module in sorted(public_modules().items(), key=lambda x: (x[0].count("."), x[0])):
        for name in _names(module):
            value = getattr(module, name)
            ours = str(getattr(value, "__module__", "")).startswith("nbgrad")
            if callable(value) and ours and id(value) not in seen:
                seen.add(id(value))
                yield f"{label}.{name}", value


def section(value: Any, title: str) -> str:
    """The text of a section of the docstring."""
    doc = inspect.getdoc(value) or ""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^[A-Z][A-Za-z ]+\n-+\n|\Z)", doc, re.M | re.S)
    return found.group(1) if found else ""


def raised(value: Any) -> list[str]:
    """Names of the errors that the docstring lists."""
    heads = re.findall(r"^(\w[\w., ]*)$", section(value, "Raises"), re.M)
    return [name.strip() for head in heads for name in head.split(",")]


WRITTEN = (types.FunctionType, types.MethodDescriptorType)  # the latter is machine code
GENERATED = "If an operand is no array of numbers"


def public_methods() -> Iterator[tuple[str, Any]]:
    """Public methods of public classes that are written by hand."""
    for label, value in public_callables():
        if inspect.isclass(value):
            for name, method in vars(value).items():
                if isinstance(method, WRITTEN) and not name.startswith("_"):
                    yield f"{label}.{name}", method


def listed() -> dict[tuple[str, str], Callable[..., Any]]:
    """Each error that a docstring written by hand lists: ``("scan", "TypeError")``, without ``nbgrad.``."""
    found = {}
    for label, value in (*public_callables(), *public_methods()):
        if GENERATED not in section(value, "Raises"):
            for error in raised(value):
                found[label.removeprefix("nbgrad."), error.rpartition(".")[2]] = value
    return found
