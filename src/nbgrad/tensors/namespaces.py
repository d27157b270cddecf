"""Namespaces: the functions that the registry holds, wrapped for tensors and arrays."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.missing import NoAttributeError
from nbgrad.core.node import Node
from nbgrad.core.operands import as_operand
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import by_reference, functions, objects, primitives, variants
from nbgrad.ops.kinds.elementwise import arity, operand_names
from nbgrad.tensors.describe import describe
from nbgrad.tensors.dispatch import binary, unary
from nbgrad.tensors.makers import maker
from nbgrad.tensors.protocols import apply
from nbgrad.tensors.tensor import Tensor
from nbgrad.tensors.words import in_words_of
from nbgrad.vocabulary.shapes import as_node

_wrapped: dict[tuple[str, str], Any] = {}


def public(namespace: str) -> dict[str, Any]:
    """Every function that *namespace* holds so far, wrapped for tensors and arrays."""
    names = {p.name for p in primitives.values() if p.public and p.namespace == namespace}
    names |= {*functions.get(namespace, {}), *objects.get(namespace, {})}
    return {name: find(namespace, name) for name in sorted(names)}


def find(namespace: str, name: str) -> Any:
    """Return the public function, or None if nobody declares it."""
    found = _found(namespace, name)
    if found is None:
        load_vocabulary()
        found = _found(namespace, name)
    return found


def _found(namespace: str, name: str) -> Any:
    """The public function, or None if nobody has declared it by now."""
    held = objects.get(namespace, {}).get(name) or _wrapped.get((namespace, name))
    if held is not None:
        return held
    declared = functions.get(namespace, {}).get(name)
    prim = primitives.get(name)
    if declared is not None:
        made = wrapped(name, declared.implementation)
        made = made if declared.makes is None else maker(made, declared)
        describe(f"{namespace}.{name}", made, declared.reference)
        made = with_keywords(made, declared.reference)
        made.__module__ = f"nbgrad.{namespace}"
        made = with_methods(made, declared.reference)
    elif prim is not None and prim.public and prim.namespace == namespace:
        made = with_methods(_elementwise(prim), prim.reference)
    else:
        return _other_name(namespace, name)
    return _wrapped.setdefault((namespace, name), made)


def _other_name(namespace: str, name: str) -> Any:
    """The function under another of NumPy's names for it, such as ``abs`` for ``absolute``."""
    reference = getattr(np, name, None) if namespace == "numpy" else None
    if not isinstance(reference, np.ufunc) or reference not in by_reference:
        return None
    main = reference.__name__
    return None if main == name else _wrapped.setdefault((namespace, name), find(namespace, main))


def with_keywords(function: Any, ufunc: Any) -> Any:
    """Let the function of a ufunc take NumPy's keywords, such as ``dtype=`` and ``where=``."""
    if not isinstance(ufunc, np.ufunc):
        return function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return _of_numpy(ufunc, *args, **kwargs) if kwargs else function(*args)

    return call


def with_methods(function: Any, ufunc: Any) -> Any:
    """Give the function of a ufunc what NumPy's has besides: ``reduce``, ``outer`` and so on."""
    if isinstance(ufunc, np.ufunc):
        for name in ("reduce", "accumulate", "reduceat", "outer", "at"):
            setattr(function, name, functools.partial(_of_numpy, getattr(ufunc, name)))
        function.nin, function.nout, function.identity = ufunc.nin, ufunc.nout, ufunc.identity
    return function


def _of_numpy(function: Any, *args: Any, **kwargs: Any) -> Any:
    """NumPy's *function* of the first argument as a tensor, so that it comes back to us."""
    first = args[0] if isinstance(args[0], Tensor) else Tensor(as_node(args[0]))
    return function(first, *args[1:], **kwargs)


def lookup(
    namespace: str, names: dict[str, Any]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a namespace's module, whose globals are *names*.

    What was asked for once is an attribute from then on.
    """

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = find(namespace, name)
        if found is None:
            raise NoAttributeError(f"module 'nbgrad.{namespace}'", name, __dir__)
        return names.setdefault(name, found)

    def __dir__() -> list[str]:
        load_vocabulary()
        return sorted(name for name in public(namespace) if "." not in name)

    return __getattr__, __dir__


def wrapped(name: str, function: Callable[..., Any]) -> Any:
    """Wrap a function of nodes as a function of tensors, arrays and numbers."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            kwargs = in_words_of(function, kwargs)
        return apply(Tensor, function, args, kwargs)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "nbgrad"
    return call


def _elementwise(prim: Primitive) -> Callable[..., Any]:
    def function(*operands: Any) -> Node:
        # Python numbers stay weak; lists of tensors are stacked.
        operands = tuple(
            as_node(x) if isinstance(x, (list, tuple)) else as_operand(x) for x in operands
        )
        if not any(isinstance(x, Node) for x in operands):
            operands = (as_node(operands[0]), *operands[1:])
        made: Node = prim(*operands)
        return made

    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in operand_names(prim)]
    )
    function.__doc__ = prim.doc
    general = wrapped(prim.name, function)
    describe(f"{prim.namespace}.{prim.name}", general, prim.reference)
    count = arity(prim)
    return functools.wraps(general)(_fast(prim, count, general)) if count < 3 else general


def _fast(prim: Primitive, count: int, general: Callable[..., Any]) -> Callable[..., Any]:
    """The function of one or two operands, by the operators' short way where it can."""
    if count == 1:
        return unary(prim, general)
    two = binary(prim)

    def call_two(x: Any, y: Any, **keywords: Any) -> Any:
        if keywords:
            known, variant = variants.get(prim.name, ((), None))
            if keywords.keys() <= set(known):
                return apply(Tensor, variant, (x, y), keywords)
            return _of_numpy(prim.reference, x, y, **keywords)
        result = two(x, y) if x.__class__ is Tensor else NotImplemented
        return general(x, y) if result is NotImplemented else result

    return call_two
