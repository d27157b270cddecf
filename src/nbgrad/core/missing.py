"""What nbgrad has not: the error says so, what comes nearest, and where it was asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from nbgrad.core.lazy import LazyModule
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.modes import user_line
from nbgrad.core.registry import functions, primitives
from nbgrad.errors import MissingOperation

difflib = LazyModule("difflib")
# Two names are spelled alike from here on: an exchanged pair in five letters, one in four missing.
_ALIKE = 0.8
_VAGUE = {"array", "arrays", "tensor", "like", "with", "from"}


def full_name(reference: Any) -> str:
    """``numpy.linalg.solve``, of a function of NumPy's; a ufunc does not know its module."""
    name = getattr(reference, "__name__", str(reference))
    module = getattr(reference, "__module__", None)
    for known in ("numpy", "scipy.special"):
        if getattr(sys.modules.get(known), name, None) is reference:
            module = known
    return f"{module}.{name}" if module else name


def missing(name: str, detail: str = "") -> MissingOperation:
    """The error for NumPy's function of dotted *name*; *detail* says which use of it."""
    load_vocabulary()
    names = {f"{f.namespace}.{f.name}" for held in functions.values() for f in held.values()}
    names |= {f"{p.namespace}.{p.name}" for p in primitives.values() if p.public}
    by_short: dict[str, str] = {n.rpartition(".")[2]: n for n in sorted(names)}
    close = near(name.rpartition(".")[2], by_short)
    hint = f" Nearest: {', '.join(f'nbgrad.{by_short[c]}' for c in close)}." if close else ""
    line = user_line()
    where = f" ({line})" if line else ""
    return MissingOperation(
        f"{name}{detail} is not available on nbgrad tensors yet.{hint} Use tensor.detach().numpy() if no "
        f"gradient is needed, or nbgrad.pure_callback with a vjp= of yours.{where}"
    )


class NoAttributeError(AttributeError):
    """An attribute that is not there; what its text suggests is looked for when it is read."""

    def __init__(self, owner: str, name: str, names: Callable[[], Iterable[str]]) -> None:
        super().__init__(f"{owner} has no attribute {name!r}")
        self._asked, self._names = name, names

    def __str__(self) -> str:
        close = near(self._asked, [n for n in self._names() if not n.startswith("_")])
        hint = f". Did you mean {' or '.join(map(repr, close))}?" if close else ""
        return f"{super().__str__()}{hint}"


def near(name: str, names: Iterable[str]) -> list[str]:
    """At most three of *names* that a reader takes for *name*: spelled alike, or of its words.

    A few letters in common are not enough: ``save`` is not ``solve``.
    """
    asked, found = _words(name), []
    for other in names:
        likeness = difflib.SequenceMatcher(None, name, other).ratio()
        words = _words(other)
        alike = likeness >= _ALIKE or sorted(name) == sorted(other)
        if alike or (asked and words and (asked <= words or words <= asked)):
            found.append((-likeness, other))
    return [other for _, other in sorted(found)[:3]]


def _words(name: str) -> set[str]:
    """The words of a name that say what it does."""
    return {word for word in name.split("_") if len(word) > 3} - _VAGUE
