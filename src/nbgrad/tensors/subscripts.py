"""What ``x[index]`` and ``x[index] = value`` record, by the key of a basic index."""

from __future__ import annotations

from typing import Any

from nbgrad.core.node import Node
from nbgrad.core.primitive import intern_signature
from nbgrad.core.recipes import Recipe
from nbgrad.core.signature import Signature
from nbgrad.ops.kinds.forms import index_map
from nbgrad.tensors import views
from nbgrad.tensors.dispatch import index_of, pair, static
from nbgrad.vocabulary.subscript import getitem, setitem


def is_element(node: Node, item: Node, index: Any) -> bool:
    """Whether ``x[index]`` is a scalar where NumPy is concerned: integers, one for each dimension."""
    return item.aval.shape == () and node.aval.shape != () and _no_ellipsis(index)


def _no_ellipsis(index: Any) -> bool:
    """Whether an index, or the key of one, has no ellipsis."""
    if index.__class__ is tuple:
        return all(_no_ellipsis(item) for item in index)
    return index is not Ellipsis


def _item(node: Node, key: Any) -> Node:
    return getitem(node, index_of(key))


def _with_item(node: Node, value: Node, key: Any) -> Node:
    return setitem(node, index_of(key), value)


_basic = static(_item, told=True, share=views.share, element=is_element)
items: Any = getattr(_basic, "recipes")  # noqa: B009 - by aval and key, to look there first
assign = pair(_with_item)


def basic(tensor: Any, key: Any) -> Any:
    """``tensor[index]`` of the index that *key* stands for, the first time.

    The number of a row is where a window begins: what was found out for one row serves for others.
    """
    aval = tensor._node.aval
    if len(key) == 1 and key[0].__class__ is int and aval.ndim and 0 <= key[0] < aval.shape[0]:
        known = items.get((aval, tuple, (0,)))
        window = None if known is None else known.window
        if window is not None and index_map(window[0].prim) == "slice":
            items.keep((aval, tuple, key), _row(known, key[0]))
    return _basic(tensor, key)


def _row(first: Recipe, k: int) -> Recipe:
    """The recipe of row *k*, which that of the first is given for."""
    assert first.window is not None
    sig = first.window[0]
    params = sig.params | {"starts": (k, *sig.params["starts"][1:])}
    name = sig.operands, tuple(params.items())
    found = sig.prim.signatures.get(name)
    if found is None:
        made = Signature(sig.prim, sig.operands, params, sig.aval, sig.loop)
        found = intern_signature(sig.prim, name, made)
    steps = ((found, first.steps[0][1]), *first.steps[1:])
    alone = first.alone and found
    window = (found, *first.window[1:])
    return Recipe(first.constants, steps, first.result, alone, window, first.element)


def refuse_lost(value: Any, node: Node, old: Node) -> None:
    """Raise if an element of *old* cannot hold *value*: NumPy does, too, where that is a number."""
    kind = old.dtype.kind
    if node.dtype.kind == "c" and kind in "fiu":
        raise TypeError(
            f"complex numbers can't be written to elements of {old.dtype}: write x[...] = value.real, "
            "or make x complex, by x.astype(complex)"
        )
    if kind in "iu" and value.__class__ in (int, float):
        old.dtype.type(value)  # NaN, infinity and integers out of bounds raise
