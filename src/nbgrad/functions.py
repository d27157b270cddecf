"""The public functions: every operation and composite, on tensors and arrays.

Elementwise operations come from the registry, so a new declaration appears here by itself.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.node import Node, constant
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import by_reference, primitives
from nbgrad.engine import value_of
from nbgrad.ops import composite, subscript
from nbgrad.ops.arithmetic import positive
from nbgrad.ops.kinds import arity
from nbgrad.protocols import unwrap, wrap
from nbgrad.recording import binary, unary
from nbgrad.tensor import Tensor

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
    "amax": "max",
    "amin": "min",
}

# Helpers of composite.py, not operations.
_INTERNAL = ("as_node", "detached")

_NUMPY = {
    np.sum: composite.sum,
    np.mean: composite.mean,
    np.prod: composite.prod,
    np.max: composite.max,
    np.min: composite.min,
    np.any: composite.any,
    np.all: composite.all,
    np.var: composite.var,
    np.std: composite.std,
    np.argmax: composite.argmax,
    np.argmin: composite.argmin,
    np.linalg.norm: composite.norm,
    np.reshape: composite.reshape,
    np.transpose: composite.transpose,
    np.swapaxes: composite.swapaxes,
    np.broadcast_to: composite.broadcast_to,
    np.squeeze: composite.squeeze,
    np.expand_dims: composite.expand_dims,
    np.concatenate: composite.concatenate,
    np.stack: composite.stack,
    np.matmul: composite.matmul,
    np.dot: composite.dot,
    np.power: composite.power,
    np.clip: composite.clip,
    np.float_power: composite.power,
}
by_reference.update(_NUMPY)


def _array(x: Any) -> Any:
    return value_of(x) if isinstance(x, Node) else x


# What describes or compares arrays has no gradient, so it may look at the values.
by_reference.update(
    {
        np.shape: lambda x: x.shape,
        np.ndim: lambda x: x.ndim,
        np.size: lambda x: x.size,
        np.ravel: lambda x: composite.reshape(x, (-1,)),
        np.copy: positive,
        np.zeros_like: lambda x, dtype=None: constant(np.zeros(x.shape, dtype or x.dtype)),
        np.ones_like: lambda x, dtype=None: constant(np.ones(x.shape, dtype or x.dtype)),
        np.full_like: lambda x, v, dtype=None: constant(np.full(x.shape, v, dtype or x.dtype)),
        np.allclose: lambda a, b, **kw: np.allclose(_array(a), _array(b), **kw),
        np.array_equal: lambda a, b: np.array_equal(_array(a), _array(b)),
    }
)


def _public(name: str, function: Callable[..., Any], doc: str, example: str = "") -> Any:
    """Wrap a function of nodes as a function of tensors, arrays and numbers."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return wrap(function(*unwrap(args), **unwrap(kwargs)), Tensor)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "nbgrad"
    call.__doc__ = doc + example
    return call


def _elementwise(prim: Primitive) -> Callable[..., Any]:
    def function(*operands: Any) -> Node:
        if not any(isinstance(x, Node) for x in operands):
            operands = (composite.as_node(operands[0]), *operands[1:])
        return prim(*operands)

    count = arity(prim)
    names = ", ".join("xyz"[:count])
    doc = (
        f"{prim.doc}\n\nParameters\n----------\n{names} : array_like or Tensor\n"
        "    Numbers, arrays or tensors, broadcast against each other.\n\n"
        "Returns\n-------\nTensor\n    In the dtype NumPy gives (NEP 50).\n"
    )
    general = _public(prim.name, function, doc)
    return functools.wraps(general)(_fast(prim, count, general)) if count < 3 else general


def _fast(prim: Primitive, count: int, general: Callable[..., Any]) -> Callable[..., Any]:
    """The function of one or two operands, by the operators' short way where it can."""
    if count == 1:
        one = unary(prim)

        def call_one(x: Any) -> Any:
            return one(x) if x.__class__ is Tensor else general(x)

        return call_one
    two = binary(prim)

    def call_two(x: Any, y: Any) -> Any:
        result = two(x, y) if x.__class__ is Tensor else NotImplemented
        return general(x, y) if result is NotImplemented else result

    return call_two


def _in_place(function: Callable[..., Any], name: str) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor) -> Tensor:
        return x._rebind(function(x)._node)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"In-place form of ``{name[:-1]}``: binds the tensor to the result."
    return call


def _of_primitive(prim: Primitive) -> dict[str, Any]:
    """The function of an elementwise primitive and, of one operand, its in-place form."""
    if not prim.public:
        return {}
    found = {prim.name: _elementwise(prim)}
    if arity(prim) == 1 and prim.vjp is not None:
        found[f"{prim.name}_"] = _in_place(found[prim.name], f"{prim.name}_")
    return found


def _collect() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for prim in primitives.values():
        found |= _of_primitive(prim)
    for name, function in vars(composite).items():
        ours = inspect.isfunction(function) and function.__module__ == composite.__name__
        if ours and not name.startswith("_") and name not in _INTERNAL:
            found[name] = _public(name, function, function.__doc__ or "")
    found["getitem"] = _public("getitem", subscript.getitem, subscript.getitem.__doc__ or "")
    for alias, name in ALIASES.items():
        found[alias] = found[name]
    return found


public = _collect()
__all__ = sorted(public)


def __getattr__(name: str) -> Any:
    # Not module globals: names such as ``any`` and ``sum`` would hide Python's here.
    if name not in public and name.removesuffix("_") in primitives:
        public.update(_of_primitive(primitives[name.removesuffix("_")]))  # declared since
    try:
        return public[name]
    except KeyError:
        raise AttributeError(f"module 'nbgrad' has no attribute {name!r}") from None
