"""A user's function for active numbers: the same bytecode, which meets other things by its names.

Numba types a function by its arguments, so the text of the user's function stays as it is. What makes arrays
of floats has to make such of active numbers: so names of NumPy, in globals and closures, are given by value
to what does. Functions of Numba's that are called are cloned in turn.
"""

from __future__ import annotations

import builtins
import contextlib
import types as pytypes
import weakref
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import types
from numba.extending import overload

from nbgrad.machine.declared import declared
from nbgrad.machine.numba_inside import CPUDispatcher, Guarded, Remembering, TypingError
from nbgrad.machine.numba_whole import inside, own
from nbgrad.machine.overloads import library
from nbgrad.native import overloaded
from nbgrad.native.active import Carrier, complex_of, with_base
from nbgrad.native.classes import NUMBER_NAMES
from nbgrad.native.memory import dtype_of
from nbgrad.native.named import is_named, maker
from nbgrad.native.replacing import (
    METHODS,
    PREFIX,
    STAND_INS,
    absent,
    given,
    held_by,
    holds_active,
    no_dtype,
)
from nbgrad.native.scalars import typing_context

# Flags of a user's function that hold for its clones too.
KEPT: Final = ("fastmath", "error_model", "boundscheck", "forceinline", "inline")


class Clones:
    """The clones of functions for one kind of active number."""

    def __init__(self, number: Any, named: bool = False) -> None:
        self.number, self.named = number, named
        self.made: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self.modules: dict[Any, Any] = {}
        self.stand_ins = stand_ins(number)

    def of(self, dispatcher: Any) -> Any:
        """The clone of a function of Numba's."""
        found = self.made.get(dispatcher)
        if found is None:
            f = dispatcher.py_func
            if "objmode" in named(f.__code__):
                raise TypingError(f"objmode, which runs Python, in {f.__name__}")
            names = dict(f.__globals__)
            cells = f.__closure__ and tuple([pytypes.CellType() for _ in f.__closure__])
            code = renamed(f.__code__)
            copy = pytypes.FunctionType(code, names, f.__name__, f.__defaults__, cells)
            copy.__kwdefaults__ = f.__kwdefaults__
            copy.__module__, copy.__qualname__ = f.__module__, f.__qualname__
            options = {k: v for k, v in dispatcher.targetoptions.items() if k in KEPT}
            options |= {"nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
            passes = Guarded if recursive(dispatcher) else Remembering
            kinds = {k: self._local(ty) for k, ty in dispatcher.locals.items()}
            found = own(declared(dispatcher, CPUDispatcher(copy, kinds, options, passes)))
            self.made[dispatcher] = found
            try:
                self._give(f, names, cells or ())
            except BaseException:  # of a function that is called: it is not half made
                del self.made[dispatcher]
                raise
        return found

    def _give(self, f: Any, names: dict[str, Any], cells: tuple[Any, ...]) -> None:
        """Give a clone of *f* what stands for what that meets by names, and by what it captures."""
        for name in named(f.__code__):
            if name in names or hasattr(builtins, name):
                value = names[name] if name in names else getattr(builtins, name)
                found = self.value(value)
                if name in METHODS:
                    names[PREFIX + name] = found
                names[name] = found
        for cell, before in zip(cells, f.__closure__ or (), strict=True):
            try:
                cell.cell_contents = self.value(before.cell_contents)
            except ValueError:  # an empty cell
                continue

    def _local(self, ty: Any) -> Any:
        """What a variable is, whose type the user gave."""
        inexact = isinstance(ty, types.Float | types.Complex)
        return with_base(self.number, ty) if inexact else ty

    def value(self, x: Any) -> Any:
        """What stands for a value that the user's function meets by a name."""
        dispatcher = getattr(x, "dispatcher", x) if hasattr(x, "__nbgrad_njit__") else x
        if isinstance(dispatcher, CPUDispatcher):
            if converts(dispatcher):
                raise TypingError(
                    f"a signature by which {dispatcher.__name__} converts what it returns"
                )
            return self.of(dispatcher)
        if isinstance(x, pytypes.ModuleType):
            return self.module(x)
        if is_named(x):
            return self.stand_ins.get(x) or self.stand_ins.setdefault(
                x, maker(x, self.number if self.named else None)
            )
        try:
            found = self.stand_ins.get(x)
        except TypeError:  # not hashable
            return x
        if found is None and (found := overloaded.stand_in(x, self.of)) is not None:
            self.stand_ins[x] = found
        return x if found is None else found

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
        return value(getattr(module, name.removeprefix(PREFIX)))


def read_by(dispatcher: Any) -> dict[str, Any]:
    """What a function reads from outside, by name, in modules and tuples, too; functions as Numba's."""
    f, names = dispatcher.py_func, named(dispatcher.py_func.__code__)
    left = [(name, f.__globals__[name]) for name in names if name in f.__globals__]
    left += [(f"default {k}", x) for k, x in enumerate(f.__defaults__ or ())]
    left += (f.__kwdefaults__ or {}).items()
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # an empty cell
            left.append((name, cell.cell_contents))
    held: dict[str, Any] = {}
    while left:
        name, x = left.pop()
        if name not in held:
            held[name] = as_read(x)
            left += _within(name, x, names)
    return held


def _within(name: str, x: Any, names: set[str]) -> list[tuple[str, Any]]:
    """What is read of a module by its *names*, and the items of a tuple."""
    if isinstance(x, pytypes.ModuleType) and not library(x):
        return [(f"{name}.{k}", vars(x)[k]) for k in sorted(names & vars(x).keys())]
    return [(f"{name}[{k}]", item) for k, item in enumerate(x)] if type(x) is tuple else []


_read: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def as_read(x: Any) -> Any:
    """A value that is read, and of a function that Numba compiles this as one of Numba's."""
    if hasattr(x, "__nbgrad_njit__"):
        return x.dispatcher
    code = overloaded.code_of(x)
    if code is None:
        return x
    return _read.get(code) or _read.setdefault(code, CPUDispatcher(code))


def called(dispatcher: Any) -> list[Any]:
    """The functions of Numba's that one names."""
    return [x for x in read_by(dispatcher).values() if isinstance(x, CPUDispatcher)]


def reached(dispatcher: Any) -> list[Any]:
    """A function of Numba's, and those that it calls, perhaps through others, each once."""
    found, left = list[Any](), [dispatcher]
    while left:
        x = left.pop()
        if not any(x.py_func is y.py_func for y in found):
            found.append(x)
            left += called(x)
    return found


def converts(dispatcher: Any) -> bool:
    """Whether a function returns, by a signature that it was given, another type than it makes."""
    if dispatcher._can_compile:
        return False
    plain = CPUDispatcher(dispatcher.py_func, dispatcher.locals, dict(dispatcher.targetoptions))
    for kinds, made in dispatcher.overloads.items():
        _, _, args, _ = plain.get_call_template(kinds, {})
        if not alike(
            plain.overloads[tuple(args)].signature.return_type, made.signature.return_type
        ):
            return True
    return False


def alike(x: Any, y: Any) -> bool:
    """Whether two types are one but for how arrays lie."""
    if isinstance(x, types.Array) and isinstance(y, types.Array):
        return bool((x.dtype, x.ndim) == (y.dtype, y.ndim))
    if isinstance(x, types.BaseTuple) and isinstance(y, types.BaseTuple) and len(x) == len(y):
        return all(map(alike, x.types, y.types))
    return bool(x == y)


def recursive(dispatcher: Any) -> bool:
    """Whether a function calls itself, perhaps through others."""
    return any(dispatcher is y for x in reached(dispatcher) for y in called(x))


def renamed(code: Any) -> Any:
    """The code of a function, with methods of arrays by their names in a clone."""
    names = tuple([PREFIX + n if n in METHODS else n for n in code.co_names])
    constants = tuple(
        [renamed(c) if isinstance(c, pytypes.CodeType) else c for c in code.co_consts]
    )
    return code.replace(co_names=names, co_consts=constants)


def named(code: Any) -> set[str]:
    """All names of a function's code, and of those within."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, pytypes.CodeType):
            found |= named(constant)
    return found


def dtype_for(dtype: Any, made: dict[Any, Any]) -> Any:
    """What makes the dtype of active numbers, or None where an array holds other things."""
    if no_dtype(dtype):
        return made[types.float64]
    held = getattr(dtype, "dtype", None)
    return dtype_of(held) if isinstance(held, Carrier) else made.get(held_by(dtype))


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


# Makers of arrays, which hold active numbers in a clone if they hold floats: their parameters.
MAKERS: Final = {
    np.full: "shape, fill_value, dtype=None",
    np.eye: "N, M=None, k=0",
    np.identity: "n",
    np.linspace: "start, stop, num=50",
    np.array: "object, dtype=None",
    np.arange: "start, stop=None, step=None",
}


def activated(plain: Any, made: dict[Any, Any]) -> Any:
    """A maker of arrays whose floats may become active."""
    params = MAKERS[plain]
    names = [part.split("=")[0].strip() for part in params.split(",")]
    listed = ", ".join(names)

    def chosen(*kinds: Any) -> Any:
        space: dict[str, Any] = {
            "__name__": __name__,
            "np": np,
            "plain": plain,
            "again": STAND_INS.get(plain),
        }
        args = given(names, list(kinds))
        if holds_active(*kinds):
            exec(f"def impl({params}): return again({args})", space)
            return space["impl"]
        passed = [k for k in kinds if isinstance(k, types.Type) and not absent(k)]
        found = typing_context().resolve_value_type(plain)
        result = found.get_call_type(typing_context(), tuple(passed), {}).return_type
        kind = made.get(result.dtype)
        if kind is None:
            exec(f"def impl({params}): return plain({args})", space)
        else:
            space["kind"] = kind
            exec(
                f"def impl({params}):\n    x = plain({args})\n    out = np.empty(x.shape, kind())\n"
                "    out[...] = x\n    return out",
                space,
            )
        return space["impl"]

    space: dict[str, Any] = {"__name__": __name__, "chosen": chosen}
    exec(f"def stub({params}): raise NotImplementedError", space)
    exec(f"def choose({params}): return chosen({listed})", space)
    overload(space["stub"], strict=False)(space["choose"])
    return space["stub"]


def stand_ins(number: Any) -> dict[Any, Any]:
    """Functions that make arrays of floats, by those that make such of *number*."""
    floats = (types.float32, types.float64)
    bases = [*floats, *map(complex_of, floats)]
    made = {base: dtype_of(with_base(number, base)) for base in bases}
    found = STAND_INS | NUMBER_NAMES
    found |= {plain: filled(plain, made) for plain in (np.zeros, np.empty, np.ones)}
    return found | {plain: activated(plain, made) for plain in MAKERS}


_clones: dict[Any, Clones] = {}


def clones(number: Any, named: bool = False) -> Clones:
    """Those for one kind of active number; with *named* all floats in named tuples are such."""
    key = number, named, inside()  # functions of Numba's contexts and of ours are not shared
    return _clones.get(key) or _clones.setdefault(key, Clones(number, named))
