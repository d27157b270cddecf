"""Functions of the user's that Numba is told of by ``overload``, ``register_jitable``, ``vectorize`` and ``cfunc``.

What an overload is compiled from is chosen by the types of its arguments. It is chosen by what Numba has in the user's own
function: asked of active numbers, ``isinstance(x, types.Float)`` would choose another function than is called.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final

import numba
import numpy as np
from numba import types
from numba.extending import overload

from nbgrad.machine.declared import plain_type
from nbgrad.machine.numba_inside import CFunc, CPUDispatcher, DUFunc, NumbaError, TypingError
from nbgrad.machine.numba_whole import own
from nbgrad.machine.overloads import choosers, library
from nbgrad.native.arrays import elementwise
from nbgrad.native.replacing import element_of, holds_active
from nbgrad.native.scalars import typing_context

Clone = Callable[[Any], Any]


class Overloaded(CPUDispatcher):
    """A function that users' overloads stand for, each cloned by *clone*."""

    plain: Any
    clone: Clone
    chosen: dict[Any, Any]

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """What types a call: the clone of what the overload is for what the arguments stand for."""
        error: Any = None
        for chooser in choosers(self.plain):
            for given in dict.fromkeys((tuple(map(types.unliteral, args)), tuple(args))):
                try:
                    found = self._chosen(chooser, given, kws)
                except NumbaError as failed:
                    error = failed
                    continue
                if found is not None:
                    template, pysig, taken, rest = found.get_call_template(args, kws)
                    self.overloads[tuple(taken)] = found.overloads[tuple(taken)]
                    return template, pysig, taken, rest
        raise error or TypingError(f"no overload of {self.plain.__name__} for {args}")

    def _chosen(self, chooser: Any, args: Any, kws: Any) -> Any:
        plain = tuple(map(plain_type, args)), tuple([(k, plain_type(v)) for k, v in kws.items()])
        if (chooser, plain) not in self.chosen:
            made = chooser(*plain[0], **dict(plain[1]))
            made = made[1] if isinstance(made, tuple) else made
            self.chosen[chooser, plain] = made and self.clone(numba.njit(made))
        return self.chosen[chooser, plain]


def stand_in(x: Any, clone: Clone) -> Any:
    """What stands for such a function in a clone; None if *x* is none."""
    if _is_overloaded(x):
        found = own(Overloaded(_nothing, targetoptions={"nopython": True}))
        found.plain, found.clone, found.chosen = x, clone, {}
        return found
    if isinstance(getattr(x, "class_type", None), types.ClassType):
        return _constructor(x)
    same = as_njit(x)
    return same and (clone(same) if isinstance(x, CFunc) else _elementwise(x, clone(same)))


def _is_overloaded(x: Any) -> bool:
    return callable(x) and not isinstance(x, _OTHER) and bool(choosers(x))


def _nothing(*args: Any) -> None:
    """In the place of a function that has no code of Numba's: its overloads have."""


def _constructor(plain: Any) -> Any:
    """What makes instances of a ``jitclass``: what Numba lowers for active numbers has no code, and ends the process."""

    def stub(*args: Any) -> Any:
        raise NotImplementedError

    def choose(*args: Any) -> Any:
        if holds_active(*args):
            return None
        return lambda *args: plain(*args)

    stub.__name__ = plain.__name__
    overload(stub, strict=False)(choose)
    return stub


_OTHER: Final = type, CPUDispatcher, types.Type, CFunc, DUFunc
_same: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def code_of(x: Any) -> Any:
    """The function of Python's that one of these is, in code that calls it; None if *x* is none that Numba compiles."""
    if isinstance(x, CFunc | DUFunc):
        return x.__wrapped__
    return x if isinstance(x, FunctionType) and not library(x) else None


def as_njit(x: Any) -> Any:
    """The function of Numba's that does what one of these does, with numbers; None if *x* is none of them."""
    if not isinstance(x, FunctionType | CFunc | DUFunc):
        return None
    if x not in _same:
        _same[x] = _as_njit(x)
    return _same[x]


def _as_njit(x: Any) -> Any:
    if isinstance(x, CFunc):
        return numba.njit(x._sig)(x.__wrapped__)  # type: ignore[attr-defined]
    if isinstance(x, DUFunc):
        loops = [_signature(loop) for loop in x.types] if x._frozen else None
        return numba.njit(loops, error_model="numpy")(x.__wrapped__)
    return numba.njit(x) if _is_overloaded(x) else None


def _signature(loop: str) -> Any:
    """The signature of a loop, such as ``dd->d``."""
    given, result = [[numba.from_dtype(np.dtype(c)) for c in part] for part in loop.split("->")]
    return result[0](*given)


def _elementwise(plain: Any, function: Any) -> Any:
    """What ``vectorize`` makes of a function: for numbers that, and one of arrays by element."""
    params = ", ".join(f"x{k}" for k in range(plain.nin))

    def chosen(*kinds: Any) -> Any:
        if not any(isinstance(x, types.Array) for x in kinds):
            return function
        held = tuple([element_of(x) for x in kinds])
        result = types.Dispatcher(function).get_call_type(typing_context(), held, {})
        return elementwise(function, kinds, result.return_type)

    space: dict[str, Any] = {"__name__": __name__, "chosen": chosen, "function": function}
    text = f"def stub({params}): raise NotImplementedError\n"
    text += f"def numbers({params}): return function({params})\n"
    text += f"def choose({params}):\n    found = chosen({params})\n"
    text += "    return numbers if found is function else found\n"
    exec(text, space)
    overload(space["stub"], strict=False)(space["choose"])
    return space["stub"]
