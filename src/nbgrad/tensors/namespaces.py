"""Namespaces: the functions that the registry holds, wrapped for tensors and arrays."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.node import Node
from nbgrad.core.operands import as_operand
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import by_reference, functions, objects, primitives, variants
from nbgrad.ops.kinds.elementwise import arity, operand_names
from nbgrad.tensors.describe import describe
from nbgrad.tensors.dispatch import binary, unary
from nbgrad.tensors.protocols import apply, wrap
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.shapes import as_node

_wrapped: dict[tuple[str, str], Any] = {}
KEYWORD = inspect.Parameter.KEYWORD_ONLY
# PyTorch's word for a setting, and NumPy's.
WORDS = {"dim": "axis", "keepdim": "keepdims", "n": "N", "m": "M"}
SETTINGS = frozenset({int, float, complex, bool, str, type, type(None), Node})


def public(namespace: str) -> dict[str, Any]:
    """Every function that *namespace* holds so far, wrapped for tensors and arrays."""
    names = {p.name for p in primitives.values() if p.public and p.namespace == namespace}
    names |= {*functions.get(namespace, {}), *objects.get(namespace, {})}
    return {name: find(namespace, name) for name in sorted(names)}


def find(namespace: str, name: str) -> Any:
    """Return the public function, or None if nobody has declared it."""
    held = objects.get(namespace, {}).get(name) or _wrapped.get((namespace, name))
    if held is not None:
        return held
    declared = functions.get(namespace, {}).get(name)
    prim = primitives.get(name)
    if declared is not None:
        made = wrapped(name, declared.implementation)
        made = with_requires_grad(made, declared.makes == "like") if declared.makes else made
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


def in_words_of(function: Callable[..., Any], settings: dict[str, Any]) -> dict[str, Any]:
    """*settings* with PyTorch's words replaced by NumPy's where *function* has those."""
    if not any(word in settings for word in WORDS):
        return settings
    known = inspect.signature(function).parameters
    return {
        WORDS[key] if key not in known and WORDS.get(key) in known else key: value
        for key, value in settings.items()
    }


def with_requires_grad(make: Callable[..., Any], like: bool) -> Callable[..., Any]:
    """Let a function that makes tensors take ``requires_grad=``: the result is a leaf, then.

    *like*: its first operand may be a tensor, of which it reads no number.
    """
    function = inspect.unwrap(make)

    @functools.wraps(make)
    def call(*args: Any, requires_grad: bool = False, **kwargs: Any) -> Any:
        given = args
        if like and args and args[0].__class__ is Tensor:
            given = (args[0]._node, *args[1:])
        plain = True
        for x in given:
            if x.__class__ not in SETTINGS and not _plain(x):
                plain = False
                break
        for name, x in kwargs.items() if kwargs else ():
            if name in WORDS or (x.__class__ not in SETTINGS and not _plain(x)):
                plain = False
                break
        if plain:
            made = function(*given, **kwargs)
            made = Tensor(made) if made.__class__ is Node else wrap(made, Tensor)
        else:
            made = make(*args, **kwargs)
        return made.requires_grad_() if requires_grad and not made.requires_grad else made

    signature = inspect.signature(function)
    flag = inspect.Parameter("requires_grad", KEYWORD, default=False, annotation="bool")
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), flag]
    )
    return call


def _plain(x: Any) -> bool:
    """Whether an argument is a setting or a number, or a shape of integers: there are no tensors."""
    if x.__class__ is tuple or x.__class__ is list:
        for item in x:
            if item.__class__ is not int:
                break
        else:
            return True
    return x.__class__ in SETTINGS or isinstance(x, (type, np.dtype))


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
