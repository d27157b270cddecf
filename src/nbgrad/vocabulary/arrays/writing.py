"""Functions that write into an array: their result takes the place of a tensor's value.

Views of the tensor see that, and what it is a view of, as they see ``x[i] = v``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.arrays import indexing
from nbgrad.ops.elements import selection
from nbgrad.vocabulary.arrays.picking import bounded, known, positions_along
from nbgrad.vocabulary.arrays.rearranging import resize
from nbgrad.vocabulary.declare import function
from nbgrad.vocabulary.shapes import as_node, broadcast_to, cast_to, one_axis, reshape
from nbgrad.vocabulary.support import concrete, held


def _written(node: Node, places: Any, values: Any) -> Node:
    """*node* with *values*, repeated as often as needed, at *places* of the flattened array."""
    new = reshape(as_node(values), (-1,))
    if not places.size or not new.size:
        return node
    new = resize(new, places.size) if new.size != places.size else new
    where = reshape(places, (-1,)) if places.__class__ is Node else held(places.reshape(-1))
    flat = indexing.put(reshape(node, (-1,)), where, cast_to("put", new, node.dtype))
    return reshape(flat, node.shape)


@function("numpy", np.put, writes=True, method=True)
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> Node:
    """``a.flat[ind] = v``, with *v* repeated as often as needed.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.zeros(4)
    >>> ng.put(x, [0, 2], [5.0, 6.0])
    >>> x
    tensor([5., 0., 6., 0.])
    """
    node = as_node(a)
    return _written(node, bounded("put", known(ind), node.size, mode), v)


@function("numpy", np.place, writes=True)
def place(arr: Any, mask: Any, vals: Any) -> Node:
    """``arr[mask] = vals``, using the first of *vals*, repeated as often as needed.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([1.0, -2.0, -3.0])
    >>> ng.place(x, [False, True, True], [0.0])
    >>> x
    tensor([1., 0., 0.])
    """
    node = as_node(arr)
    chosen = concrete(mask)
    if chosen.size != node.size:
        raise ValueError(f"place: mask of shape {chosen.shape} and data of shape {node.shape}")
    places = np.flatnonzero(chosen)
    if places.size and not as_node(vals).size:
        raise ValueError("place: cannot insert from an empty array")
    return _written(node, places, vals)


@function("numpy", np.putmask, writes=True)
def putmask(a: Any, /, mask: Any, values: Any) -> Node:
    """``a.flat[n] = values[n]`` for each n where *mask* holds; *values* repeat if they are short.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([1.0, -2.0, 3.0])
    >>> ng.putmask(x, [False, True, False], 0.0)
    >>> x
    tensor([1., 0., 3.])
    """
    node = as_node(a)
    new = cast_to("putmask", as_node(values), node.dtype, "same_kind")
    chosen = as_node(mask)
    if chosen.size != node.size:
        raise ValueError(f"putmask: mask of shape {chosen.shape} and data of shape {node.shape}")
    if not new.size:
        return node
    return selection.where(reshape(chosen, node.shape), resize(new, node.shape), node)


@function("numpy", np.copyto, writes=True)
def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> Node:
    """Copy *src* into *dst* where *where* holds.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.zeros(3)
    >>> ng.copyto(x, [1.0, 2.0, 3.0], where=[True, False, True])
    >>> x
    tensor([1., 0., 3.])
    """
    node = as_node(dst)
    given = src if src.__class__ in (int, float, complex) else as_node(src)
    if given.__class__ is not Node:
        given = as_node(np.asarray(given, np.result_type(node.dtype, given)))
    new = broadcast_to(cast_to("copyto", given, node.dtype, casting), node.shape)
    # Through ``where`` also if all is copied: a leaf that is tracked must not be written.
    return selection.where(broadcast_to(where, node.shape), new, node)


@function("numpy", np.put_along_axis, writes=True)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> Node:
    """Write *values* at the *indices* along *axis*, for each line its own.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([[1.0, 5.0], [7.0, 2.0]])
    >>> ng.put_along_axis(x, x.argmax(axis=1, keepdims=True), 0.0, axis=1)
    >>> x
    tensor([[1., 0.],
            [0., 2.]])
    """
    node = as_node(arr)
    flat = node
    if axis is None:
        flat, axis = reshape(node, (-1,)), 0
    k = one_axis("put_along_axis", axis, flat.ndim)
    places = positions_along("put_along_axis", indices, flat.shape, k)
    new = broadcast_to(as_node(values), places.shape)
    return _written(node, places, new)


@function("numpy", np.fill_diagonal, writes=True)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> Node:
    """Write *val*, repeated as often as needed, to the main diagonal.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.ones((2, 2))
    >>> ng.fill_diagonal(x, 0.0)
    >>> x
    tensor([[0., 1.],
            [1., 0.]])
    """
    node = as_node(a)
    if node.ndim < 2:
        raise ValueError("fill_diagonal: array must be at least 2-d")
    end = None
    if node.ndim == 2:
        step = node.shape[1] + 1
        end = None if wrap else node.shape[1] * node.shape[1]
    else:
        if len(set(node.shape)) != 1:
            raise ValueError("fill_diagonal: all dimensions of input must be of equal length")
        step = 1 + int(np.cumprod(node.shape[:-1]).sum())
    return _written(node, np.arange(node.size)[:end:step], val)
