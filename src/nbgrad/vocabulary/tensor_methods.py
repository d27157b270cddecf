"""Methods of tensors that are no function of NumPy: PyTorch's names, and compress.

Their namespace, ``tensor``, is no module: ``method=True`` alone makes them reachable.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.node import Node
from nbgrad.ops.elements import selection
from nbgrad.vocabulary.arrays import picking
from nbgrad.vocabulary.arrays.joining import unstack
from nbgrad.vocabulary.arrays.rearranging import along
from nbgrad.vocabulary.declare import function
from nbgrad.vocabulary.elements import composite
from nbgrad.vocabulary.shapes import as_node, broadcast_to, moveaxis, one_axis, reshape, transpose
from nbgrad.vocabulary.subscript import getitem
from nbgrad.vocabulary.support import concrete


@function("tensor", method=True)
def compress(a: Node, condition: Any, axis: int | None = None, out: None = None) -> Node:
    """The slices along *axis* where the 1-d *condition* holds.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).compress([True, False, True])
    tensor([1., 3.])
    """
    return picking.compress(condition, a, axis, out)


@function("tensor", method=True, view=True)
def chunk(x: Node, chunks: int, dim: int = 0) -> tuple[Node, ...]:
    """At most *chunks* parts along *dim*, all of one size but the last.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).chunk(2)
    (tensor([1., 2.]), tensor([3.]))
    """
    if chunks < 1:
        raise ValueError(f"chunk: the number of chunks must be positive, not {chunks}")
    k = one_axis("chunk", dim, x.ndim)
    n = x.shape[k]
    size = max(-(-n // chunks), 1)
    return tuple(getitem(x, along(k, slice(j, j + size))) for j in range(0, max(n, 1), size))


@function("tensor", method=True, view=True)
def unbind(x: Node, dim: int = 0) -> tuple[Node, ...]:
    """The slices along *dim*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([[1.0, 2.0], [3.0, 4.0]]).unbind()
    (tensor([1., 2.]), tensor([3., 4.]))
    """
    return unstack(x, axis=dim)


@function("tensor", method=True, view=True)
def narrow(x: Node, dim: int, start: int, length: int) -> Node:
    """*length* slices along *dim* from *start* on.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).narrow(0, 1, 2)
    tensor([2., 3.])
    """
    k = one_axis("narrow", dim, x.ndim)
    first = start + x.shape[k] if start < 0 else start
    if not 0 <= first <= first + length <= x.shape[k]:
        raise IndexError(f"narrow: start {start} and length {length} exceed size {x.shape[k]}")
    return getitem(x, along(k, slice(first, first + length)))


@function("tensor", method=True)
def index_select(x: Node, dim: int, index: Any) -> Node:
    """The slices along *dim* at an integer array.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0, 3.0]).index_select(0, np.array([2, 0]))
    tensor([3., 1.])
    """
    return picking.take(x, index, dim)


@function("tensor", method=True)
def gather(x: Node, dim: int, index: Any) -> Node:
    """``x[..., index[..., j, ...], ...]``: for each place of *index* the element it names.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.tensor([[1.0, 2.0], [3.0, 4.0]]).gather(1, np.array([[0, 0], [1, 0]]))
    tensor([[1., 1.],
            [4., 3.]])
    """
    k = one_axis("gather", dim, x.ndim)
    shape = np.shape(index) if not isinstance(index, Node) else index.shape
    window = tuple(slice(None) if j == k else slice(0, n) for j, n in enumerate(shape))
    return picking.take_along_axis(getitem(x, window), index, k)


@function("tensor", method=True)
def masked_fill(x: Node, mask: Any, value: Any) -> Node:
    """*value* where *mask* holds, else the tensor.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([1.0, 2.0, 3.0])
    >>> x.masked_fill(x > 1, 0.0)
    tensor([1., 0., 0.])
    """
    return selection.where(
        mask, as_node(np.asarray(value, x.dtype)) if np.isscalar(value) else value, x
    )


@function("tensor", method=True)
def masked_select(x: Node, mask: Any) -> Node:
    """The elements where *mask* holds, in one dimension.

    Examples
    --------
    >>> import nbgrad as ng
    >>> x = ng.tensor([1.0, 2.0, 3.0])
    >>> x.masked_select(x > 1)
    tensor([2., 3.])
    """
    chosen = np.broadcast_to(
        concrete(mask), np.broadcast_shapes(x.shape, np.shape(concrete(mask)))
    )
    return picking.extract(chosen, broadcast_to(x, chosen.shape))


@function("tensor", method=True, view=True)
def expand(x: Node, *sizes: Any) -> Node:
    """Repeat dimensions of size 1 to *sizes*; -1 keeps one as it is.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([[1.0], [2.0]]).expand(2, 3)
    tensor([[1., 1., 1.],
            [2., 2., 2.]])
    """
    wanted = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)) else sizes
    kept = (1,) * (len(wanted) - x.ndim) + x.shape
    return broadcast_to(x, tuple(k if n == -1 else n for n, k in zip(wanted, kept, strict=True)))


@function("tensor", method=True, view=True)
def expand_as(x: Node, other: Any) -> Node:
    """Broadcast to the shape of *other*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([[1.0], [2.0]]).expand_as(ng.zeros((2, 3)))
    tensor([[1., 1., 1.],
            [2., 2., 2.]])
    """
    return broadcast_to(x, as_node(other).shape)


@function("tensor", aliases=("reshape_as",), method=True, view="strided")
def view_as(x: Node, other: Any) -> Node:
    """The same elements in the shape of *other*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.arange(4).reshape_as(ng.zeros((2, 2)))
    tensor([[0, 1],
            [2, 3]])
    """
    return reshape(x, as_node(other).shape)


@function("tensor", method=True, view=True)
def movedim(x: Node, source: Any, destination: Any) -> Node:
    """Move the dimensions *source* to *destination*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.zeros((2, 3, 4)).movedim(0, 2).shape
    (3, 4, 2)
    """
    return moveaxis(x, source, destination)


@function("tensor", method=True, view=True)
def t(x: Node) -> Node:
    """The transpose of a matrix; vectors stay.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([[1.0, 2.0], [3.0, 4.0]]).t()
    tensor([[1., 3.],
            [2., 4.]])
    """
    if x.ndim > 2:
        raise ValueError(f"t: expects at most two dimensions, not {x.ndim}; use x.mT or x.T")
    return transpose(x)


@function("tensor", method=True, view="contiguous")
def contiguous(x: Node) -> Node:
    """The tensor itself: nobody can tell its memory order.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1.0, 2.0]).contiguous()
    tensor([1., 2.])
    """
    return x


@function("tensor", method=True)
def type_as(x: Node, other: Any) -> Node:
    """The tensor in the dtype of *other*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.tensor([1, 2]).type_as(ng.tensor(0.5))
    tensor([1., 2.])
    """
    return composite.astype(x, as_node(other).dtype)


def _cast(name: str, dtype: type, doc: str) -> None:
    def convert(x: Node) -> Node:
        return composite.astype(x, np.dtype(dtype))

    shown = np.array([1, 0], dtype).tolist()
    example = f">>> import nbgrad as ng\n>>> ng.tensor([1.0, 0.0]).{name}().tolist()\n{shown}\n"
    convert.__name__, convert.__doc__ = name, f"{doc}\n\nExamples\n--------\n{example}"
    convert.__module__ = __name__
    function("tensor", method=True, name=name)(convert)


_cast("half", np.float16, "Convert to float16.")
_cast("short", np.int16, "Convert to int16.")
_cast("int", np.int32, "Convert to int32.")
_cast("long", np.int64, "Convert to int64.")
_cast("bool", np.bool_, "Whether each element is not zero.")
_cast("cfloat", np.complex64, "Convert to complex64.")
_cast("cdouble", np.complex128, "Convert to complex128.")
