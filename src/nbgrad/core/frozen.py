"""Classes of fields that are given once, made in a tenth of the time that ``dataclass`` takes.

That one writes and compiles the text of half a dozen methods for each class, half a millisecond:
for the classes that ``import nbgrad`` makes it was a third of its time. Here all classes share
methods that read the names of the fields. These are slower to call, so what is made for each
operation of a script, as an ``Equation`` is, has an ``__init__`` of its own instead.
"""

from __future__ import annotations

from collections.abc import Callable
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
    _defaults: ClassVar[dict[str, Any]] = {}
    _more: ClassVar[bool] = False  # fields that are made, or something to do after

    def __init_subclass__(cls) -> None:
        own, given = list(cls.__annotations__), vars(cls)
        factories = {k: x.factory for k in own if isinstance(x := given.get(k), _Made)}
        cls._made = (*cls._made, *factories.items())
        cls._fields = (*cls._fields, *[k for k in own if k not in (*factories, *cls._fields)])
        cls._read = attrgetter("__class__", *cls._fields)
        cls._defaults = {k: getattr(cls, k) for k in cls._fields if hasattr(cls, k)}
        cls._more = bool(cls._made) or cls.__post_init__ is not Frozen.__post_init__

    def __init__(self, *args: Any, **named: Any) -> None:
        names, fields = self._fields, self.__dict__
        missing = len(names) - len(args)
        if missing:
            fields.update(self._defaults)
        fields.update(zip(names, args, strict=False))
        if named:
            if not named.keys() <= {*names[len(args) :]}:
                raise _unfit(type(self), args, named)
            fields.update(named)
        if missing < 0 or len(fields) != len(names):
            raise _unfit(type(self), args, named)
        if self._more:
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


def _unfit(cls: type[Frozen], args: tuple[Any, ...], named: dict[str, Any]) -> TypeError:
    return TypeError(
        f"{cls.__name__} takes {', '.join(cls._fields)}; it was given {len(args)} values and "
        f"{', '.join(named) or 'no names'}"
    )
