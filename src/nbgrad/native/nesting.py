"""Arguments and results of a compiled function: nests of arrays and numbers, and the words that describe them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.memory import host
from nbgrad.core.values import value_of
from nbgrad.machine.called import Leaf, Nest, Tree
from nbgrad.program.values import CODES
from nbgrad.tensors.tensor import Tensor

NUMBERS = (int, float, np.generic)


def plain(x: Any, name: str) -> Any:
    """An example argument as arrays, numbers and tuples.

    Raises
    ------
    TypeError
        For what compiled code has no type of.
    """
    if isinstance(x, Tensor):
        x = np.asarray(host(value_of(x._node)))
    if isinstance(x, tuple):
        parts = [plain(part, f"{name}[{k}]") for k, part in enumerate(x)]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    if isinstance(x, np.ndarray):
        x = np.asarray(x)
        if x.dtype.kind in "biuf" and x.dtype.isnative:
            return np.ascontiguousarray(x).reshape(x.shape)
    elif isinstance(x, NUMBERS) and not isinstance(x, np.complexfloating):
        return x
    kind = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else f"a {type(x).__qualname__}"
    raise TypeError(
        f"compile: argument {name} is {kind}: it takes arrays of real numbers, numbers, and tuples and "
        "named tuples of them; bind the rest by functools.partial"
    )


def names_of(f: Callable[..., Any], args: Sequence[Any]) -> list[str]:
    """The names of positional arguments, for messages."""
    try:
        bound = inspect.signature(f).bind(*args).arguments
    except (TypeError, ValueError):
        return [f"{k}" for k in range(len(args))]
    names: list[str] = []
    for name, value in bound.items():
        several = isinstance(value, tuple) and value is not args[len(names)]
        names += [f"{name}[{k}]" for k in range(len(value))] if several else [name]
    return names


class Words:
    """The words of a descriptor, as they are asked for."""

    def __init__(self, head: int) -> None:
        self.words = [0] * head

    def add(self, *values: int) -> int:
        """Where *values* stand from now on."""
        self.words += values
        return len(self.words) - len(values)


def params_of(
    args: Sequence[Any], names: Sequence[str], avals: Iterator[Aval | None], words: Words
) -> Nest:
    """What the arguments are like; *avals* of the leaves in order, None of a setting."""

    def tree(x: Any, name: str) -> Tree:
        if isinstance(x, tuple):
            parts = tuple([tree(part, f"{name}[{k}]") for k, part in enumerate(x)])
            return Nest(parts, type(x) if hasattr(x, "_fields") else None)
        aval = next(avals)
        if aval is None:
            return Leaf(name, "i8", 0, words.add(int(x)), True)
        return Leaf(name, CODES[aval.dtype], aval.ndim, words.add(*aval.shape))

    return Nest(tuple([tree(x, name) for x, name in zip(args, names, strict=True)]))


def results_of(made: Any, kind: str, words: Words) -> Tree:
    """What the results are like: *made* has an aval in the place of each array."""

    def tree(x: Any, name: str) -> Tree:
        if isinstance(x, Aval):
            if x.dtype.kind not in "biuf":
                raise TypeError(
                    f"compile: the result {name} is of {x.dtype}: it gives real numbers"
                )
            return Leaf(name, CODES[x.dtype], x.ndim, words.add(*x.shape))
        if isinstance(x, (tuple, list)):
            parts = tuple([tree(part, f"{name}[{k}]") for k, part in enumerate(x)])
            return Nest(parts, type(x) if hasattr(x, "_fields") else None)
        raise TypeError(
            f"compile: the result {name} is a {type(x).__qualname__}: it gives arrays, numbers and tuples"
        )

    return tree(made, kind)


def taken(tree: Tree, value: Any) -> Iterator[tuple[Leaf, Any]]:
    """Each leaf of *tree*, and what *value* has there.

    Raises
    ------
    TypeError
        If it is nested otherwise.
    """
    if isinstance(tree, Leaf):
        yield tree, value
        return
    if not isinstance(value, tuple) or len(value) != len(tree.parts):
        raise TypeError(f"a tuple of {len(tree.parts)} is needed, and this is {value!r:.60}")
    for part, each in zip(tree.parts, value, strict=True):
        yield from taken(part, each)


def nested(tree: Tree, leaves: Iterator[Any]) -> Any:
    """*leaves* nested as *tree* is."""
    if isinstance(tree, Leaf):
        return next(leaves)
    parts = [nested(part, leaves) for part in tree.parts]
    return tuple(parts) if tree.kind is None else tree.kind(*parts)
