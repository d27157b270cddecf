"""Reading and writing tensors that share their values, as in NumPy.

Nothing is overwritten underneath. A tensor names a node, and a node has one value for ever. A view
knows the operations that make it of what it is a view of, and how they are undone. A write to a view
makes a new node for its base, which reads the old one and what was written; a write to the base
takes away the nodes of its views, and each records its operations again when it is next looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from nbgrad.core.aval import Aval
from nbgrad.core.modes import modes, watching
from nbgrad.core.node import Node, put_node
from nbgrad.core.placing import zeros_leaf
from nbgrad.errors import (
    INPLACE_VIEW,
    READ_ONLY,
    UNRECORDED_VIEW,
    WRITTEN_IN_TRACE,
    AutogradError,
)
from nbgrad.ops import basis
from nbgrad.tensors.chains import Chain, scattered, source_of, viewed, writable
from nbgrad.tensors.dispatch import apart
from nbgrad.tensors.hooks import keep_retaining, watch_of
from nbgrad.tensors.views import DETACHED, ELEMENT, Group, chain_of, own, ref
from nbgrad.vocabulary import shapes
from nbgrad.vocabulary.elements import composite


@contextmanager
def _recording(flag: bool) -> Iterator[None]:
    before, modes.grad = modes.grad, flag
    try:
        yield
    finally:
        modes.grad = before


# ----------------------------------------------------------------------------------------- reading


def derive(t: Any) -> Node:
    """Record a view again whose base was written; returns its node."""
    try:
        group = t._alias[0]
    except AttributeError:
        message = f"'{type(t).__name__}' object has no attribute '_node': it was not initialised"
        raise AttributeError(message) from None
    with _recording(True):
        node = viewed(_whole(group), chain_of(t._alias))
    if t._alias[3] == DETACHED:
        node = unrecorded(node)
    t._node = node
    mine = ref(t)
    group.stale.pop(id(mine), None)
    group.append(mine)
    if id(mine) in group.retaining:
        group.retaining.discard(id(mine))
        if node.requires_grad:
            watch_of(t).retained = mine
    if len(group) > group.limit:
        group.tidy()
    return node


def _held_whole(group: Group) -> Node | None:
    """The node of the whole, if its tensor lives or a view was written to since."""
    base = group[0]()
    return group.current if base is None else base._node


def _whole(group: Group) -> Node:
    """The node of the whole; without its tensor it is put together from the views that live."""
    held = _held_whole(group)
    if held is not None:
        return held
    found = sorted(_living(group), key=lambda t: t._alias[3] != DETACHED)  # with history on top
    source = source_of(chain_of(found[0]._alias)) if chain_of(found[0]._alias) else None
    with _recording(True):
        group.current = _together([(t._node, chain_of(t._alias)) for t in found], source)
    return group.current


def _living(group: Group) -> list[Any]:
    """The views of *group* that somebody holds."""
    found = [r() for r in (*group[1:], *group.stale.values())]
    return [t for t in found if t is not None and _belongs(t, group)]


def _together(parts: list[tuple[Node, Chain]], aval: Aval | None) -> Node:
    """The whole with *parts* in the places of their chains, and zeros where nobody looks."""
    node: Any = None
    for part, chain in parts:
        if not chain:
            node = part
            continue
        if node is None:
            node = zeros_leaf(aval.shape, aval)  # type: ignore[union-attr, arg-type]
        node = scattered(node, part, chain)
    return node  # type: ignore[no-any-return]


def detach_base(t: Any) -> None:
    """Take *t* off the graph, but not what are views of it."""
    if t._alias.__class__ is Group:
        for view in _living(t._alias):
            view._node  # noqa: B018 - with the history that there still is
    t._node = unrecorded(t._node)


def latest(t: Any) -> Node:
    """The node that an in-place method of *t* reads: an element is that of its base as it is now."""
    alias = t._alias
    if alias.__class__ is tuple and alias[3] == ELEMENT:
        whole = _held_whole(alias[0])
        if whole is not None:
            with _recording(modes.grad):
                t._node = viewed(whole, chain_of(alias))
    return t._node  # type: ignore[no-any-return]


# ----------------------------------------------------------------------------------------- writing


def write(t: Any, node: Node) -> None:
    """Make *node*, of its shape and dtype, the value of *t* and of all that share it."""
    alias = t._alias
    if alias.__class__ is tuple and alias[3] == DETACHED:
        own(t)
        alias = t._alias
    if alias.__class__ is tuple:
        group, keep = alias[0], _write_through(t, alias, node)
    else:
        if alias is not None:
            _refuse_unrecorded(alias, node)
        t._replace(node, quiet=not modes.grad)
        if alias is None:
            return
        group, keep = alias, None
    _take_away(group, keep)
    base = group[0]()
    if base is not None:
        group.current = base._node if group.stale else None
    if group.storage is not None:
        _spread(group)


def refuse_outside(node: Node) -> None:
    """Refuse that a traced function writes to what was there before."""
    raise TypeError(WRITTEN_IN_TRACE.format(aval=node.aval))


def _write_through(t: Any, alias: Any, node: Node) -> Any:
    """Write to a view; returns it if its node is up to date."""
    group, chain = alias[0], chain_of(alias)
    if not writable(chain):
        raise ValueError(READ_ONLY)
    base = group[0]()
    whole = _held_whole(group)
    tracked = node.requires_grad or t._node.requires_grad
    quiet = not modes.grad
    leaf = _read_leaf(t) if base is None else _is_leaf(base, base._node)
    if leaf and modes.grad and tracked:
        raise AutogradError(INPLACE_VIEW)
    quiet = quiet or (leaf and base is not None)
    _refuse_unrecorded(group, node)
    if whole is None and not _has_others(group, t):
        if alias[3] == ELEMENT:
            t._alias = None
        t._node = grafted(node, t._node) if quiet else node
        return t
    whole = _whole(group) if whole is None else whole
    with _recording(not quiet):
        new = scattered(whole, node, chain)
    if base is not None:
        base._replace(new, quiet)
        tracked = base._node.requires_grad
    else:
        group.current = grafted(new, whole) if quiet else new
        tracked = group.current.requires_grad
    if quiet and (tracked) and alias[3] != ELEMENT:
        return None
    # Another node of the value that the base has: a gradient of the view is not one of that.
    before, t._node = t._node, apart(node) if node.requires_grad else node
    if before.watch is not None:
        keep_retaining(t, before)
    return t if alias[3] != ELEMENT else None


def _is_leaf(t: Any, node: Node) -> bool:
    """Whether gradients are accumulated in *t*: functions are given tensors of their own to write to."""
    return node.requires_grad and node.leaf is not None and node.leaf() is t


def _read_leaf(t: Any) -> bool:
    """Whether a view whose base is gone was one of a leaf, and is still made of that."""
    node = t._node
    for sig in reversed(chain_of(t._alias)):
        if node.sig is not sig or not node.inputs:
            return False
        node = node.inputs[0]
    return _is_leaf(None, node)


def _refuse_unrecorded(group: Group, node: Node) -> None:
    if group.guarded and modes.grad and node.requires_grad:
        raise AutogradError(UNRECORDED_VIEW)


def _has_others(group: Group, t: Any) -> bool:
    alive = [*group[1:], *group.stale.values()]
    if any((other := r()) is not None and other is not t for r in alive):
        return True
    return group.storage is not None and bool(group.storage.others(group))


def _belongs(t: Any, group: Group) -> bool:
    """Whether *t* is still a view: it may have become a tensor of its own history."""
    return t._alias.__class__ is tuple and t._alias[0] is group


def _take_away(group: Group, keep: Any) -> None:
    """Leave the views of *group* without a node, but for *keep*."""
    if len(group) > 1:
        held = group[1:]
        del group[1 : len(held) + 1]  # not what another thread adds meanwhile
        if "stale" not in group.__dict__:
            group.stale, group.retaining = {}, set()
        for r in held:
            t = r()
            if t is not None and t is not keep and _belongs(t, group):
                if watching.any and retains(t._node):
                    group.retaining.add(id(r))
                with suppress(AttributeError):  # one that another thread makes has none yet
                    del t._node
                group.stale[id(r)] = r
        if len(group.stale) > group.limit:
            group.stale = {k: r for k, r in group.stale.items() if r() is not None}
            group.retaining &= (
                group.stale.keys()
            )  # another reference may get the identity of a dead one
            group.limit = max(2 * len(group.stale), 128)
    if keep is not None:
        mine = ref(keep)
        group.stale.pop(id(mine), None)
        group.append(mine)


def _spread(group: Group) -> None:
    """Give the groups of one storage the values that were written to *group*, not the history."""
    storage = group.storage
    others = storage.others(group)  # type: ignore[union-attr]
    if not others:
        return
    parts = [part for g in (*others, group) for part in _parts(g)]
    first = next((k for k, (_, chain) in enumerate(parts) if not chain), 0)
    with _recording(False):
        full = _together([parts[first], *parts], storage.aval)  # type: ignore[union-attr]
        values = [viewed(full, g.place) for g in others]
    for g, value in zip(others, values, strict=True):
        base = g[0]()
        if base is not None:
            base._replace(apart(value), quiet=True)
        else:
            g.current = grafted(value, _whole(g))
        _take_away(g, None)
        if base is not None:
            g.current = base._node if g.stale else None


def _parts(group: Group) -> list[tuple[Node, Chain]]:
    """Values that somebody can see, and where they are in the storage."""
    base = group[0]()
    if base is not None:
        return [(unrecorded(base._node), group.place)]
    return [(unrecorded(t._node), (*group.place, *chain_of(t._alias))) for t in _living(group)]


def unrecorded(node: Node) -> Node:
    """The value of *node* without its history, still lazy."""
    if node.value is not None:
        return put_node(node.value) if node.requires_grad else node
    return basis.detach(node) if node.requires_grad else node


def grafted(value: Node, history: Node) -> Node:
    """*value*, with the derivatives of *history*: a write that is not recorded."""
    if not history.requires_grad:
        return value
    if history.sig is not None and history.sig.prim.keeps_history and history.watch is None:
        history = history.inputs[-1] if history.inputs else history
    with _recording(True):
        return basis.graft(unrecorded(value), history)  # type: ignore[no-any-return]


def filled(node: Node, value: Any) -> Node:
    """*node* with every element replaced by *value*: zero of its gradient passes."""
    source = shapes.as_node(value)
    if source.ndim:
        raise RuntimeError(f"fill_ only supports 0-d values, not shape {source.shape}")
    return overwritten(node, source)


def overwritten(node: Node, source: Any) -> Node:
    """*source*, cast and broadcast to *node*, which stays on the graph if it is tracked."""
    source = shapes.as_node(source)
    value = composite.astype(source, node.dtype)
    value = shapes.broadcast_to(value, node.shape)
    if not (node.requires_grad and modes.grad):
        return apart(value) if value is source else value
    zeros, ones = (0,) * node.ndim, (1,) * node.ndim
    updated: Node = basis.update_slice(node, value, starts=zeros, steps=ones)
    return updated


def retains(node: Node) -> bool:
    """Whether a tensor keeps the gradient of *node*."""
    return getattr(node.watch, "retained", None) is not None
