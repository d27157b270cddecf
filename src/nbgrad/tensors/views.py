"""Which tensors are views of which: groups of them, and what makes one.

A group refers to its tensors weakly, so a view keeps nothing alive. What it does hold, once something
was written while views were held, is the node that they are to be made of.

    base ──► Group ◄── view, view, view      differentiated together
               │
            Storage ◄── other groups         the same values with another history: detach(), data

A tensor's ``_alias`` is None while it has no views, its group if it has, and if it is one a tuple:
the group, the alias of the view it was taken from or None, the chain from there, and how many views
stand between it and the base.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.node import Node
from nbgrad.core.ports import shortcuts
from nbgrad.core.recipes import window_between
from nbgrad.core.registry import about_tensors
from nbgrad.tensors.chains import Chain, Positions, shortened, source_of, strides_of

ref = weakref.ref
ELEMENT = 0  # the depth of what NumPy gives as a scalar: it keeps its value
DETACHED = -1  # that of what detach() made and nobody has written to or viewed
MAX_DEPTH = 48  # of a chain of views of views, before it is replaced by the positions it selects


class Group(list[Any]):
    """The tensors that are views of one: weak references to it, then to those with a node.

    Attributes
    ----------
    limit : int
        Length at which dead references are dropped.
    stale : dict
        References to the views whose node a write has taken away, by identity.
    retaining : set
        Which of them are to keep their gradients.
    current : Node or None
        The value of the whole, once something was written.
    storage : Storage or None
    place : tuple
        The operations that make the whole of the storage.
    guarded : bool
        The whole is a view that was made while nothing was recorded.
    """

    limit = 128
    stale: dict[int, Any] = {}  # noqa: RUF012 - replaced, never changed
    retaining: set[int] = set()  # noqa: RUF012
    current: Node | None = None
    storage: Storage | None = None
    place: Chain = ()
    guarded = False

    def tidy(self) -> None:
        """Drop the references to what is gone."""
        self[1:] = [r for r in self[1:] if r() is not None]
        self.limit = max(2 * len(self), 128)


shortcuts.group = Group


class Storage(list[Any]):
    """Groups that share values, but no history: weak references to them.

    Attributes
    ----------
    aval : Aval
        Of the whole.
    """

    aval: Aval
    limit = 16

    def tidy(self) -> None:
        self[:] = [r for r in self if r() is not None]
        self.limit = 2 * len(self) + 16

    def others(self, group: Group) -> list[Group]:
        found = [r() for r in self]
        return [g for g in found if g is not None and g is not group]


def chain_of(alias: Any) -> Chain:
    """The operations that make a view of the whole of its group."""
    if alias[1] is None:
        return alias[2]  # type: ignore[no-any-return]
    parts = []
    while alias is not None:
        parts.append(alias[2])
        alias = alias[1]
    return tuple(sig for part in reversed(parts) for sig in part)


def scalar(t: Any) -> bool:
    """Whether *t* is an element, which NumPy would give as a scalar."""
    return t._alias.__class__ is tuple and t._alias[3] == ELEMENT


def related(a: Any, b: Any) -> bool:
    """Whether *a* and *b* are views of one tensor."""
    x, y = (t._alias[0] if t._alias.__class__ is tuple else t._alias for t in (a, b))
    return x is y and x is not None


def alike(a: Any, b: Any) -> bool:
    """Whether they are the same elements with the same history."""
    return related(a, b) and same(a, b)


def same(a: Any, b: Any) -> bool:
    """Whether *a* and *b* are the same elements in the same order."""
    x, y = (getattr(t, "_alias", None) for t in (a, b))
    if x is None or y is None:
        return a is b
    (one, first), (other, second) = (
        (z[0], chain_of(z)) if z.__class__ is tuple else (z, ()) for z in (x, y)
    )
    if one is other:
        return first == second
    return (
        one.storage is not None
        and one.storage is other.storage
        and (*one.place, *first) == (*other.place, *second)
    )


def shares_memory(a: Any, b: Any, /, max_work: Any = None) -> bool:
    """Whether an element of *a* is one of *b*, so that writing to one changes the other."""
    if not (hasattr(a, "_alias") and hasattr(b, "_alias")):
        x, y = (getattr(getattr(t, "_node", None), "value", t) for t in (a, b))
        return isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and np.shares_memory(x, y)
    (one, first), (other, second) = _where(a), _where(b)
    if one is not other:
        return False
    return bool(np.intersect1d(_places(a, first), _places(b, second)).size)


def _where(t: Any) -> tuple[Any, Chain]:
    """What *t* shares values by, and the operations that make it of that."""
    alias = t._alias
    if alias is None or scalar(t):
        return t, ()
    group, chain = (alias[0], chain_of(alias)) if alias.__class__ is tuple else (alias, ())
    storage = group.storage
    return (group, chain) if storage is None else (storage, (*group.place, *chain))


def _places(t: Any, chain: Chain) -> Any:
    """Numbers of the elements of the whole that *t* has; twice as many for parts of complex ones."""
    if not chain:
        return 2 * np.arange(t._node.size)
    source = source_of(chain)
    places = 2 * np.arange(source.size).reshape(source.shape)
    for sig in chain:
        if sig.__class__ is Positions:
            places = places.reshape(-1)[sig.places.value]
        elif sig.aval.dtype == sig.operands[0].dtype:
            places = sig.prim.evaluate(places, **sig.params)
        elif sig.prim.kind == "elementwise" and "dtype" not in sig.params:
            places = places + 1  # the imaginary part
    return places


about_tensors[np.shares_memory] = about_tensors[np.may_share_memory] = shares_memory


# ------------------------------------------------------------------------------------------ making


def share(made: Any, base: Any, chain: Chain | None, element: bool = False) -> Any:
    """Let *made*, which *chain* makes of *base*, be a view of it; returns *made*.

    An *element* keeps its value, as NumPy's scalars do, and only knows where PyTorch's methods
    write: ``x[0].mul_(2)``.
    """
    if chain is None:
        return made
    if not element and not made._node.requires_grad and base._node.requires_grad:
        return _apart(made, base, chain, guarded=True)
    parent, group, depth = None, base._alias, 1
    if group.__class__ is tuple:
        if group[3] == ELEMENT:
            return made
        if group[3] == DETACHED:
            own(base)
            return share(made, base, chain, element)
        parent, group = group, group[0]
        depth = parent[3] + 1
        if depth > MAX_DEPTH:
            parent, chain, depth = None, shortened((*chain_of(parent), *chain)), 1
    elif group is None:
        group = base._alias = Group((ref(base),))
    made._alias = (group, parent, chain, ELEMENT if element else depth)
    if not element:
        group.append(ref(made))
    if len(group) > group.limit:
        group.tidy()
    return made


def strided(base: Any, chain: Chain) -> bool:
    """Whether *chain* gives *base* regular steps in memory, so that NumPy need not copy."""
    whole = _place(base)
    return not whole or _layout((*whole, *chain)) is not None


def contiguous(base: Any, chain: Chain) -> bool:
    """Whether the elements of *base* stand in memory in their order, without gaps."""
    whole = _place(base)
    strides, step = _layout(whole) if whole else (), 1
    if strides is None:
        return False
    for n, stride in zip(base.shape[::-1], strides[::-1], strict=False):
        if n != 1 and stride != step:
            return False
        step *= n
    return True


# When the results of a function are views: see ``vocabulary/declare.py``.
CONDITIONS: dict[Any, Callable[[Any, Chain], bool] | None] = {
    True: None,
    "strided": strided,
    "contiguous": contiguous,
    "uncopied": None,
}


def _place(base: Any) -> Chain:
    """The operations that make *base* of contiguous memory."""
    alias = base._alias
    if alias is None:
        return ()
    if alias.__class__ is tuple:
        return (*alias[0].place, *chain_of(alias))
    return alias.place  # type: ignore[no-any-return]


def _layout(chain: Chain) -> tuple[int, ...] | None:
    """Strides of what *chain* makes of contiguous memory; None where that must be copied."""
    if chain not in _layouts:
        if len(_layouts) >= 4096:
            _layouts.clear()
        _layouts[chain] = strides_of(source_of(chain), chain)
    return _layouts[chain]


_layouts: dict[Chain, tuple[int, ...] | None] = {}


def adopt(made: Any, operands: Sequence[Any], kind: Any = True) -> Any:
    """Let *made* be a view of the one among *operands* that it is made of, if it is one."""
    for base in operands:
        chain = window_between(made._node, base._node)
        if chain is not None:
            only = CONDITIONS[kind]
            return share(made, base, chain) if only is None or only(base, chain) else made
    return made


def detached(made: Any, source: Any) -> Any:
    """Let *made* share the values of *source*, but not its history."""
    parent, group = None, source._alias
    if group is None:
        group = source._alias = Group((ref(source),))
    elif group.__class__ is tuple:
        if group[3] == ELEMENT:
            return made
        parent, group = group[1] if group[3] == DETACHED else group, group[0]
    made._alias = (group, parent, (), DETACHED)
    group.append(ref(made))
    if len(group) > group.limit:
        group.tidy()
    return made


def own(t: Any) -> None:
    """Give *t*, a view, a history of its own: what is written to its base changes its values alone."""
    if scalar(t):
        t._alias = None
        return
    t._node  # noqa: B018 - as it is now
    _apart(t, t, ())


def _apart(made: Any, source: Any, chain: Chain, guarded: bool = False) -> Any:
    group = source._alias
    if group is None:
        group = source._alias = Group((ref(source),))
    elif group.__class__ is tuple:
        if group[3] == ELEMENT:
            return made
        group, chain = group[0], (*chain_of(group), *chain)
    storage = group.storage
    if storage is None:
        storage = group.storage = Storage((ref(group),))
        storage.aval = source_of(chain) if chain else source._node.aval
    mine = made._alias = Group((ref(made),))
    mine.storage = storage
    if group.place or chain:
        whole = (*group.place, *chain)
        mine.place = shortened(whole) if len(whole) > MAX_DEPTH else whole
    if guarded:
        mine.guarded = True
    storage.append(ref(mine))
    if len(storage) > storage.limit:
        storage.tidy()
    return made
