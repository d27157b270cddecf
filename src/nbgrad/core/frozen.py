"""Classes of fields that are given once, made in a tenth of the time that ``dataclass`` takes.

That one writes and compiles the text of half a dozen methods for each class, half a millisecond:
for the classes that ``import nbgrad`` makes it was a third of its time. Here all classes share
methods that read the names of the fields. These are slower to call, so what is made for each
operation of a script, as an ``Equation`` is, has an ``__init__`` of its own instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, ClassVar, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")
_put = object.__setattr__


class _Made:
    __slots__ = ("factory",)

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.factory = factory


def made(*, factory: Callable[[], T], init: bool = False) -> T:
    """Say of a field that *factory* makes it, anew for each object; it is no argument."""
    return _Made(factory)  # type: ignore[return-value]


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(made,))
class Frozen:
    """A class whose annotated names are its fields, given in that order or by name."""

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]] = ()
    _made: ClassVar[tuple[tuple[str, Callable[[], Any]], ...]] = ()
    _read: ClassVar[Any] = attrgetter("__class__")

    def __init_subclass__(cls) -> None:
        own, given = list(cls.__annotations__), vars(cls)
        factories = {k: x.factory for k in own if isinstance(x := given.get(k), _Made)}
        cls._made = (*cls._made, *factories.items())
        cls._fields = (*cls._fields, *[k for k in own if k not in (*factories, *cls._fields)])
        cls._read = attrgetter("__class__", *cls._fields)

    def __init__(self, *args: Any, **named: Any) -> None:
        names = self._fields
        if named or len(args) != len(names):
            given: Sequence[Any] = _complete(type(self), args, named)
        else:
            given = args
        for name, value in zip(names, given, strict=True):
            _put(self, name, value)
        for name, factory in self._made:
            _put(self, name, factory())
        self.__post_init__()

    def __post_init__(self) -> None:
        """Look at the fields, once they are there."""

    def __repr__(self) -> str:
        fields = [f"{name}={getattr(self, name)!r}" for name in self._fields]
        return f"{type(self).__qualname__}({', '.join(fields)})"

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{name!r} of a {type(self).__name__} is never assigned to")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name!r} of a {type(self).__name__} is never deleted")


@dataclass_transform(frozen_default=True)
class Value(Frozen):
    """One that is equal to others, and hashed, by its fields."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bool(self._read(self) == self._read(other))

    def __hash__(self) -> int:
        return hash(self._read(self))


def values(x: Any) -> tuple[Any, ...]:
    """The fields of *x*."""
    return tuple([getattr(x, name) for name in x._fields])


def replace(x: T, /, **changes: Any) -> T:
    """Return an object like *x* but for the fields in *changes*."""
    fields: Any = x
    return type(x)(**dict(zip(fields._fields, values(x), strict=True)) | changes)


def _complete(cls: Any, args: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
    """The value of each field, from what is given and the defaults."""
    names = cls._fields
    given = dict(zip(names, args, strict=False))
    if len(args) <= len(names) and given.keys().isdisjoint(named):
        given.update(named)
        try:
            found = [given.pop(name) if name in given else getattr(cls, name) for name in names]
        except AttributeError:  # neither given nor with a default
            given[""] = None
        if not given:
            return found
    raise TypeError(
        f"{cls.__name__} takes {', '.join(names)}; it was given {len(args)} values and "
        f"{', '.join(named) or 'no names'}"
    )
