"""Nested data for users: leaves and structure, and one long array of all leaves."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.foreign import numbers_of
from nbgrad.core.nested_alike import leaves_like
from nbgrad.core.tree import LEAF, builder, is_leaf
from nbgrad.core.tree import flatten as flattened
from nbgrad.core.tree import paths as paths_of
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary import shapes
from nbgrad.vocabulary.elements import composite

IsLeaf = Callable[[Any], bool] | None
_NONE: Any = type("_NONE", (), {"__repr__": lambda _: "nothing"})()


class Structure:
    """How data is nested, without its leaves: equal for what is nested alike.

    Attributes
    ----------
    size : int
        How many leaves there are.
    paths : list of str
        How each of them is reached: ``['weights'][0]``, ``.scale``.
    """

    __slots__ = ("_held", "size")

    def __init__(self, held: Any, size: int) -> None:
        self._held, self.size = held, size

    @property
    def paths(self) -> list[str]:
        return paths_of(self._held)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Structure) and self._held == other._held

    def __hash__(self) -> int:
        return hash(self._held)

    def __repr__(self) -> str:
        made = builder(self._held)([_Star()] * self.size)
        return f"Structure({made!r})"


class _Star:
    """Stands for a leaf where a structure is shown."""

    def __repr__(self) -> str:
        return LEAF


def _leaf(given: IsLeaf) -> Callable[[Any], bool]:
    return is_leaf if given is None else lambda x: given(x) or is_leaf(x)


def flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[Any], Structure]:
    """Return the leaves of nested data, and its structure.

    Nested data are tuples, lists, dictionaries, named tuples, dataclasses, ``None`` (which has no
    leaves), and objects of classes that were registered; anything else is a leaf. Dictionaries
    give their values in the order of insertion.

    Parameters
    ----------
    tree : object
    is_leaf : callable, optional
        Takes any part; where it is true, the part is a leaf.

    Returns
    -------
    leaves : list
    structure : Structure
        Has ``size`` and ``paths``.

    Raises
    ------
    RecursionError
        If the data holds itself.

    Examples
    --------
    >>> import nbgrad as ng
    >>> leaves, structure = ng.tree.flatten({"w": [1.0, 2.0], "b": 3.0})
    >>> leaves, structure.paths
    ([1.0, 2.0, 3.0], ["['w'][0]", "['w'][1]", "['b']"])
    """
    leaves, held = flattened(tree, _leaf(is_leaf))
    return leaves, Structure(held, len(leaves))


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """Return *leaves* nested as *structure* says: the inverse of :func:`flatten`.

    Raises
    ------
    TypeError
        If *structure* is none.
    ValueError
        If there are more or fewer leaves than it has.

    Examples
    --------
    >>> import nbgrad as ng
    >>> leaves, structure = ng.tree.flatten((1.0, {"a": 2.0}))
    >>> ng.tree.unflatten(structure, [x * 10 for x in leaves])
    (10.0, {'a': 20.0})
    """
    if not isinstance(structure, Structure):
        raise TypeError(
            f"tree.unflatten takes the structure that tree.flatten returns, not a "
            f"{type(structure).__name__}"
        )
    found = list(leaves)
    if len(found) != structure.size:
        raise ValueError(
            f"tree.unflatten: {len(found)} leaves for a structure that has {structure.size}"
        )
    return builder(structure._held)(found)


def leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """Return the leaves of nested data: see :func:`flatten`.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tree.leaves([1.0, (2.0, None)])
    [1.0, 2.0]
    """
    return flattened(tree, _leaf(is_leaf))[0]


def structure(tree: Any, is_leaf: IsLeaf = None) -> Structure:
    """Return the structure of nested data: see :func:`flatten`.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tree.structure([1.0, (2.0, None)])
    Structure([*, (*, None)])
    """
    return flatten(tree, is_leaf)[1]


def map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """Return *tree* with ``f(leaf)`` in place of each leaf.

    Parameters
    ----------
    f : callable
        Takes a leaf of *tree*, and what is in its place in each of *rest*.
    tree, *rest : object
        Nested data; *rest* are nested as *tree* is, or deeper. Dictionaries match by their keys.
    is_leaf : callable, optional
        As of :func:`flatten`.

    Raises
    ------
    TypeError
        If one of *rest* is nested otherwise; the message says where.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tree.map(lambda p, g: p - 0.1 * g, {"w": 1.0, "b": 2.0}, {"b": 10.0, "w": 0.0})
    {'w': 1.0, 'b': 1.0}
    """
    first, held = flattened(tree, _leaf(is_leaf))
    others = [
        leaves_like(held, other, f"tree.map: tree {k}", "the first tree")
        for k, other in enumerate(rest, 2)
    ]
    return builder(held)([f(*each) for each in zip(first, *others, strict=True)])


def reduce(
    f: Callable[[Any, Any], Any], tree: Any, initializer: Any = _NONE, is_leaf: IsLeaf = None
) -> Any:
    """Return ``f(f(f(initializer, leaf), leaf), leaf)``, through all leaves of *tree*.

    Parameters
    ----------
    f : callable
        Takes what was found so far, and a leaf.
    tree : object
        Nested data.
    initializer : object, optional
        What to begin with; else that is the first leaf.
    is_leaf : callable, optional
        As of :func:`flatten`.

    Raises
    ------
    TypeError
        If there is neither a leaf nor *initializer*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tree.reduce(lambda total, x: total + x, {"w": [1.0, 2.0], "b": 3.0}, 0.0)
    6.0
    """
    found = [*([] if initializer is _NONE else [initializer]), *leaves(tree, is_leaf)]
    if not found:
        raise TypeError(
            "tree.reduce: no leaf, and nothing to begin with: pass a value after the tree"
        )
    return functools.reduce(f, found)


def all(tree: Any, is_leaf: IsLeaf = None) -> bool:
    """Whether all leaves of *tree* are true.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.tree.all(ng.tree.map(np.isfinite, {"w": 1.0, "b": np.inf}))
    False
    """
    return builtins.all(leaves(tree, is_leaf))


class Unravel:
    """What takes the array that :func:`ravel` makes apart again.

    Parameters
    ----------
    structure : object
    shapes : sequence of tuple of int
    dtypes : sequence of dtype
        Of the leaves.
    """

    def __init__(self, held: Any, avals: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]) -> None:
        self.held, self.avals = held, list(avals)

    @property
    def size(self) -> int:
        return sum(int(np.prod(shape, dtype=int)) for shape, _ in self.avals)

    def __call__(self, flat: Any) -> Any:
        found = flat if isinstance(flat, Tensor) else np.asarray(numbers_of(flat))
        if found.shape != (self.size,):
            raise ValueError(
                f"tree.unravel: the data has {self.size} numbers in all, and the array has shape "
                f"{found.shape}"
            )
        parts = []
        start = 0
        for shape, dtype in self.avals:
            stop = start + int(np.prod(shape, dtype=int))
            parts.append(_part(found, start, stop, shape, dtype))
            start = stop
        return builder(self.held)(parts)


def _part(flat: Any, start: int, stop: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    part = flat[start:stop].reshape(shape)
    if part.dtype.kind == "c" and dtype.kind != "c":
        raise TypeError(f"tree.unravel: complex numbers for a leaf that is {dtype}")
    if isinstance(part, Tensor):
        return part if part.dtype == dtype else Tensor(composite.astype(part._node, dtype))
    return part.astype(dtype)[()] if not shape else part.astype(dtype)


def ravel(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return all numbers of nested data as one long array, and what nests such an array again.

    Parameters
    ----------
    tree : object
        Nested data of arrays, tensors and numbers.

    Returns
    -------
    flat : ndarray or Tensor
        One axis; of the dtype that holds all leaves. A tensor if there is one among the leaves, with
        its history.
    unravel : callable
        Takes such an array, with the size of *flat*; each leaf gets its shape and dtype. Can be
        pickled.

    Raises
    ------
    TypeError
        For a leaf that makes no array of numbers; the message says where.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> flat, unravel = ng.tree.ravel({"w": np.ones((2, 2)), "b": 3.0})
    >>> flat
    array([1., 1., 1., 1., 3.])
    >>> unravel(2 * flat)["b"].item()
    6.0
    """
    held, found = _numbers(tree, "tree.ravel")
    unravel = Unravel(held, [(tuple(x.shape), x.dtype) for x in found])
    dtype = np.result_type(*(x.dtype for x in found)) if found else np.dtype(float)
    if any(isinstance(x, Tensor) for x in found):
        nodes = [x._node if isinstance(x, Tensor) else x for x in found]
        flat = [shapes.reshape(composite.astype(n, dtype), (-1,)) for n in nodes]
        return Tensor(shapes.concatenate(flat)), unravel
    flat = [x.reshape(-1).astype(dtype) for x in found]
    return np.concatenate(flat) if flat else np.zeros(0), unravel


def unravel(flat: Any, like: Any) -> Any:
    """Return the numbers of one long array nested as *like* is.

    Parameters
    ----------
    flat : array_like
        One axis, with as many elements as *like* has in all.
    like : object
        Nested data of arrays, tensors and numbers: its structure, shapes and dtypes are taken.

    Raises
    ------
    ValueError
        If *flat* has another size.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.tree.unravel([1.0, 2.0, 3.0], (0.0, np.zeros(2)))
    (np.float64(1.0), array([2., 3.]))
    """
    held, found = _numbers(like, "tree.unravel")
    return Unravel(held, [(tuple(x.shape), x.dtype) for x in found])(flat)


def _numbers(tree: Any, name: str) -> tuple[Any, list[Any]]:
    """The structure of *tree*, and its leaves as arrays and tensors."""
    given, held = flattened(tree)
    found = []
    for x, path in zip(given, paths_of(held), strict=True):
        made = x if isinstance(x, Tensor) else np.asarray(numbers_of(x))
        if made.dtype.kind not in "biufc":
            raise TypeError(f"{name}: leaf {path or 'tree'} is a {type(x).__name__}, not numbers")
        found.append(made)
    return held, found


__all__ = [
    "Structure", "all", "flatten", "leaves", "map", "ravel", "reduce", "structure",
    "unflatten", "unravel",
]  # fmt: skip
