"""The functions of the top level: ``nbgrad.sin`` is ``nbgrad.numpy.sin``.

What ``import nbgrad`` has declared is here at once, and the rest of ``nbgrad.numpy`` when asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbgrad.core.registry import functions, primitives
from nbgrad.loading import load_vocabulary
from nbgrad.namespaces import find, wrapped
from nbgrad.ops import subscript
from nbgrad.ops.kinds import arity
from nbgrad.tensor import Tensor
from nbgrad.vocabulary import searching  # noqa: F401 - declares where, which two callers share

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
    call.__doc__ = f"In-place form of ``{name[:-1]}``: writes the result to the tensor."
    return call


def _of_primitive(prim: Any) -> dict[str, Any]:
    """The function of an elementwise primitive and, of one operand, its in-place form."""
    if not prim.public:
        return {}
    found = {prim.name: find(prim.namespace, prim.name)}
    if arity(prim) == 1 and prim.vjp is not None:
        found[f"{prim.name}_"] = _in_place(found[prim.name], f"{prim.name}_")
    return found


def _collect() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for prim in primitives.values():
        found |= _of_primitive(prim)
    for namespace, held in functions.items():
        found |= {name: find(namespace, name) for name in held}
    found["getitem"] = wrapped("getitem", subscript.getitem, subscript.getitem.__doc__ or "")
    for alias, name in ALIASES.items():
        found[alias] = found[name]
    return found


public = _collect()
__all__ = sorted(public)


def __getattr__(name: str) -> Any:
    # Not module globals: names such as ``any`` and ``sum`` would hide Python's here.
    if name.startswith("__"):
        raise AttributeError(name)
    if name not in public and name.removesuffix("_") in primitives:
        public.update(_of_primitive(primitives[name.removesuffix("_")]))  # declared since
    if name not in public:
        load_vocabulary()
        # Methods of tensors are functions here, as in PyTorch: ``ng.gather(x, 1, index)``.
        found = find(ELSEWHERE.get(name, "numpy"), name) or find("tensor", name)
        if found is None:
            raise AttributeError(f"module 'nbgrad' has no attribute {name!r}")
        public[name] = found
    return public[name]
