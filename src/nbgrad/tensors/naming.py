"""Methods of tensors that the registry gives: the function under its name, whose first operand is self.

``x.log10()`` is ``ng.log10(x)``, one function in two places. A name that ends in an underscore is the
method without it, and writes the result to the tensor. They are made when asked for and are
attributes of the class from then on; PyTorch's and NumPy's own spellings are in methods.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.missing import NoAttributeError
from nbgrad.core.registry import functions, primitives, viewers
from nbgrad.ops.elements import activations, exponential, trigonometric  # noqa: F401 - methods of every day
from nbgrad.ops.kinds.elementwise import arity
from nbgrad.ops.special import erf  # noqa: F401 - the same
from nbgrad.tensors import aliases, namespaces
from nbgrad.tensors.describe import describe
from nbgrad.tensors.tables import Late, attach, named, raw
from nbgrad.tensors.tensor import Tensor

# PyTorch's names of operations that NumPy and SciPy spell differently.
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
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "clamp": "clip",
    "pow": "power",
    "cat": "concatenate",
    "sgn": "sign",
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "bitwise_not": "invert",
    "lgamma": "gammaln",
}
# Methods of PyTorch's that are functions of a namespace: those whose meaning is the same.
OF_NAMESPACES = {
    "bmm": "numpy.matmul",
    "det": "linalg.det",
    "ger": "numpy.outer",
    "igamma": "special.gammainc",
    "igammac": "special.gammaincc",
    "inverse": "linalg.inv",
    "log_softmax": "special.log_softmax",
    "matrix_exp": "linalg.expm",
    "matrix_power": "linalg.matrix_power",
    "mv": "numpy.matmul",
    "mvlgamma": "special.multigammaln",
    "pinverse": "linalg.pinv",
    "repeat_interleave": "numpy.repeat",
    "swapdims": "numpy.swapaxes",
    "take_along_dim": "numpy.take_along_axis",
    "tensor_split": "numpy.array_split",
    "xlogy": "special.xlogy",
}
OF_NAMESPACES |= {
    name: f"numpy.{name}"
    for name in (
        "allclose", "angle", "argwhere", "diagflat", "dsplit", "fix", "float_power", "frexp", "hsplit", "isclose",
        "isneginf", "isposinf", "isreal", "nan_to_num", "sinc", "vsplit",
    )
}  # fmt: skip


def method_names() -> set[str]:
    """Every method that the registry gives, by what is declared so far, without in-place forms."""
    found = {p.name for p in primitives.values() if _is_method(p)}
    found |= {alias for alias, name in ALIASES.items() if name in found}
    for held in functions.values():
        found |= {name for name, declared in held.items() if declared.method}
    return found | set(OF_NAMESPACES)


def _is_method(prim: Any) -> bool:
    """Whether a primitive is a method: of one operand, or NumPy's of two."""
    return has_in_place(prim) or (
        prim.public
        and prim.namespace == "numpy"
        and prim.kind == "elementwise"
        and arity(prim) == 2
    )


def has_in_place(prim: Any) -> bool:
    """Whether a primitive is of one operand, so that the top level has it, and its in-place form."""
    return bool(prim and prim.public and prim.kind == "elementwise" and arity(prim) == 1)


def method(name: str) -> Callable[..., Any] | None:
    """The method *name*, as far as it is declared, or None."""
    held = raw(Tensor, name)
    if held is not None:
        return held if callable(held) else None
    main = ALIASES.get(name, name)
    for namespace, declared in functions.items():
        if main in declared and declared[main].method:
            return namespaces.find(namespace, main)  # type: ignore[no-any-return]
    prim = primitives.get(main)
    if prim is not None and _is_method(prim):
        return namespaces.find(prim.namespace, main)  # type: ignore[no-any-return]
    if name in OF_NAMESPACES:
        space, _, main = OF_NAMESPACES[name].rpartition(".")
        return namespaces.find(space, main)  # type: ignore[no-any-return]
    return in_place(name) if name.endswith("_") else None


@functools.cache
def _written(plain: Callable[..., Any], name: str) -> Callable[..., Any]:
    """In-place form of the method *plain*."""

    @functools.wraps(plain)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(self, Tensor):
            raise TypeError(
                f"{name} writes its result to a tensor, not to a {type(self).__name__}: make one with "
                f"nbgrad.as_tensor, or call {name[:-1]}, which returns a new one"
            )
        if self._alias is not None:
            aliases.latest(self)
        node = getattr(plain(self, *args, **kwargs), "_node", None)
        if node is None:
            raise TypeError(
                f"{name}: {name[:-1]} does not make one tensor, so it has no such form"
            )
        return self._rebind(node)

    call.__doc__ = f"In-place form of ``{name[:-1]}``: writes the result to the tensor."
    call.__qualname__ = plain.__qualname__
    call = named(call, name)
    describe(f"numpy.{name}", call, None)
    return call


def in_place(name: str) -> Callable[..., Any] | None:
    """The in-place form *name* of a method, or None."""
    plain = method(name[:-1])
    return None if plain is None else _written(plain, name)


def spelled() -> set[str]:
    """What is a method by what is declared so far: those, and in-place forms of elementwise ones."""
    found = method_names()
    for held in functions.values():
        names = {n for n, declared in held.items() if declared.method and _is_whole(declared)}
        found |= {f"{n}_" for n in names}
    names = {p.name for p in primitives.values() if _is_method(p)}
    names |= {alias for alias, name in ALIASES.items() if name in names} | {"clip", "clamp"}
    return found | {f"{n}_" for n in names}


def _is_whole(declared: Any) -> bool:
    """Whether a function makes one tensor of its own, so that it may be of the operand's shape."""
    returned = getattr(declared.implementation, "__annotations__", {}).get("return")
    return returned == "Node" and declared.implementation not in viewers and declared.makes is None


def spell() -> None:
    """Let the class hold every method that the registry gives, to be made when asked for."""
    for name in sorted(spelled() - {*vars(Tensor)}):
        setattr(Tensor, name, Late(Tensor, name, method))


def spell_all() -> None:
    """The same of the whole vocabulary; methods of the tables get whole docstrings, too."""
    load_vocabulary()
    spell()
    for name, held in vars(Tensor).items():
        if (
            isinstance(held, FunctionType)
            and name[0] != "_"
            and "Returns\n" not in (held.__doc__ or "")
        ):
            describe(f"numpy.{name}", held, None)


class Named:
    """What a tensor answers to beside what its tables hold."""

    def __getattr__(self: Any, name: str) -> Any:
        if name == "_node":  # a view whose base was written
            return aliases.derive(self)
        found = None if name.startswith("_") else method(name)
        if found is None and not name.startswith("_"):
            load_vocabulary()
            found = method(name)
        if found is None:
            raise NoAttributeError("'Tensor' object", name, lambda: dir(self))
        setattr(Tensor, name, found)
        return getattr(self, name)

    def __dir__(self: Any) -> list[str]:
        spell_all()
        return sorted(n for n in object.__dir__(self) if n[0] != "_" or n[:2] == "__")


attach(Tensor, Named)
# What is declared already can be asked of the class as well: ``map(ng.Tensor.exp, xs)``.
spell()
