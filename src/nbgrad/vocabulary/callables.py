"""Functions that take functions. Those get tensors, and are called once for each piece.

Each call records its operations: for long arrays write the function for arrays instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import broadcast_shapes
from nbgrad.core.boxes import Tensor, box
from nbgrad.core.node import Node
from nbgrad.core.operands import unwrap
from nbgrad.ops.elements import selection
from nbgrad.vocabulary.arrays.making import converted
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.shapes import (
    as_node,
    broadcast_to,
    cast_to,
    expand_dims,
    moveaxis,
    one_axis,
    reshape,
    stack,
)
from nbgrad.vocabulary.subscript import getitem
from nbgrad.vocabulary.support import boxed


def called(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Result of a user's function of tensors, as nodes."""
    return unwrap(f(*(boxed(a) for a in args), **wrap_values(kwargs)))


def wrap_values(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The same dict with tensors for nodes."""
    return {key: boxed(value) for key, value in kwargs.items()}


@function(
    "numpy",
    np.piecewise,
    cases=lambda d: [
        call(d.real(4), [np.array([True, False, True, False])], [lambda v: v * v, 3]),
        call(d(3), d.booleans(3), [lambda v, s: v * s], 2.0),
    ],
    complex=True,
)
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Node:
    """For each element, the function of the last condition that holds, in the dtype of *x*.

    The functions must be elementwise: each is applied to all of *x*, and its gradient is exactly
    zero where its condition does not hold. A last function without a condition takes the rest.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([-1.0, 0.5, 2.0])
    >>> ng.piecewise(x, [x < 0, x >= 0], [lambda x: -x, lambda x: x * x])
    tensor([1.  , 0.25, 4.  ])
    """
    node = as_node(x)
    conditions = _conditions(condlist, node)
    if len(funclist) not in (len(conditions), len(conditions) + 1):
        raise ValueError(
            f"piecewise: with {len(conditions)} condition(s), either {len(conditions)} or "
            f"{len(conditions) + 1} functions are expected"
        )
    out = as_node(np.zeros(node.shape, node.dtype))
    if len(funclist) > len(conditions):
        out = _branch(funclist[-1], node, args, kw)
    for condition, f in zip(conditions, funclist, strict=False):
        out = selection.where(condition, _branch(f, node, args, kw), out)
    return out


def _conditions(condlist: Any, x: Node) -> list[Any]:
    """The conditions, one for each function; a single one may stand without a list."""
    if isinstance(condlist, (list, tuple)) and len(condlist):
        single = np.ndim(condlist[0]) == 0 if condlist[0].__class__ is not Node else False
        return [converted(condlist, bool)] if single and x.ndim else [*condlist]
    stacked = as_node(condlist)
    if stacked.ndim > x.ndim:
        return [getitem(stacked, k) for k in range(stacked.shape[0])]
    return [stacked]


def _branch(f: Any, x: Node, args: Any, kw: Any) -> Node:
    value = called(f, x, *args, **kw) if callable(f) else f
    return broadcast_to(cast_to("piecewise", as_node(value), x.dtype), x.shape)


@function(
    "numpy",
    np.apply_along_axis,
    cases=lambda d: [
        call(lambda v: v.sum(), 0, d(2, 3)),
        call(lambda v: v[:2] * v[-1], -1, d(2, 3)),
    ],
    complex=True,
)
def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Node:
    """*func1d* of each line along *axis*; its results take the place of the line.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.apply_along_axis(lambda row: row.sum(), 1, [[1.0, 2.0], [3.0, 4.0]])
    tensor([3., 7.])
    """
    node = as_node(arr)
    k = one_axis("apply_along_axis", axis, node.ndim)
    moved = moveaxis(node, k, -1)
    lead = moved.shape[:-1]
    if 0 in lead:
        raise ValueError("apply_along_axis: cannot apply when any iteration dimensions are 0")
    lines = [getitem(moved, place) for place in np.ndindex(*lead)]
    found = [converted(called(func1d, line, *args, **kwargs)) for line in lines]
    out = stack(found)
    out = reshape(out, lead + out.shape[1:])
    inner = tuple(range(len(lead), out.ndim))
    return moveaxis(out, inner, tuple(k + j for j in range(len(inner))))


@function(
    "numpy",
    np.apply_over_axes,
    cases=lambda d: [call(lambda v, axis: v.sum(axis), d(2, 3, 2), (0, -1))],
    complex=True,
)
def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Node:
    """*func(a, axis)* over several axes in turn; those it removes come back with size 1.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.apply_over_axes(ng.sum, [[1.0, 2.0], [3.0, 4.0]], 0)
    tensor([[4., 6.]])
    """
    node = as_node(a)
    ndim = node.ndim
    for axis in np.atleast_1d(axes).tolist():
        k = one_axis("apply_over_axes", axis, ndim)
        found = converted(called(func, node, k))
        if found.ndim == node.ndim - 1:
            found = expand_dims(found, k)
        if found.ndim != ndim:
            raise ValueError(
                "apply_over_axes: function is not returning an array of the correct shape"
            )
        node = found
    return node


class Vectorized:
    """A function of numbers, called for each element of broadcast arrays: see vectorize."""

    def __init__(
        self, pyfunc: Any, otypes: Any, doc: str | None, excluded: Any, signature: str | None
    ) -> None:
        self.pyfunc = pyfunc
        self.otypes = _typecodes(otypes)
        self.excluded = set(excluded or ())
        self.signature = signature
        self.__name__ = getattr(pyfunc, "__name__", "vectorized")
        self.__doc__ = doc or pyfunc.__doc__
        self.core = _core(signature) if signature else None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = {**dict(enumerate(args)), **kwargs}
        arrays = {k: converted(unwrap(v)) for k, v in given.items() if k not in self.excluded}
        found = [self._piece(given, pieces) for pieces in self._pieces(arrays)]
        if not found:
            raise ValueError("cannot call `vectorize` on size 0 inputs; there is nothing to call")
        lead = self._lead(arrays)
        if isinstance(found[0], tuple):
            columns = list(zip(*found, strict=True))
            return tuple(self._assembled(c, lead, k) for k, c in enumerate(columns))
        return self._assembled(found, lead, 0)

    def _lead(self, arrays: dict[Any, Node]) -> tuple[int, ...]:
        return broadcast_shapes(
            "vectorize", (), *(self._split(k, a)[0] for k, a in arrays.items())
        )

    def _split(self, key: Any, x: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shape of *x* over which calls repeat, and the shape that each call gets."""
        core = self.core[key] if self.core and isinstance(key, int) else 0
        if x.ndim < core:
            raise ValueError(f"vectorize: argument {key} needs {core} dimensions, has {x.ndim}")
        return x.shape[: x.ndim - core], x.shape[x.ndim - core :]

    def _pieces(self, arrays: dict[Any, Node]) -> Iterator[dict[Any, Node]]:
        lead = self._lead(arrays)
        wide = {k: broadcast_to(a, lead + self._split(k, a)[1]) for k, a in arrays.items()}
        for place in np.ndindex(*lead):
            yield {k: getitem(a, place) for k, a in wide.items()}

    def _piece(self, given: dict[Any, Any], pieces: dict[Any, Node]) -> Any:
        values = {k: boxed(pieces[k]) if k in pieces else v for k, v in given.items()}
        positional = [values[k] for k in sorted(k for k in values if isinstance(k, int))]
        named = {k: v for k, v in values.items() if isinstance(k, str)}
        return unwrap(self.pyfunc(*positional, **named))

    def _assembled(self, results: Any, lead: tuple[int, ...], k: int) -> Tensor:
        out = stack([converted(r) for r in results])
        if self.otypes:
            out = cast_to("vectorize", out, self.otypes[k])
        return box(reshape(out, lead + out.shape[1:]))


def _typecodes(otypes: Any) -> list[np.dtype[Any]]:
    return [np.dtype(code) for code in otypes] if otypes is not None else []


def _core(signature: str) -> list[int]:
    """Numbers of core dimensions of the arguments of a signature such as ``(m,n),(n)->(m)``."""
    inputs, arrow, _ = signature.replace(" ", "").partition("->")
    if not arrow:
        raise ValueError(f"vectorize: not a valid gufunc signature: {signature}")
    groups = inputs[1:-1].split("),(")
    return [len([name for name in group.split(",") if name]) for group in groups]


def vectorize(
    pyfunc: Any = None,
    otypes: Any = None,
    doc: str | None = None,
    excluded: Any = None,
    cache: bool = False,
    signature: str | None = None,
) -> Any:
    """Make a function of numbers one of arrays, which are broadcast; also a decorator.

    The function is called with 0-d tensors, once for each element, so it may branch on values.
    What is made of array functions alone needs no vectorize, and is far faster without.

    Examples
    --------
    >>> import nbgrad.numpy as np
    >>> f = np.vectorize(lambda x: x * x if x > 0 else -x)
    >>> f(np.array([3.0, -2.0]))
    tensor([9., 2.])
    """
    if pyfunc is None:
        return lambda f: Vectorized(f, otypes, doc, excluded, signature)
    if not callable(pyfunc):
        raise TypeError(f"vectorize: pyfunc must be callable, not {pyfunc!r}")
    return Vectorized(pyfunc, otypes, doc, excluded, signature)


function("numpy", "numpy.vectorize")(vectorize)


@function("numpy", "numpy.ndenumerate")
def ndenumerate(arr: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Pairs of an index and the element there.

    Examples
    --------
    >>> import nbgrad as ng
    >>> [(index, float(x)) for index, x in ng.ndenumerate(ng.tensor([4.0, 5.0]))]
    [((0,), 4.0), ((1,), 5.0)]
    """
    node = converted(arr)
    return ((place, box(getitem(node, place))) for place in np.ndindex(*node.shape))


@function("numpy", "numpy.ndindex")
def ndindex(*shape: Any) -> Iterator[tuple[int, ...]]:
    """The indices of an array of *shape*, the last changing fastest.

    Examples
    --------
    >>> import nbgrad as ng
    >>> list(ng.ndindex(1, 2))
    [(0, 0), (0, 1)]
    """
    return np.ndindex(*shape)
