"""Trees: nested arguments and results as a flat list of leaves and a structure.

Tuples, lists and dictionaries are nested data, with their subclasses, None (of no leaves), and what
containers.py knows. Leaves come in the order in which these hold them: of a dictionary, that of
insertion. A structure is a leaf; or the class, keys or ``Held``, and parts of a container; or
something else, as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from itertools import count
from types import MethodType
from typing import Any

from nbgrad.core.containers import Held, container_of, fields, held, is_registered

LEAF = "*"
STATIC = "static"
_PLAIN = frozenset({tuple, list, dict, type(None), int, bool, str})
MAX_NESTING = 50  # Python refuses expressions of more than 200 parentheses
Structure = Any


class Same:
    """Stands in a structure for an object that equals what has the same *key*: itself, if None."""

    __slots__ = ("key", "value")

    def __init__(self, value: Any, key: Any = None) -> None:
        self.value = value
        self.key = id(value) if key is None else key

    def __eq__(self, other: object) -> bool:
        return other.__class__ is Same and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def kept(x: Any) -> Any:
    """What stands for *x* in a structure: itself, if it is hashable."""
    try:
        hash(x)
    except TypeError:
        return Same(x)
    return x


def is_leaf(x: Any) -> bool:
    """Whether *x* is neither a container nor None."""
    return not (x is None or isinstance(x, (tuple, list, dict)) or container_of(type(x)))


def flatten(
    x: Any,
    is_leaf: Callable[[Any], bool] = is_leaf,
    static: Callable[[Any], Any] = kept,
    closed: Callable[[Any], bool] | None = None,
) -> tuple[list[Any], Structure]:
    """Return the leaves of *x* in order, and a hashable structure that holds everything else.

    ``static(x)`` is what stands for something that is neither a leaf nor a container: itself or a
    ``Same`` of it. ``closed(x)`` says whether an object of a class that was not registered is that,
    too.
    """
    leaves: list[Any] = []
    return leaves, _structure(x, leaves, is_leaf, static, closed)


def _structure(
    x: Any,
    leaves: list[Any],
    is_leaf: Callable[[Any], bool],
    static: Callable[[Any], Any],
    closed: Callable[[Any], bool] | None,
) -> Structure:
    """The structure of *x*, whose leaves are added to *leaves*.

    It is no closure: one that calls itself is a cycle, in which leaves live until the collector comes.
    """
    if is_leaf(x):
        leaves.append(x)
        return LEAF
    kind = type(x)
    container = None if kind in _PLAIN else container_of(kind)
    if container is not None and not (closed and not is_registered(kind) and closed(x)):
        parts, rest = container.flatten(x)
        inner = tuple([_structure(part, leaves, is_leaf, static, closed) for part in parts])
        return kind, held(container, rest, static), inner
    if isinstance(x, (tuple, list)):
        return kind, None, tuple([_structure(item, leaves, is_leaf, static, closed) for item in x])
    if isinstance(x, dict):
        inner = tuple([_structure(item, leaves, is_leaf, static, closed) for item in x.values()])
        return kind, _keys(tuple(x)), inner
    # The type tells True from 1, which are equal.
    return STATIC, kind, static(x)


class Keys(tuple[Any, ...]):
    """Keys of a dictionary, not all of them text: equal to such of the same types alone."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keys) and _exact(self) == _exact(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(_exact(self))


def _exact(keys: Keys) -> Any:
    return tuple(map(key_of, keys))


def _keys(keys: tuple[Any, ...]) -> tuple[Any, ...]:
    return keys if all(k.__class__ is str for k in keys) else Keys(keys)


def key_of(x: Any) -> Any:
    """A key of an immutable value, equal to that of another only where nothing tells them apart.

    So it tells 1 from True, 0.0 from -0.0, and those apart which a class of its own makes equal:
    ``Decimal("1.0")`` and ``Decimal("1.00")``, one instant in two time zones.
    """
    kind = type(x)
    if issubclass(kind, (float, complex)):
        return kind, repr(x)
    if issubclass(kind, frozenset):
        return kind, frozenset(map(key_of, x))
    if issubclass(kind, tuple):
        return kind, tuple(map(key_of, x))
    if kind is range:
        return kind, x.start, x.stop, x.step
    own = kind.__eq__ is not object.__eq__  # type: ignore[comparison-overlap]
    if not own or kind in (int, bool, str, bytes) or isinstance(x, Enum):
        return kind, x
    if hasattr(kind, "__dataclass_fields__"):
        return kind, tuple(map(key_of, fields_of(x)))
    return kind, x, _state(x)


def fields_of(x: Any) -> list[Any]:
    """The values of a dataclass; one that is not set is an object that is like no other."""
    return [getattr(x, field.name, object()) for field in fields(x)]


def _state(x: Any) -> Any:
    """What a value would be pickled by, where that is hashable."""
    try:
        state = x.__reduce_ex__(2)
        hash(state)
    except Exception:
        return None  # what its class calls equal is equal
    return state


def pinned(structure: Structure, values: Mapping[int, Any]) -> Structure:
    """*structure* with the leaves of some places, by their number, as the values they have."""
    return _pinned(structure, values, count())


def _pinned(structure: Structure, values: Mapping[int, Any], place: Iterator[int]) -> Structure:
    if structure == LEAF:
        k = next(place)
        return (STATIC, type(values[k]), values[k]) if k in values else LEAF
    kind, keys, content = structure
    if kind == STATIC:
        return structure
    return kind, keys, tuple([_pinned(part, values, place) for part in content])


def statics(structure: Structure) -> Iterator[Any]:
    """What a structure holds beside containers and leaves."""
    if structure == LEAF:
        return
    kind, keys, content = structure
    if kind == STATIC:
        yield content.value if content.__class__ is Same else content
    else:
        if keys.__class__ is Held:
            yield from keys.rest if keys.rest.__class__ is tuple else (keys.rest,)
        for part in content:
            yield from statics(part)


def paths(structure: Structure, name: str = "") -> list[str]:
    """How each leaf is reached in what is called *name*: ``weights['bias'][0]``, ``p.scale``."""
    if structure == LEAF:
        return [name]
    return (
        []
        if structure[0] == STATIC
        else [
            path
            for step, part in zip(steps(structure), structure[2], strict=True)
            for path in paths(part, name + step)
        ]
    )


def steps(structure: Structure) -> Sequence[str]:
    """How each part of a container is reached."""
    kind, keys, content = structure
    if keys.__class__ is Held:
        found: Sequence[str] = keys.container.names(keys.rest, len(content))
        return found
    if keys is not None:
        return [f"[{key!r}]" for key in keys]
    named = getattr(kind, "_fields", ())
    return (
        [f".{n}" for n in named]
        if len(named) == len(content)
        else [f"[{k}]" for k in range(len(content))]
    )


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """Rebuild what was flattened, with *leaves* in place of the leaves."""
    return builder(structure)(leaves)


def builder(structure: Structure, scalars: Collection[int] = ()) -> Callable[[Sequence[Any]], Any]:
    """Return :func:`unflatten` of one structure as code of its own, ``(x[0], (x[1],))``.

    It takes 0.1 µs where following the structure takes 1: a call of a compiled function ends here.
    The leaves at the places *scalars*, 0-d arrays, become NumPy's scalars.
    """
    return _compiled(structure, map(partial(_leaf, scalars), count()), 0)


def builder_text(
    structure: Structure, scalars: Collection[int] = ()
) -> tuple[str, dict[str, Any]]:
    """The expression in ``x`` that :func:`builder` evaluates, and the names in it."""
    names: dict[str, Any] = {}
    return _text(structure, map(partial(_leaf, scalars), count()), names, 0), names


def _leaf(scalars: Collection[int], place: int) -> str:
    return f"x[{place}][()]" if place in scalars else f"x[{place}]"


def _compiled(structure: Structure, position: Iterator[str], depth: int) -> Callable[..., Any]:
    names: dict[str, Any] = {}
    text = _text(structure, position, names, depth)
    return eval(f"lambda x: {text}", names)  # type: ignore[no-any-return]


def _text(structure: Structure, position: Iterator[str], names: dict[str, Any], depth: int) -> str:
    """Python for one structure; what it cannot spell is added to *names*."""

    def named(value: Any) -> str:
        return _named(names, value)

    if structure == LEAF:
        return next(position)
    kind, keys, content = structure
    if kind == STATIC:
        return named(content.value if content.__class__ is Same else content)
    if depth % MAX_NESTING == MAX_NESTING - 1:
        return f"{named(_compiled(structure, position, depth + 1))}(x)"
    parts = [_text(part, position, names, depth + 1) for part in content]
    if keys.__class__ is Held:
        return f"{named(keys.make)}([{', '.join(parts)}])"
    if keys is not None:
        items = zip(keys, parts, strict=True)
        made = "{" + ", ".join(f"{named(k)}: {part}" for k, part in items) + "}"
        return made if kind is dict else f"{named(_dict_of(kind))}({made})"
    listed = f"[{', '.join(parts)}]"
    if kind is list:
        return listed
    if kind is tuple:
        return f"({''.join(f'{part}, ' for part in parts)})"
    return f"{named(getattr(kind, '_make', kind))}({listed})"


def _dict_of(kind: type) -> Callable[[dict[Any, Any]], Any]:
    """What makes a dictionary of a class of the user's, which may take other arguments."""

    def made(items: dict[Any, Any]) -> Any:
        new: Any = kind.__new__
        found = new(kind)
        found.update(items)
        return found

    return made


def _named(names: dict[str, Any], value: Any) -> str:
    """Add *value* to *names*; return its name."""
    name = f"c{len(names)}"
    names[name] = value
    return name


def matcher(
    structure: Structure, fitting: Mapping[int, Callable[[Any], Any]] | None = None
) -> Callable[[tuple[Any, ...], dict[str, Any]], Any] | None:
    """Return the inverse of :func:`builder` for arguments, as code of its own.

    It takes positional and keyword arguments and returns the tuple of their leaves, or None if
    anything else about them differs from *structure*, that of ``(args, kwargs)``. There is no such
    code for containers that find their items in a way of their own. *fitting* has functions that
    are applied to the leaves of some places.
    """
    if not _subscripts_plainly(structure):
        return None
    positional, (_, keywords, values) = structure[2]
    names: dict[str, Any] = {}
    leaves: list[str] = []
    tests = [f"len(args) == {len(positional[2])} and len(kwargs) == {len(values)}"]
    tests += [f"{name!r} in kwargs" for name in keywords]
    parts = [(f"args[{k}]", part) for k, part in enumerate(positional[2])]
    parts += [(f"kwargs[{name!r}]", part) for name, part in zip(keywords, values, strict=True)]
    for path, part in parts:
        _match(part, path, names, tests, leaves)
    for k, fit in (fitting or {}).items():
        leaves[k] = f"{_named(names, fit)}({leaves[k]})"
    found = "".join(f"{leaf}, " for leaf in leaves)
    code = f"lambda args, kwargs: ({found}) if {' and '.join(tests)} else None"
    return eval(code, names)  # type: ignore[no-any-return]


def _subscripts_plainly(structure: Structure) -> bool:
    if structure == LEAF or structure[0] == STATIC:
        return True
    kind, keys, content = structure
    if keys.__class__ is Held:
        return keys.container.attributes and all(map(_subscripts_plainly, content))
    base = dict if keys is not None else list if issubclass(kind, list) else tuple
    if keys.__class__ is Keys:
        return False  # nor for keys that their types tell apart
    same = kind.__getitem__ is base.__getitem__ and kind.__len__ is base.__len__
    return same and kind.__iter__ is base.__iter__ and all(map(_subscripts_plainly, content))


def _match(
    structure: Structure, path: str, names: dict[str, Any], tests: list[str], leaves: list[str]
) -> None:
    """Add to *tests* what must hold of *path*, in an order in which each can be evaluated."""
    if structure == LEAF:
        leaves.append(path)
        return
    kind, keys, content = structure
    if kind == STATIC:
        # Bound methods are made anew at each access.
        same = "==" if keys in (int, bool, str, MethodType) else "is"
        held = content.value if content.__class__ is Same else content
        tests.append(f"{path}.__class__ is {_named(names, keys)}")
        tests.append(f"{path} {same} {_named(names, held)}")
        return
    tests.append(f"{path}.__class__ is {_named(names, kind)}")
    if keys.__class__ is Held:
        reached = _named(names, keys.container.flatten)
        tests.append(f"{reached}({path})[1] == {_named(names, keys.rest)}")
        for name, part in zip(keys.rest[1], content, strict=True):
            _match(part, f"{path}.{name}", names, tests, leaves)
        return
    tests.append(f"len({path}) == {len(content)}")
    if keys is not None:
        tests.append(f"tuple({path}) == {_named(names, keys)}")
    for key, part in zip(range(len(content)) if keys is None else keys, content, strict=True):
        _match(part, f"{path}[{_named(names, key)}]", names, tests, leaves)
