"""``x[index]`` and ``x[index] = v`` with NumPy's rules, in terms of slice, take, put and update."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from nbgrad.core.aval import broadcast_shapes
from nbgrad.core.frozen import Value
from nbgrad.core.node import Node, constant
from nbgrad.core.registry import declared
from nbgrad.ops import basis
from nbgrad.ops.arrays import indexing
from nbgrad.ops.elements import arithmetic, comparison, selection
from nbgrad.vocabulary.shapes import as_node, broadcast_to, reshape


class Window(Value):
    """A basic index: the window it selects, and the shape it then has."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...]
    shape: tuple[int, ...]


# The methods take twice the time of a few numbers.
_least, _most = np.minimum.reduce, np.maximum.reduce


def is_array(item: Any) -> bool:
    """Whether one item of an index is an array (of integers or booleans)."""
    return isinstance(item, (np.ndarray, Node))


def _array(item: Any) -> Any:
    """A sequence or a truth value as the index array it stands for; others as they are."""
    if isinstance(item, (list, tuple)):
        array = np.asarray(item)
        return array if array.size else array.astype(np.intp)
    return np.asarray(item) if isinstance(item, (bool, np.bool_)) else item


def _expand(index: Any, shape: tuple[int, ...]) -> list[Any]:
    """Return the items of *index* with the ellipsis written out."""
    items = [_array(item) for item in (index if isinstance(index, tuple) else (index,))]
    used = 0
    for item in items:
        if isinstance(item, np.ndarray) and item.dtype == bool:
            used += item.ndim
        elif item is not None and item is not Ellipsis:
            used += 1
    if used > len(shape):
        raise IndexError(
            f"too many indices: the tensor is {len(shape)}-dimensional (shape {shape}), "
            f"but {used} were indexed"
        )
    fill = [slice(None)] * (len(shape) - used)
    where = [k for k, item in enumerate(items) if item is Ellipsis]
    if len(where) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if where:
        before, after = items[: where[0]], items[where[0] + 1 :]
        if not fill and before and after and any(is_array(item) for item in items):
            return items  # it stands for no dimension, but parts the index arrays beside it
        return before + fill + after
    return items + fill


def window(items: list[Any], shape: tuple[int, ...]) -> Window:
    """Turn integers, slices and None into a Window."""
    starts, sizes, steps, result = [], [], [], []
    extents = iter(enumerate(shape))
    for item in items:
        if item is None:
            result.append(1)
            continue
        axis, n = next(extents)
        if isinstance(item, slice):
            span = range(*item.indices(n))
            starts.append(span.start if len(span) else 0)
            sizes.append(len(span))
            steps.append(span.step)
            result.append(len(span))
        else:
            try:
                k = operator.index(item)
            except TypeError:
                raise IndexError(
                    "only integers, slices, ellipsis, None and integer or boolean arrays are "
                    f"valid indices, not {item!r}"
                ) from None
            if not -n <= k < n:
                raise IndexError(f"index {k} is out of bounds for axis {axis} with size {n}")
            starts.append(k % n)
            sizes.append(1)
            steps.append(1)
    return Window(tuple(starts), tuple(sizes), tuple(steps), tuple(result))


def _rows(items: list[Any], n: int) -> Any:
    """The index array, when *items* is one integer (or mask) array over the first axis."""
    head, rest = items[0], items[1:]
    if not is_array(head):
        return None
    if any(not (isinstance(i, slice) and i == slice(None)) for i in rest):
        return None
    if head.__class__ is Node:
        if head.dtype.kind not in "iu":
            raise IndexError(
                "x[mask] of a traced boolean mask: how many elements it selects is not known while nbgrad.jit or "
                "vmap traces the function. Write nbgrad.where(mask, x, 0.0), which keeps the shape, or select "
                "outside and pass what was selected"
            )
        return head
    array = head
    if array.dtype == bool and array.shape == (n,):
        array = np.flatnonzero(array)
    if array.dtype.kind not in "iu":
        return None
    if array.size and not (-n <= _least(array, axis=None) and _most(array, axis=None) < n):
        bad = array[(array < -n) | (array >= n)].reshape(-1)[0]
        raise IndexError(f"index {bad} is out of bounds for axis 0 with size {n}")
    return array.astype(np.intp, copy=False)


def _joint(items: list[Any], shape: tuple[int, ...]) -> tuple[Node, int] | None:
    """Rows that traced index arrays over the leading dimensions select together.

    Returns their numbers, in an array whose leading dimensions are merged, and how many were
    merged. A position out of range becomes a row that does not exist, which ``take`` reports.
    """
    count = len(items)
    while count and isinstance(items[count - 1], slice) and items[count - 1] == slice(None):
        count -= 1
    parts = [
        as_node(i) for i in items[:count] if isinstance(i, (Node, np.ndarray, int, np.integer))
    ]
    if len(parts) != count or any(part.dtype.kind not in "iu" for part in parts):
        return None
    rows: Any = 0
    valid: Any = True
    for part, n in zip(parts, shape, strict=False):
        rows = selection.where(part < 0, part + n, part) + rows * n
        valid = comparison.logical_and(comparison.logical_and(part >= -n, part < n), valid)
    beyond = int(np.prod(shape[:count]))
    return selection.where(valid, rows, beyond), count


def _flat(items: list[Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Positions in the flattened array that any other advanced index selects."""
    if any(item.__class__ is Node for item in items):
        raise IndexError(
            "traced index arrays can only index the leading dimensions, with integers beside "
            "them and full slices behind; combine positions with arithmetic, or index outside "
            "nbgrad.jit"
        )
    positions = np.arange(int(np.prod(shape)), dtype=np.intp).reshape(shape)
    return np.asarray(positions[tuple(items)])


def _select(items: list[Any], node: Node) -> tuple[Any, Node]:
    """Rows that an advanced index selects, and *node* in the shape that has these rows."""
    rows = _rows(items, node.shape[0]) if node.ndim else None
    if rows is not None:
        return rows, node
    if any(item.__class__ is Node for item in items):
        joint = _joint(items, node.shape)
        if joint is not None:
            return joint[0], reshape(node, (-1, *node.shape[joint[1] :]))
    return _flat(items, node.shape), reshape(node, (-1,))


def getitem(x: Any, index: Any) -> Node:
    """Return ``x[index]``.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.getitem(ng.tensor([1.0, 2.0, 3.0]), slice(1, None))
    tensor([2., 3.])
    """
    node = as_node(x)
    items = _expand(index, node.shape)
    if not any(is_array(item) for item in items):
        w = window(items, node.shape)
        if w.sizes != node.shape or any(step != 1 for step in w.steps):
            node = basis.slice_(node, starts=w.starts, sizes=w.sizes, steps=w.steps)
        return reshape(node, w.shape)
    rows, node = _select(items, node)
    return indexing.take(node, rows if rows.__class__ is Node else constant(rows))


declared.add(getitem)  # a function of the top level alone


def _traced_mask(items: list[Any], shape: tuple[int, ...]) -> Node | None:
    """The index, if it is one traced mask over leading dimensions; which it selects is open."""
    head, rest = items[0], items[1:]
    if head.__class__ is not Node or head.dtype != bool:
        return None
    if any(not (isinstance(i, slice) and i == slice(None)) for i in rest):
        return None
    if head.shape != shape[: head.ndim]:
        raise IndexError(f"a boolean index of shape {head.shape} does not fit {shape}")
    return reshape(head, head.shape + (1,) * (len(shape) - head.ndim))


def setitem(x: Any, index: Any, v: Any) -> Node:
    """Return *x* with ``x[index]`` replaced by *v*, broadcast as in NumPy."""
    node, value = as_node(x), as_node(v)
    items = _expand(index, node.shape)
    if not any(is_array(item) for item in items):
        w = window(items, node.shape)
        value = reshape(_fit(value, w.shape), w.sizes)
        return basis.update_slice(node, value, starts=w.starts, steps=w.steps)
    mask = _traced_mask(items, node.shape)
    if mask is not None and not value.ndim:
        return selection.where(mask, basis.cast(value, dtype=node.dtype), node)
    rows, flat = _select(items, node)
    value = _fit(value, (*rows.shape, *flat.shape[1:]))
    position = rows if rows.__class__ is Node else constant(rows)
    return reshape(indexing.put(flat, position, value), node.shape)


def additem(x: Any, index: Any, v: Any) -> Node:
    """Return *x* with *v* added at ``x[index]``, as often as an element is named there."""
    node = as_node(x)
    value = basis.cast(as_node(v), dtype=node.dtype)
    items = _expand(index, node.shape)
    if not any(is_array(item) for item in items):
        return setitem(node, index, arithmetic.add(getitem(node, index), value))
    rows, flat = _select(items, node)
    value = _fit(value, (*rows.shape, *flat.shape[1:]))
    position = rows if rows.__class__ is Node else constant(rows)
    added = indexing.scatter_add(value, position, size=flat.shape[0])
    return arithmetic.add(node, reshape(added, node.shape))


def _fit(value: Node, shape: tuple[int, ...]) -> Node:
    """Broadcast *value* to the selected *shape*; extra leading dimensions of size 1 go."""
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = reshape(value, value.shape[1:])
    if value.shape != shape and broadcast_shapes("setitem", value.shape, shape) != shape:
        raise ValueError(
            f"could not broadcast input array from shape {value.shape} into shape {shape}"
        )
    return broadcast_to(value, shape)
