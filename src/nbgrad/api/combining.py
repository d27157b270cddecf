"""``associative_scan``: all partial results of an associative operation, in logarithmically many steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

from nbgrad.api.bodies import boxed, leaves_of, names_of, nodes_of
from nbgrad.errors import need_functions
from nbgrad.tensors.tensor import Tensor
from nbgrad.tensors.top_level import find

_concatenate, _stack, _moveaxis, _flip = (
    find(name) for name in ("concatenate", "stack", "moveaxis", "flip")
)


def associative_scan(
    fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Combine *elems* along *axis* from the left: ``x0, fn(x0, x1), fn(fn(x0, x1), x2), ...``.

    As *fn* is associative, this takes about ``log2(n)`` rounds, each of which combines many pairs at a
    time, and twice as many combinations as a loop.

    Parameters
    ----------
    fn : callable
        Takes two stacks of elements, nested as *elems*, along *axis*, and combines them pair by pair.
    elems : array or tensor, or these nested in tuples, lists and dicts
        All of one extent along *axis*.
    reverse : bool
        Combine from the right instead: ``fn`` is given what is further right first.
    axis : int

    Returns
    -------
    object
        Tensors of the shapes of *elems*.

    Raises
    ------
    ValueError
        If extents differ, there is nothing to combine, or *fn* changes a shape.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.associative_scan(lambda a, b: a * b, np.array([1.0, 2.0, 3.0, 4.0]))
    tensor([ 1.,  2.,  6., 24.])
    """
    need_functions("associative_scan", fn)
    leaves, structure = leaves_of(elems)
    names = names_of(structure, "elems")
    nodes = nodes_of(leaves, names, "associative_scan")
    axis = index(axis)
    for node, name in zip(nodes, names, strict=True):
        if not -node.ndim <= axis < node.ndim:
            raise ValueError(
                f"associative_scan: {name} is {node.aval!r}, which has no axis {axis}"
            )
    extents = {n.shape[axis] for n in nodes}
    if len(extents) != 1:
        raise ValueError(
            f"associative_scan: elems have {sorted(extents)} elements along axis {axis}"
        )
    xs = [_moveaxis(Tensor(n), axis, 0) for n in nodes]
    xs = [_flip(x, 0) for x in xs] if reverse else xs

    def back(ts: Sequence[Any]) -> Any:
        return boxed(structure, [_moveaxis(t, 0, axis)._node for t in ts])

    def combine(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        first = back(a)
        given = [t.shape for t in leaves_of(first)[0]]
        leaves, made = leaves_of(fn(first, back(b)))
        result = nodes_of(leaves, names_of(made, "the result"), "associative_scan")
        shapes = [n.shape for n in result]
        if made != structure or shapes != given:
            raise ValueError(
                "associative_scan: fn must return what it is given, nested alike and of the same "
                f"shapes; it was given {given}, and returned {shapes}"
            )
        return [_moveaxis(Tensor(n), axis, 0) for n in result]

    found = _scanned(combine, xs)
    found = [_flip(x, 0) for x in found] if reverse else found
    return back(found)


def _scanned(combine: Callable[..., list[Any]], xs: Sequence[Any]) -> list[Any]:
    """Pairs are combined and scanned; what lies between them is one more combination."""
    n = xs[0].shape[0]
    if n < 2:
        return list(xs)
    odd = _scanned(combine, combine([x[0 : n - 1 : 2] for x in xs], [x[1::2] for x in xs]))
    even = combine([y[: (n - 1) // 2] for y in odd], [x[2::2] for x in xs]) if n > 2 else []
    evens = (
        [_concatenate([x[:1], y]) for x, y in zip(xs, even, strict=True)]
        if even
        else [x[:1] for x in xs]
    )
    return [_interleaved(a, b) for a, b in zip(evens, odd, strict=True)]


def _interleaved(a: Any, b: Any) -> Any:
    """a0, b0, a1, b1, ...; *a* may have one more."""
    n = b.shape[0]
    pairs = _stack([a[:n], b], 1).reshape((2 * n, *b.shape[1:]))
    return pairs if a.shape[0] == n else _concatenate([pairs, a[n:]])
