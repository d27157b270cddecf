"""Tables of members: what a class has is written in several files and attached to it once."""

from __future__ import annotations

from types import FunctionType
from typing import Any

# What Python gives each class.
_OF_CLASSES = {
    "__module__",
    "__dict__",
    "__weakref__",
    "__doc__",
    "__qualname__",
    "__annotations__",
}
_OF_CLASSES |= {"__firstlineno__", "__static_attributes__", "__annotate__", "__annotate_func__"}
_OF_CLASSES |= {"__annotations_cache__"}


def attach(cls: type, *tables: type) -> None:
    """Give *cls* the members of *tables*, which are classes in nothing but how they are written.

    Methods bear the name that they are asked by: Pint finds the rule for units under it.
    """
    for table in tables:
        for name, member in vars(table).items():
            if name in _OF_CLASSES:
                continue
            if name in vars(cls) and vars(cls)[name] is not getattr(object, name, None):
                raise TypeError(f"{cls.__name__}.{name} is defined again in {table.__name__}")
            if isinstance(member, FunctionType) and not name.startswith("_"):
                member = named(member, name)
            setattr(cls, name, member)


def named(method: Any, name: str) -> Any:
    """*method* of tensors under *name*; a copy if it has another name of that kind already."""
    if method.__qualname__.startswith("Tensor."):
        closure, defaults = method.__closure__, method.__defaults__
        twin = FunctionType(method.__code__, method.__globals__, name, defaults, closure)
        twin.__kwdefaults__, twin.__doc__ = method.__kwdefaults__, method.__doc__
        twin.__dict__.update(method.__dict__)
        method = twin
    method.__name__, method.__qualname__ = name, f"Tensor.{name}"
    return method


def raw(cls: Any, name: str) -> Any:
    """What *cls* itself holds under *name*; None if nothing, or if that is not made yet."""
    held = vars(cls).get(name)
    return None if isinstance(held, Late) else held


class Late:
    """A method that is made when it is first asked for, by ``make(name)``."""

    __slots__ = ("cls", "make", "name")

    def __init__(self, cls: Any, name: str, make: Any) -> None:
        self.cls, self.name, self.make = cls, name, make

    def __get__(self, x: Any, kind: Any = None) -> Any:
        made = self.make(self.name)
        setattr(self.cls, self.name, made)
        return made if x is None else made.__get__(x, kind)
