"""The functions of the top level: ``nbgrad.sin`` is ``nbgrad.numpy.sin``.

What ``import nbgrad`` has declared is here at once, and the rest of ``nbgrad.numpy`` when asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.registry import functions, primitives
from nbgrad.ops.kinds.elementwise import arity
from nbgrad.tensors.describe import describe
from nbgrad.tensors.namespaces import find as of_namespace
from nbgrad.tensors.namespaces import wrapped
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary import subscript
from nbgrad.vocabulary.arrays import (  # noqa: F401 - most scripts ask for what these declare
    filling,
    ranges,
    searching,
)

# PyTorch's names of operations that NumPy spells differently.
ALIASES = {
    "abs": "absolute",
    "conj": "conjugate",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "true_divide": "divide",
    "neg": "negative",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "clamp": "clip",
    "pow": "power",
    "cat": "concatenate",
    "sgn": "sign",
}
# And those that NumPy has in another namespace.
ELSEWHERE = {"norm": "linalg"}


def _in_place(function: Callable[..., Any], name: str) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor) -> Tensor:
        return x._rebind(function(x)._node)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "nbgrad"
    call.__doc__ = f"In-place form of ``{name[:-1]}``: writes the result to the tensor."
    describe(f"numpy.{name}", call, None)
    return call


def _names() -> set[str]:
    """What is declared so far, without making it: most scripts need a few of them."""
    found = {name for held in functions.values() for name in held} | {"getitem", *ALIASES}
    for prim in primitives.values():
        if prim.public:
            found |= {prim.name, f"{prim.name}_"} if has_in_place(prim) else {prim.name}
    return found


def has_in_place(prim: Any) -> bool:
    return prim.public and arity(prim) == 1 and prim.vjp is not None


__all__ = sorted(_names())


def find(name: str) -> Any:
    """The public function *name* of the top level, or None."""
    if name == "getitem":
        made = wrapped("getitem", subscript.getitem)
        describe("numpy.getitem", made, None)
        return made
    plain = name.removesuffix("_")
    if plain != name and plain in primitives and has_in_place(primitives[plain]):
        return _in_place(find(plain), name)
    # Methods of tensors are functions here, as in PyTorch: ``ng.gather(x, 1, index)``.
    name = ALIASES.get(name, name)
    found = of_namespace(ELSEWHERE.get(name, "numpy"), name) or of_namespace("tensor", name)
    return of_namespace("special", name) if found is None and name in __all__ else found


def __getattr__(name: str) -> Any:
    # Not module globals: names such as ``any`` and ``sum`` would hide Python's here.
    if name.startswith("__"):
        raise AttributeError(name)
    found = find(name)
    if found is None:
        load_vocabulary()
        found = find(name)
    if found is None:
        raise AttributeError(f"module 'nbgrad' has no attribute {name!r}")
    return found
