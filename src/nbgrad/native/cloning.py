"""A user's function for active numbers: the same bytecode, which meets other things by its names.

Numba types a function by its arguments, so the text of the user's function stays as it is. What makes arrays
of floats has to make such of active numbers: so names of NumPy, in globals and closures, are given by value
to what does. Functions of Numba's that are called are cloned in turn.
"""

from __future__ import annotations

import builtins
import types as pytypes
import weakref
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import types
from numba.extending import overload

from nbgrad.machine.numba_inside import CPUDispatcher
from nbgrad.native.active import Active, with_base
from nbgrad.native.memory import dtype_of

# Flags of a user's function that hold for its clones too.
KEPT: Final = ("fastmath", "error_model", "boundscheck", "forceinline", "inline")


class Clones:
    """The clones of functions for one kind of active number."""

    def __init__(self, number: Any) -> None:
        self.number = number
        self.made: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self.modules: dict[Any, Any] = {}
        self.stand_ins = stand_ins(number)

    def of(self, dispatcher: Any) -> Any:
        """The clone of a function of Numba's."""
        found = self.made.get(dispatcher)
        if found is None:
            f = dispatcher.py_func
            names = dict(f.__globals__)
            cells = f.__closure__ and tuple([pytypes.CellType() for _ in f.__closure__])
            copy = pytypes.FunctionType(f.__code__, names, f.__name__, f.__defaults__, cells)
            copy.__kwdefaults__ = f.__kwdefaults__
            copy.__module__, copy.__qualname__ = f.__module__, f.__qualname__
            options = {k: v for k, v in dispatcher.targetoptions.items() if k in KEPT}
            options |= {"nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
            found = self.made[dispatcher] = CPUDispatcher(py_func=copy, targetoptions=options)
            for name in named(f.__code__):
                if name in names:
                    names[name] = self.value(names[name])
                elif hasattr(builtins, name):
                    value = getattr(builtins, name)
                    given = self.value(value)
                    if given is not value:
                        names[name] = given
            for cell, before in zip(cells or (), f.__closure__ or (), strict=True):
                try:
                    cell.cell_contents = self.value(before.cell_contents)
                except ValueError:  # an empty cell
                    continue
        return found

    def value(self, x: Any) -> Any:
        """What stands for a value that the user's function meets by a name."""
        dispatcher = getattr(x, "dispatcher", x) if hasattr(x, "__nbgrad_njit__") else x
        if isinstance(dispatcher, CPUDispatcher):
            return self.of(dispatcher)
        if isinstance(x, pytypes.ModuleType):
            return self.module(x)
        try:
            return self.stand_ins.get(x, x)
        except TypeError:  # not hashable
            return x

    def module(self, module: Any) -> Any:
        found = self.modules.get(module)
        if found is None:
            found = self.modules[module] = _Module(module, self.value)
        return found


class _Module(pytypes.ModuleType):
    """A module whose names are given by *value*."""

    def __init__(self, module: Any, value: Callable[[Any], Any]) -> None:
        super().__init__(module.__name__)
        self.__dict__["_own"] = (module, value)

    def __getattr__(self, name: str) -> Any:
        module, value = self.__dict__["_own"]
        return value(getattr(module, name))


def named(code: Any) -> set[str]:
    """All names of a function's code, and of those within."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, pytypes.CodeType):
            found |= named(constant)
    return found


def dtype_for(dtype: Any, made: dict[Any, Any]) -> Any:
    """What makes the dtype of active numbers, or None where an array holds other things."""
    if dtype is None or isinstance(dtype, types.NoneType | types.Omitted):
        return made[types.float64]
    held = getattr(dtype, "dtype", None)
    if isinstance(dtype, types.StringLiteral):
        held = types.float64 if dtype.literal_value in ("float64", "f8", "d") else None
    return dtype_of(held) if isinstance(held, Active) else made.get(held)


def filled(plain: Any, made: dict[Any, Any]) -> Any:
    """``np.zeros``, ``np.empty`` or ``np.ones`` of numbers that may be active."""

    def stub(shape: Any, dtype: Any = None) -> Any:
        raise NotImplementedError

    @overload(stub, strict=False)
    def implemented(shape: Any, dtype: Any = None) -> Any:
        kind = dtype_for(dtype, made)
        if kind is None:
            return lambda shape, dtype=None: plain(shape, dtype)
        if plain is not np.ones:
            return lambda shape, dtype=None: np.zeros(shape, kind())

        def ones(shape: Any, dtype: Any = None) -> Any:
            made = np.empty(shape, kind())
            made[...] = 1.0
            return made

        return ones

    return stub


def stand_ins(number: Any) -> dict[Any, Any]:
    """Functions that make arrays of floats, by those that make such of *number*."""
    made = {base: dtype_of(with_base(number, base)) for base in (types.float32, types.float64)}
    return {plain: filled(plain, made) for plain in (np.zeros, np.empty, np.ones)}


_clones: dict[Any, Clones] = {}


def clones(number: Any) -> Clones:
    """Those for one kind of active number."""
    return _clones.get(number) or _clones.setdefault(number, Clones(number))
