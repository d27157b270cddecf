"""Namespaces: the functions that the registry holds, wrapped for tensors and arrays."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import functions, primitives
from nbgrad.loading import load_vocabulary
from nbgrad.ops import shaping
from nbgrad.ops.kinds import arity
from nbgrad.protocols import unwrap, wrap
from nbgrad.recording import binary, unary
from nbgrad.tensor import Tensor

_wrapped: dict[tuple[str, str], Any] = {}


def public(namespace: str) -> dict[str, Any]:
    """Every function that *namespace* holds so far, wrapped for tensors and arrays."""
    names = {p.name for p in primitives.values() if p.public and p.namespace == namespace}
    names |= set(functions.get(namespace, {}))
    return {name: find(namespace, name) for name in sorted(names)}


def find(namespace: str, name: str) -> Any:
    """Return the public function, or None if nobody has declared it."""
    held = _wrapped.get((namespace, name))
    if held is not None:
        return held
    declared = functions.get(namespace, {}).get(name)
    prim = primitives.get(name)
    if declared is not None:
        made = wrapped(name, declared.implementation, declared.implementation.__doc__ or "")
        made.__module__ = f"nbgrad.{namespace}"
    elif prim is not None and prim.public and prim.namespace == namespace:
        made = _elementwise(prim)
    else:
        return None
    return _wrapped.setdefault((namespace, name), made)


def lookup(namespace: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a namespace's module."""

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = find(namespace, name)
        if found is None:
            load_vocabulary()
            found = find(namespace, name)
        if found is None:
            raise AttributeError(f"module 'nbgrad.{namespace}' has no attribute {name!r}")
        return found

    def __dir__() -> list[str]:
        load_vocabulary()
        return sorted(public(namespace))

    return __getattr__, __dir__


def wrapped(name: str, function: Callable[..., Any], doc: str) -> Any:
    """Wrap a function of nodes as a function of tensors, arrays and numbers."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return wrap(function(*unwrap(args), **unwrap(kwargs)), Tensor)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "nbgrad"
    call.__doc__ = doc
    return call


def _elementwise(prim: Primitive) -> Callable[..., Any]:
    def function(*operands: Any) -> Node:
        if not any(isinstance(x, Node) for x in operands):
            operands = (shaping.as_node(operands[0]), *operands[1:])
        return prim(*operands)

    count = arity(prim)
    names = "xyz"[:count]
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in names]
    )
    doc = (
        f"{prim.doc}\n\nParameters\n----------\n{', '.join(names)} : array_like or Tensor\n"
        "    Numbers, arrays or tensors, broadcast against each other.\n\n"
        "Returns\n-------\nTensor\n    In the dtype NumPy gives (NEP 50).\n"
    )
    general = wrapped(prim.name, function, doc)
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
