"""What ufuncs do besides being called: keywords, reduce, accumulate, outer, reduceat and at.

Functions of nodes; ``tensors/protocols.py`` takes them from and to tensors. Dtypes, and errors about them
and about axes, are NumPy's own: it is asked what it does to an array of ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import reduced_axes, single_axis
from nbgrad.core.lookup import ours
from nbgrad.core.missing import full_name, missing
from nbgrad.core.node import Node, constant
from nbgrad.core.values import value_of
from nbgrad.ops.elements.selection import where as select
from nbgrad.ops.kinds.promotion import weak_or_dtype
from nbgrad.vocabulary import shapes
from nbgrad.vocabulary.elements.composite import astype
from nbgrad.vocabulary.reductions import plain
from nbgrad.vocabulary.shapes import as_node, broadcast_to, concatenate, reshape, transpose
from nbgrad.vocabulary.subscript import additem, getitem, setitem

Function = Callable[..., Any]
_REDUCE: dict[np.ufunc, Function] = {np.add: plain.sum, np.multiply: plain.prod}
_REDUCE |= {np.maximum: plain.max, np.minimum: plain.min}
_REDUCE |= {np.logical_and: plain.all, np.logical_or: plain.any}
_SCAN = {np.add: np.cumsum, np.multiply: np.cumprod}
_NOTHING = object()


def no_out(name: str, out: Any) -> None:
    """Refuse ``out=`` of a function that is no ufunc."""
    if out is not None:
        raise TypeError(f"{name}: out= would overwrite an array; write `result = ...` instead")


# ------------------------------------------------------------------------------------------- call


def call(
    ufunc: np.ufunc,
    function: Function,
    *inputs: Any,
    dtype: Any = None,
    signature: Any = None,
    sig: Any = None,
    casting: str = "same_kind",
    order: str = "K",
    subok: bool = True,
    **core: Any,
) -> Any:
    """*function*, which is *ufunc*'s, with NumPy's keywords; *core* are those of matmul's kind."""
    if order == "F":
        raise ValueError(
            f"numpy.{ufunc.__name__}(order='F') of a tensor: tensors are C-contiguous; write "
            "np.asfortranarray(result.numpy())"
        )
    if not any(x.__class__ is Node for x in inputs):
        inputs = (as_node(inputs[0]), *inputs[1:])
    asked = signature if signature is not None else sig
    if dtype is not None:
        asked = (*[None] * ufunc.nin, *[dtype] * ufunc.nout)
    loop: Any = None
    if asked is not None or casting != "same_kind":
        xs = [x if isinstance(x, (Node, float, int, complex)) else as_node(x) for x in inputs]
        kinds = (*(weak_or_dtype(x) for x in xs), *[None] * ufunc.nout)
        loop = ufunc.resolve_dtypes(kinds, casting=casting, **_types(asked))
        inputs = tuple(astype(as_node(x), d) for x, d in zip(xs, loop, strict=False))
    found = _gufunc(ufunc, function, inputs, **core) if core else function(*inputs)
    if loop is None:
        return found
    if isinstance(found, tuple):
        return tuple(astype(y, d) for y, d in zip(found, loop[ufunc.nin :], strict=True))
    return astype(found, loop[-1])


def _types(asked: Any) -> dict[str, Any]:
    """The signature as NumPy's keyword: a tuple of dtypes, from a text such as "dd->d" too."""
    if asked is None:
        return {}
    if isinstance(asked, str):
        asked = tuple(asked.replace("->", ""))
    return {"signature": tuple(None if d is None else np.dtype(d) for d in asked)}


def _gufunc(
    ufunc: np.ufunc,
    function: Function,
    inputs: Sequence[Any],
    axes: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Node:
    """A product over chosen axes: they are moved to the end, and those of the result back."""
    assert ufunc.signature is not None, f"{ufunc.__name__} has no core dimensions"
    ranks = [part.count(",") + (part != "()") for part in _core_dimensions(ufunc.signature)]
    nodes = [as_node(x) for x in inputs]
    if axis is not None:
        axes = [(axis,) if rank else () for rank in ranks]
    last = [tuple(range(-rank, 0)) for rank in ranks]
    places = [p if isinstance(p, tuple) else (p,) for p in axes] if axes is not None else last
    moved = [
        _moved(x, p, end) for x, p, end in zip(nodes, places, last[: len(nodes)], strict=False)
    ]
    out: Node = function(*moved)
    if keepdims:
        return shapes.expand_dims(out, places[0])
    return _moved(out, last[-1], places[-1]) if len(places) == len(ranks) else out


def _core_dimensions(signature: str) -> list[str]:
    """``(m?,n),(n,p?)->(m?,p?)`` as its three parts."""
    return [f"({part})" for part in signature.replace("->", ",")[1:-1].split("),(")]


def _moved(x: Node, source: Sequence[int], target: Sequence[int]) -> Node:
    """*x* with the axes *source* at the places *target*."""
    sources = [k % x.ndim for k in source]
    order = [k for k in range(x.ndim) if k not in sources]
    for place, k in sorted(zip((t % x.ndim for t in target), sources, strict=True)):
        order.insert(place, k)
    return transpose(x, order)


# ----------------------------------------------------------------------------------------- reduce


def reduce(
    ufunc: np.ufunc,
    function: Function,
    x: Any,
    axis: Any = 0,
    dtype: Any = None,
    keepdims: bool = False,
    initial: Any = _NOTHING,
    where: Any = True,
) -> Node:
    """``ufunc.reduce``: combine the elements along *axis*."""
    node = as_node(x)
    begins = initial is not _NOTHING and initial is not None
    start = initial if begins else ufunc.identity
    trial = np.ones((1,) * node.ndim if node.size or begins else node.shape, node.dtype)
    result = ufunc.reduce(trial, axis=axis, dtype=dtype).dtype
    if where is not True and start is None:
        raise ValueError(
            f"reduction operation '{ufunc.__name__}' does not have an identity, so to use a where "
            "mask one has to specify 'initial'"
        )
    axes = reduced_axes(ufunc.__name__, axis, node.ndim)
    node = node if result.kind == "b" else astype(node, result)
    mask = None if where is True else broadcast_to(as_node(where), node.shape)
    kept = tuple(1 if k in axes else n for k, n in enumerate(node.shape))
    if not all(node.shape[k] for k in axes):
        out = constant(np.full(kept, start, result))
    elif _associative(ufunc, node.dtype):
        if mask is not None:
            node = select(mask, node, start if ufunc.identity is None else ufunc.identity)
        if ufunc in _REDUCE:
            out = _REDUCE[ufunc](node, axis=axes, keepdims=True)
        else:
            out = reshape(_tree(function, _front(node, axes)), kept)
        out = function(initial, out) if begins else out
    else:
        rows = _rows(_front(node, axes))
        masks = None if mask is None else _rows(_front(mask, axes))
        begin = [broadcast_to(as_node(initial), rows[0].shape)] if begins else []
        out = _fold(function, [*begin, *rows], masks)[-1]
    shape = kept if keepdims else tuple(n for k, n in enumerate(kept) if k not in axes)
    return astype(reshape(out, shape), result)


def _associative(ufunc: np.ufunc, dtype: np.dtype[Any]) -> bool:
    """Whether NumPy may reorder the reduction: it then takes two axes at once."""
    try:
        ufunc.reduce(np.ones((1, 1), dtype), axis=(0, 1))
    except (TypeError, ValueError):
        return False
    return True


def _front(node: Node, axes: Sequence[int]) -> Node:
    """The dimensions *axes* as one, in front."""
    rest = [k for k in range(node.ndim) if k not in axes]
    shape = tuple(node.shape[k] for k in rest)
    count = int(np.prod([node.shape[k] for k in axes]))
    return reshape(transpose(node, (*axes, *rest)), (count, *shape))


def _rows(node: Node) -> list[Node]:
    return [getitem(node, k) for k in range(node.shape[0])]


def _tree(function: Function, x: Node) -> Node:
    """Combine the rows of *x* in pairs, and those in pairs, until one is left."""
    while x.shape[0] > 1:
        half = x.shape[0] // 2
        paired = function(getitem(x, slice(0, half)), getitem(x, slice(half, 2 * half)))
        odd = [getitem(x, slice(2 * half, None))] if x.shape[0] % 2 else []
        x = concatenate([paired, *odd]) if odd else paired
    return getitem(x, 0)


def _fold(function: Function, rows: list[Node], masks: list[Node] | None = None) -> list[Node]:
    """Every intermediate result of combining *rows* from the left, where *masks* hold."""
    found = [rows[0]]
    for k, row in enumerate(rows[1:]):
        new = function(found[-1], row)
        found.append(new if masks is None else select(masks[k], new, found[-1]))
    return found


# ---------------------------------------------------------------------------- accumulate, reduceat


def accumulate(
    ufunc: np.ufunc, function: Function, x: Any, axis: int = 0, dtype: Any = None
) -> Node:
    """``ufunc.accumulate``: every intermediate result of the reduction along *axis*."""
    node = as_node(x)
    result = ufunc.accumulate(np.ones((1,) * node.ndim, node.dtype), axis=axis, dtype=dtype).dtype
    node = astype(node, result) if result.kind != "b" else node
    k = single_axis(ufunc.__name__, axis, node.ndim)
    scan = ours(_SCAN[ufunc]) if ufunc in _SCAN else None
    if scan is not None:
        return astype(scan(node, axis=k), result)
    if not node.size:
        return astype(node, result)
    moved = _moved(node, (k,), (0,))
    if _associative(ufunc, node.dtype):
        # After the pass of step d a row combines itself and the 2 d - 1 rows before it.
        step = 1
        while step < node.shape[k]:
            later = function(getitem(moved, slice(None, -step)), getitem(moved, slice(step, None)))
            moved = concatenate([getitem(moved, slice(0, step)), later])
            step *= 2
    else:
        moved = shapes.stack([astype(r, result) for r in _fold(function, _rows(moved))])
    return astype(_moved(moved, (0,), (k,)), result)


def reduceat(
    ufunc: np.ufunc, function: Function, x: Any, indices: Any, axis: int = 0, dtype: Any = None
) -> Node:
    """``ufunc.reduceat``: reductions of the slices between one index and the next."""
    node = as_node(x)
    k = single_axis(ufunc.__name__, axis, node.ndim)
    starts = np.asarray(value_of(indices) if isinstance(indices, Node) else indices)
    ufunc.reduceat(np.ones(node.shape[k], node.dtype), starts, dtype=dtype)  # NumPy's errors
    parts = []
    ends = [*starts[1:].tolist(), node.shape[k]]
    for start, end in zip(starts.tolist(), ends, strict=True):
        window = (*[slice(None)] * k, slice(start, max(end, start + 1)))
        parts.append(reduce(ufunc, function, getitem(node, window), k, dtype, True))
    return concatenate(parts, k)


# -------------------------------------------------------------------------------------- outer, at


def outer(ufunc: np.ufunc, function: Function, a: Any, b: Any, **keywords: Any) -> Any:
    """``ufunc.outer``: *function* of every pair of an element of *a* and one of *b*."""
    a, b = as_node(a), as_node(b)
    return call(ufunc, function, reshape(a, (*a.shape, *(1,) * b.ndim)), b, **keywords)


def at(ufunc: np.ufunc, function: Function, x: Any, index: Any, b: Any = None) -> Node:
    """The value of *x* after ``ufunc.at(x, index, b)``."""
    node = as_node(x)
    if ufunc in (np.add, np.subtract):
        return additem(node, index, as_node(b) if ufunc is np.add else -as_node(b))
    items = index if isinstance(index, tuple) else (index,)
    known = tuple(value_of(i) if i.__class__ is Node else i for i in items)
    positions = np.arange(node.size).reshape(node.shape)[known]
    places = positions.reshape(-1)
    values = None if b is None else reshape(broadcast_to(b, positions.shape), (-1,))
    flat = reshape(node, (-1,))
    # An element named several times takes its values one after another: one round for each.
    for chosen in _rounds(places):
        picked = getitem(flat, places[chosen])
        new = function(picked) if values is None else function(picked, getitem(values, chosen))
        flat = setitem(flat, places[chosen], new)
    return reshape(flat, node.shape)


def _rounds(places: Any) -> list[Any]:
    """Which of *places* are their number's first occurrence, which the second, and so on."""
    order = np.argsort(places, kind="stable")
    ranked = places[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if ranked.size else ranked
    lengths = np.diff(np.r_[starts, ranked.size])
    number = np.arange(ranked.size) - np.repeat(starts, lengths)
    return [np.sort(order[number == k]) for k in range(int(lengths.max(initial=0)))]


def apply(ufunc: np.ufunc, method: str, inputs: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """What *method* of *ufunc* gives, on nodes."""
    function = ours(ufunc)
    if function is None:
        raise missing(full_name(ufunc), "" if method == "__call__" else f".{method}")
    used = {"__call__": call, "reduce": reduce, "accumulate": accumulate, "reduceat": reduceat}
    used |= {"outer": outer, "at": at}
    return used[method](ufunc, function, *inputs, **keywords)
