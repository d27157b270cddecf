"""Classes whose objects are nested data: registered ones, dataclasses, dictionaries with a default.

Tuples, lists and plain dictionaries need no entry here: see tree.py.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

from nbgrad.core.frozen import Frozen

MISSING = object()


class Container(Frozen):
    """What is known of the objects of a class.

    Attributes
    ----------
    kind : type
    flatten : callable
        ``flatten(x) -> (parts, rest)``: what may hold leaves, and what does not.
    unflatten : callable
        ``unflatten(rest, parts) -> x``.
    names : callable
        ``names(rest, count) -> sequence``: how parts are reached, ``.weights`` or ``['weights']``.
    attributes : bool
        Parts are attributes, and nothing else tells two objects apart.
    """

    kind: type
    flatten: Callable[[Any], tuple[Sequence[Any], Any]]
    unflatten: Callable[[Any, Sequence[Any]], Any]
    names: Callable[[Any, int], Sequence[str]]
    attributes: bool = False


class Held:
    """Stands in a structure for the class of an object, and for what it holds beside its parts.

    *key* is of that, hashable: what tells two objects apart.
    """

    __slots__ = ("container", "key", "rest")

    def __init__(self, container: Container, rest: Any, key: Any) -> None:
        self.container, self.rest, self.key = container, rest, key

    def make(self, parts: Sequence[Any]) -> Any:
        return self.container.unflatten(self.rest, parts)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Held)
            and self.container.kind is other.container.kind
            and self.key == other.key
        )

    def __hash__(self) -> int:
        return hash((self.container.kind, self.key))

    def __reduce__(self) -> Any:
        return _held_again, (self.container.kind, self.rest, self.key)


def held(container: Container, rest: Any, static: Callable[[Any], Any]) -> Held:
    return Held(container, rest, _key(rest, static))


def _key(rest: Any, static: Callable[[Any], Any]) -> Any:
    if rest.__class__ is tuple:
        return tuple([_key(part, static) for part in rest])
    return type(rest), static(rest)  # the type tells True from 1, which are equal


def _held_again(kind: type, rest: Any, key: Any) -> Held:
    container = container_of(kind)
    if container is None:
        raise TypeError(
            f"{kind.__qualname__} is not registered as nested data in this process: call "
            "nbgrad.tree.register where the class is defined"
        )
    return Held(container, rest, key)


_registered: dict[type, Container] = {}


def register(container: Container) -> None:
    """Let objects of a class be nested data.

    Raises
    ------
    TypeError
        If its objects are leaves by nature, or it is registered already.
    """
    kind = container.kind
    if not isinstance(kind, type):
        raise TypeError(f"tree.register takes a class, not {kind!r}")
    known = _registered.get(kind)
    if known is not None and known.flatten is not container.flatten:
        raise TypeError(f"{kind.__qualname__} is registered as nested data already")
    if kind in (list, tuple, dict) or hasattr(kind, "__array__"):
        raise TypeError(f"{kind.__qualname__} is known to nbgrad; register a class of your own")
    _registered[kind] = container
    derived.cache_clear()


def is_registered(kind: type) -> bool:
    return kind in _registered


def container_of(kind: type) -> Container | None:
    """How objects of *kind* are taken apart, if they are nested data and not a plain container."""
    return _registered.get(kind) or derived(kind)


@lru_cache(1024)
def derived(kind: type) -> Container | None:
    """The container that a dataclass is without having been registered."""
    if not hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__array__"):
        return None
    return dataclass_container(kind)


def fields(x: Any) -> tuple[Any, ...]:
    """The fields of a dataclass. Its module is imported, for that made the class."""
    found: tuple[Any, ...] = sys.modules["dataclasses"].fields(x)
    return found


def dataclass_container(
    kind: type, data: Sequence[str] | None = None, meta: Sequence[str] = ()
) -> Container:
    """A dataclass as nested data: by its fields, or by those named *data* and *meta*.

    Objects are made again as they were, without a call of the class: a gradient need not pass the
    tests of ``__post_init__``, nor do values that are not known yet. One that has attributes derived
    from its fields is made by the class, for these have to follow the fields.
    """
    initial = [f.name for f in fields(kind) if f.init]
    after = getattr(kind, "__post_init__", None)
    # One that takes arguments takes what no field keeps.
    can_call = getattr(getattr(after, "__code__", None), "co_argcount", 0) == 1
    fixed = tuple(meta)

    def attributes(x: Any) -> tuple[list[str], bool]:
        """Names of the parts, and whether there are attributes that the class derives of them."""
        chosen = initial if data is None else list(data)
        others = [f.name for f in fields(kind) if not f.init]
        others += [name for name in getattr(x, "__dict__", ()) if not _cached(kind, name)]
        others = [n for n in dict.fromkeys(others) if n not in initial and n not in fixed]
        others = [n for n in others if getattr(x, n, MISSING) is not MISSING]
        if can_call and others:
            return chosen, True
        chosen = [n for n in chosen if getattr(x, n, MISSING) is not MISSING]
        return [*chosen, *(n for n in others if n not in chosen)], False

    def flatten(x: Any) -> tuple[list[Any], Any]:
        names, called = attributes(x)
        kept = tuple([getattr(x, n) for n in fixed])
        return [getattr(x, n) for n in names], (called, tuple(names), kept)

    def unflatten(rest: Any, parts: Sequence[Any]) -> Any:
        called, names, held = rest
        given = dict(zip((*names, *fixed), (*parts, *held), strict=True))
        if called:
            return kind(**given)
        new: Any = kind.__new__
        made = new(kind)
        for name, value in given.items():
            object.__setattr__(made, name, value)
        return made

    def names(rest: Any, count: int) -> list[str]:
        return [f".{name}" for name in rest[1]]

    return Container(kind, flatten, unflatten, names, attributes=not fixed and not can_call)


def _cached(kind: type, name: str) -> bool:
    """Whether an attribute is computed of others when it is asked for."""
    return isinstance(getattr(kind, name, None), cached_property)


def _keyed(kind: type, rest_of: Callable[[Any], Any], make: Callable[[Any], Any]) -> Container:
    """A class of dictionaries."""

    def flatten(x: Any) -> tuple[Sequence[Any], Any]:
        return list(x.values()), (rest_of(x), tuple(x))

    def unflatten(rest: Any, parts: Sequence[Any]) -> Any:
        made = make(rest[0])
        made.update(zip(rest[1], parts, strict=True))
        return made

    return Container(kind, flatten, unflatten, lambda rest, _: [f"[{k!r}]" for k in rest[1]])


register(_keyed(defaultdict, lambda x: x.default_factory, lambda factory: defaultdict(factory)))
register(_keyed(OrderedDict, lambda x: None, lambda _: OrderedDict()))
