"""The functions of the top level: ``nbgrad.sin`` is ``nbgrad.numpy.sin``.

What ``import nbgrad`` has declared is here at once, and the rest of ``nbgrad.numpy`` when asked for.
"""

from __future__ import annotations

import sys
from typing import Any

from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.missing import NoAttributeError
from nbgrad.core.registry import functions, primitives
from nbgrad.tensors.describe import describe
from nbgrad.tensors.namespaces import find as of_namespace
from nbgrad.tensors.namespaces import wrapped
from nbgrad.tensors.naming import ALIASES, OF_NAMESPACES, has_in_place, in_place
from nbgrad.vocabulary import subscript
from nbgrad.vocabulary.arrays import (  # noqa: F401 - most scripts ask for what these declare
    filling,
    ranges,
    searching,
)

# PyTorch's functions that NumPy and SciPy have under another name, or in another namespace.
ELSEWHERE = OF_NAMESPACES | {
    "block_diag": "linalg.block_diag",
    "clone": "numpy.copy",
    "erfinv": "special.erfinv",
    "mm": "numpy.matmul",
    "norm": "linalg.norm",
    "numel": "numpy.size",
    "permute": "numpy.transpose",
    "slogdet": "linalg.slogdet",
    "unsqueeze": "numpy.expand_dims",
}


def _names() -> set[str]:
    """What is declared so far, without making it: most scripts need a few of them."""
    found = {name for held in functions.values() for name in held}
    found |= {"getitem", *ALIASES, *ELSEWHERE}
    for prim in primitives.values():
        if prim.public:
            found |= {prim.name, f"{prim.name}_"} if _changes(prim) else {prim.name}
    return found


def _changes(prim: Any) -> bool:
    """Whether the in-place form is a function as well, as in PyTorch: not of what only asks."""
    return has_in_place(prim) and prim.vjp is not None


__all__ = sorted(_names())


def listed() -> set[str]:
    """What *find* finds once all is declared: this imports the rest of the vocabulary."""
    load_vocabulary()
    names = {n for space in ("numpy", "tensor") for n in functions[space]} | _names()
    return {name for name in names if "." not in name and find(name) is not None}


def find(name: str) -> Any:
    """The public function *name* of the top level, or None."""
    if name == "getitem":
        made = wrapped("getitem", subscript.getitem)
        describe("numpy.getitem", made, None)
        return made
    plain = name.removesuffix("_")
    if plain != name and plain in primitives and _changes(primitives[plain]):
        return in_place(name)
    # Methods of tensors are functions here, as in PyTorch: ``ng.gather(x, 1, index)``.
    name = ALIASES.get(name, name)
    space, _, main = ELSEWHERE.get(name, f"numpy.{name}").rpartition(".")
    found = of_namespace(space, main) or of_namespace("tensor", name)
    if found is None and (name in __all__ or has_in_place(primitives.get(name))):
        return of_namespace("special", name)
    return found


def __getattr__(name: str) -> Any:
    # Not module globals: names such as ``any`` and ``sum`` would hide Python's here.
    if name.startswith("__"):
        raise AttributeError(name)
    found = find(name)
    if found is None:
        load_vocabulary()
        found = find(name)
    if found is None:
        raise NoAttributeError("module 'nbgrad'", name, lambda: dir(sys.modules["nbgrad"]))
    return found
