"""Methods of tensors that write at indices, as PyTorch spells them: out of place, and with ``_``.

``x.index_add(0, index, source)`` makes a new tensor; ``x.index_add_(0, index, source)`` binds ``x``
to it, as any method of a tensor's own shape with an underscore does.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.arrays import indexing
from nbgrad.ops.elements import selection
from nbgrad.vocabulary.arrays.picking import bounded, known
from nbgrad.vocabulary.arrays.rearranging import along
from nbgrad.vocabulary.declare import function
from nbgrad.vocabulary.reductions import plain
from nbgrad.vocabulary.shapes import as_node, broadcast_to, cast_to, moveaxis, one_axis, reshape
from nbgrad.vocabulary.subscript import getitem
from nbgrad.vocabulary.support import concrete, held


def _positions(name: str, x: Node, dim: int, index: Any) -> Node:
    """Positions in the flattened *x* of the places that *index* names along *dim*.

    *index* has as many dimensions as *x*, and elsewhere at most its extents.
    """
    k, places = one_axis(name, dim, max(x.ndim, 1)), known(index)
    if places.ndim != x.ndim:
        raise ValueError(
            f"{name}: index has {places.ndim} dimensions and the tensor {x.ndim}; give them the "
            "same number"
        )
    if any(n > m for j, (n, m) in enumerate(zip(places.shape, x.shape, strict=True)) if j != k):
        raise ValueError(
            f"{name}: index of shape {places.shape} is larger than the tensor of shape {x.shape} "
            f"in a dimension other than {k}"
        )
    if not x.ndim:
        return held(bounded(name, places, 1)) if places.__class__ is not Node else places
    places = bounded(name, places, x.shape[k])
    base: Any = np.zeros((1,) * x.ndim, np.intp)
    for j, n in enumerate(places.shape):
        if j != k:
            shape = [1] * x.ndim
            shape[j] = n
            base = base + math.prod(x.shape[j + 1 :]) * np.arange(n).reshape(shape)
    found = base + places * math.prod(x.shape[k + 1 :])
    if places.__class__ is Node:  # an index out of range reaches the operation, which reports it
        return selection.where(places < x.shape[k], found, math.prod(x.shape))
    return held(found)


def _source(name: str, x: Node, index: Node, src: Any) -> Node:
    """What is written at *index*: a number, or as much of *src* as *index* names."""
    given = as_node(src)
    if not given.ndim:
        return broadcast_to(cast_to(name, given, x.dtype, "same_kind"), index.shape)
    if given.ndim != index.ndim:
        raise ValueError(f"{name}: src has {given.ndim} dimensions and index {index.ndim}")
    window = tuple(slice(0, n) for n in index.shape)
    return cast_to(name, getitem(given, window), x.dtype, "same_kind")


def _flat(x: Node) -> Node:
    return reshape(x, (-1,))


@function("tensor", method=True)
def scatter(x: Node, dim: int, index: Any, src: Any = None, *, value: Any = None) -> Node:
    """The tensor with the elements of *src* (or a number) at the places *index* names along *dim*.

    Of equal places the last wins.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).scatter(0, np.array([2, 0]), ng.tensor([7.0, 8.0]))
    tensor([8., 2., 7.])
    """
    places = _positions("scatter", x, dim, index)
    new = _source("scatter", x, places, value if src is None else src)
    return reshape(indexing.put(_flat(x), _flat(places), _flat(new)), x.shape)


@function("tensor", method=True)
def scatter_add(x: Node, dim: int, index: Any, src: Any) -> Node:
    """The tensor with the elements of *src* added at the places *index* names along *dim*.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).scatter_add(0, np.array([2, 2]), ng.tensor([7.0, 8.0]))
    tensor([ 1.,  2., 18.])
    """
    places = _positions("scatter_add", x, dim, index)
    new = _source("scatter_add", x, places, src)
    added = indexing.scatter_add(_flat(new), _flat(places), size=x.size)
    return x + reshape(added, x.shape)


def _rows(name: str, x: Node, dim: int, index: Any) -> tuple[Node, int, Node]:
    """The tensor with *dim* in front, which that was, and the places along it."""
    k = one_axis(name, dim, max(x.ndim, 1))
    places = bounded(name, known(index), x.shape[k] if x.ndim else 1)
    node = places if places.__class__ is Node else held(np.reshape(places, -1))
    front = moveaxis(x, k, 0) if x.ndim else _flat(x)
    return front, k, reshape(node, (-1,))


def _back(made: Node, k: int, x: Node) -> Node:
    return moveaxis(made, 0, k) if x.ndim else reshape(made, ())


def _slices(name: str, x: Node, k: int, source: Any, count: int) -> Node:
    """*count* slices along dimension *k*, with that in front."""
    given = cast_to(name, as_node(source), x.dtype, "same_kind")
    if not x.ndim:
        return reshape(given, (-1,))
    shape = (*x.shape[:k], count, *x.shape[k + 1 :])
    if given.shape != shape:
        raise ValueError(f"{name}: source has shape {given.shape}; give it shape {shape}")
    return moveaxis(given, k, 0)


@function("tensor", method=True)
def index_add(x: Node, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Node:
    """The tensor with *alpha* times the slices of *source* added to those at *index* along *dim*.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).index_add(0, np.array([0, 0]), ng.tensor([7.0, 8.0]))
    tensor([16.,  2.,  3.])
    """
    front, k, places = _rows("index_add", x, dim, index)
    new = _slices("index_add", x, k, source, places.size)
    added = indexing.scatter_add(new if alpha == 1 else new * alpha, places, size=front.shape[0])
    return _back(front + added, k, x)


@function("tensor", method=True)
def index_copy(x: Node, dim: int, index: Any, source: Any) -> Node:
    """The tensor with the slices at *index* along *dim* replaced by those of *source*.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).index_copy(0, np.array([2, 0]), ng.tensor([7.0, 8.0]))
    tensor([8., 2., 7.])
    """
    front, k, places = _rows("index_copy", x, dim, index)
    new = _slices("index_copy", x, k, source, places.size)
    return _back(indexing.put(front, places, new), k, x)


@function("tensor", method=True)
def index_fill(x: Node, dim: int, index: Any, value: Any) -> Node:
    """The tensor with the slices at *index* along *dim* filled with a number.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).index_fill(0, np.array([2, 0]), -1.0)
    tensor([-1.,  2., -1.])
    """
    front, k, places = _rows("index_fill", x, dim, index)
    given = cast_to("index_fill", as_node(value), x.dtype, "same_kind")
    if given.ndim:
        raise ValueError(f"index_fill: value must be a number, not of shape {given.shape}")
    new = broadcast_to(given, (places.size, *front.shape[1:]))
    return _back(indexing.put(front, places, new), k, x)


@function("tensor", method=True, traceable=False)
def masked_scatter(x: Node, mask: Any, source: Any) -> Node:
    """The tensor with the first elements of *source* where *mask* holds.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([1.0, 2.0, 3.0])
    >>> x.masked_scatter(x > 1, ng.tensor([7.0, 8.0]))
    tensor([1., 7., 8.])
    """
    chosen = np.broadcast_to(concrete(mask), x.shape)
    places = np.flatnonzero(chosen)
    given = _flat(cast_to("masked_scatter", as_node(source), x.dtype, "same_kind"))
    if given.size < places.size:
        raise ValueError(
            f"masked_scatter: source has {given.size} elements for {places.size} places"
        )
    new = getitem(given, slice(0, places.size))
    return reshape(indexing.put(_flat(x), held(places), new), x.shape)


@function("tensor", method=True, view=True)
def select(x: Node, dim: int, index: int) -> Node:
    """The slice number *index* along *dim*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([[1.0, 2.0], [3.0, 4.0]]).select(1, 0)
    tensor([1., 3.])
    """
    return getitem(x, along(one_axis("select", dim, x.ndim), index))


@function("tensor", method=True, view=True)
def split_with_sizes(x: Node, split_sizes: Any, dim: int = 0) -> tuple[Node, ...]:
    """Parts along *dim*, of the sizes given.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).split_with_sizes([1, 2])
    (tensor([1.]), tensor([2., 3.]))
    """
    k, sizes = one_axis("split_with_sizes", dim, x.ndim), [int(n) for n in split_sizes]
    if sum(sizes) != x.shape[k] or min(sizes, default=0) < 0:
        raise ValueError(
            f"split_with_sizes: sizes {sizes} do not add up to {x.shape[k]}, the extent of "
            f"dimension {k}"
        )
    ends = np.cumsum([0, *sizes]).tolist()
    return tuple(getitem(x, along(k, slice(a, b))) for a, b in itertools.pairwise(ends))


@function("tensor", method=True)
def unsafe_split(x: Node, split_size: Any, dim: int = 0) -> tuple[Node, ...]:
    """Parts of *split_size* along *dim*, the last perhaps smaller; or of the sizes in a list.

    This is PyTorch's ``split``: NumPy's, which tensors have under that name, takes the number of
    parts. The parts are no views.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).unsafe_split(2)
    (tensor([1., 2.]), tensor([3.]))
    """
    if isinstance(split_size, (tuple, list)):
        return split_with_sizes(x, split_size, dim)  # type: ignore[no-any-return]
    k = one_axis("unsafe_split", dim, x.ndim)
    n = x.shape[k]
    if split_size < 1:
        raise ValueError(f"unsafe_split: split_size must be positive, not {split_size}")
    return tuple(
        getitem(x, along(k, slice(j, j + split_size))) for j in range(0, max(n, 1), split_size)
    )


@function("tensor", method=True)
def var_mean(
    x: Node, dim: Any = None, *, correction: float = 1, keepdim: bool = False
) -> tuple[Node, Node]:
    """The variance, of *correction* degrees of freedom less as in PyTorch, and the mean.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).var_mean()
    (tensor(1.), tensor(2.))
    """
    return _moments(x, dim, correction, keepdim, root=False)


@function("tensor", method=True)
def std_mean(
    x: Node, dim: Any = None, *, correction: float = 1, keepdim: bool = False
) -> tuple[Node, Node]:
    """The standard deviation, of *correction* degrees of freedom less, and the mean.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).std_mean()
    (tensor(1.), tensor(2.))
    """
    return _moments(x, dim, correction, keepdim, root=True)


def _moments(x: Any, dim: Any, correction: float, keepdim: bool, root: bool) -> tuple[Node, Node]:
    node = as_node(x)
    axis = tuple(dim) if isinstance(dim, list) else dim
    spread = (plain.std if root else plain.var)(node, axis=axis, ddof=correction, keepdims=keepdim)
    return spread, plain.mean(node, axis=axis, keepdims=keepdim)


@function("tensor", method=True, differentiable=False, makes=("x",), like=True)
def new_zeros(x: Node, *size: Any, dtype: Any = None) -> Node:
    """Zeros of *size* in the tensor's dtype.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0], dtype=ng.float32).new_zeros(2)
    tensor([0., 0.], dtype=float32)
    """
    return held(np.zeros(_shape(size), x.dtype if dtype is None else dtype))


@function("tensor", method=True, differentiable=False, makes=("x",), like=True)
def new_ones(x: Node, *size: Any, dtype: Any = None) -> Node:
    """Ones of *size* in the tensor's dtype.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0]).new_ones((2, 2))
    tensor([[1., 1.],
            [1., 1.]])
    """
    return held(np.ones(_shape(size), x.dtype if dtype is None else dtype))


@function("tensor", method=True, differentiable=False, makes=("x", "fill_value"), like=True)
def new_full(x: Node, size: Any, fill_value: Any, dtype: Any = None) -> Node:
    """An array of *size* filled with a number, in the tensor's dtype.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0]).new_full((2,), 7.0)
    tensor([7., 7.])
    """
    return held(np.full(size, fill_value, x.dtype if dtype is None else dtype))


@function("tensor", method=True, differentiable=False, makes=("x", "data"), like=True)
def new_tensor(x: Node, data: Any, dtype: Any = None) -> Node:
    """A copy of *data* in the tensor's dtype.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0]).new_tensor([3, 4])
    tensor([3., 4.])
    """
    return held(np.array(concrete(data), x.dtype if dtype is None else dtype))


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    first = size[0] if size else ()
    return tuple(first) if isinstance(first, (tuple, list)) else size
