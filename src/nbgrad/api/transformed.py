"""What a transform makes of a function: called as that function is, and pickled as what made it.

A function made inside another pickles only while its module holds it under the name of the one it
wraps: ``g = nbgrad.grad(f)`` does not, nor does anything in a notebook. These objects go to another
process as the transform, the function and the options, and are made again there.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any, ParamSpec, TypeVar, cast

from nbgrad.errors import need_functions

Func = Callable[..., Any]
P = ParamSpec("P")  # the arguments of the function that is transformed
Make = TypeVar("Make", bound=Func)
# Picklers that take the functions of ``__main__`` along by value.
_BY_VALUE = frozenset({"cloudpickle", "dill"})


class Transformed:
    """A function made of another by a transform.

    Parameters
    ----------
    call : callable
        What it does.
    make : callable
        The transform, a function of a module.
    f : callable
        What was transformed; its name, documentation and signature are shown.
    options : tuple and dict
        The transform's further arguments.
    """

    def __init__(self, call: Any, make: Func, f: Func, *options: Any) -> None:
        functools.update_wrapper(self, f)
        self._call = call
        self._made_by = (make, f, *options)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        make, f = self._made_by[:2]
        return f"<nbgrad.{make.__name__} of {f!r}>"

    def __reduce__(self) -> Any:
        return self._reduced(str(sys._getframe(1).f_globals.get("__name__")).split("."))

    def _reduced(self, caller: list[str]) -> Any:
        """What it is pickled by the module *caller* as."""
        name = getattr(self, "__qualname__", "")
        module = getattr(self, "__module__", None)
        found: Any = sys.modules.get(module or "")
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self and (module != "__main__" or _BY_VALUE.isdisjoint(caller)):
            return name  # its module has it under the function's name, as a decorator leaves it
        make, f, args, kwargs = self._made_by
        return functools.partial(make, f, *args, **kwargs), ()


def transform(make: Make) -> Make:
    """Decorate a transform: what it makes of functions can be pickled, and used as a method."""

    @functools.wraps(make)
    def made(f: Func, *args: Any, **kwargs: Any) -> Any:
        need_functions(make.__name__, f)
        return Transformed(make(f, *args, **kwargs), made, f, args, kwargs)

    return cast(Make, made)
