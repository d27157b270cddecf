"""What machine code of a function depends on, as text: the keys by which it is kept on disk.

A key has the bytecode of the function and of all that it calls, the values that these read from outside, the
types of its arguments, and versions. What is not understood has no key: its code is made anew by each process.
"""

from __future__ import annotations

import builtins
import os
import sys
from functools import cache
from types import CodeType, ModuleType
from typing import Any, Final

import numba
import numpy as np
from numba import types

from nbgrad.machine import bounds, processor
from nbgrad.machine.cache import digest
from nbgrad.machine.numba_inside import CPUDispatcher
from nbgrad.machine.overloads import foreign_overloads
from nbgrad.native.cloning import named
from nbgrad.native.forms import Fixed, Leaf, Records, Static
from nbgrad.native.frozen import mark

# Whose functions have versions, which are in each key.
TRUSTED: Final = (
    "numpy",
    "math",
    "cmath",
    "operator",
    "_operator",
    "builtins",
    "numba",
    "nbgrad",
    "scipy",
)


class Unknown(Exception):
    """A value that no key can say: which."""


class Described:
    """A function of Numba's and all that it reads, as parts of a key.

    ``functions`` are the modules and names of those of the user's, ``classes`` those of named tuples.
    """

    def __init__(self, dispatcher: Any) -> None:
        self.parts: list[str] = []
        self.functions: set[tuple[str, str]] = set()
        self.classes: list[Any] = []
        self._seen: dict[int, int] = {}
        self._held: list[Any] = []
        self.value(dispatcher, ())

    def say(self, *parts: Any) -> None:
        self.parts.extend(map(str, parts))

    def met(self, x: Any) -> bool:
        """Whether a value was met before, which is said."""
        if id(x) in self._seen:
            self.say("again", self._seen[id(x)])
            return True
        self._seen[id(x)] = len(self._seen)
        self._held.append(x)
        return False

    def value(self, x: Any, names: Any) -> None:
        """Say a value that code meets, which has these *names*."""
        x = x.dispatcher if hasattr(x, "__nbgrad_njit__") else x
        if isinstance(x, CPUDispatcher):
            self._dispatcher(x)
        elif isinstance(x, ModuleType):
            self._module(x, names)
        elif isinstance(x, tuple):
            self.say("tuple", len(x))
            if type(x) is not tuple:
                self._class(type(x))
            for item in x:
                self.value(item, ())
        elif x is None or isinstance(x, bytes):
            self.say("value", repr(x))
        elif (marked := mark(x)) is not None:
            self.say("value", marked)
        elif isinstance(x, type):
            self._class(x)
        elif isinstance(x, np.dtype):
            self.say("dtype", x.descr)
        elif isinstance(x, types.Number | types.Boolean):
            self.say("type", x)
        else:
            self._known(x)

    def _dispatcher(self, x: Any) -> None:
        if self.met(x):
            return
        f = x.py_func
        self.functions.add((f.__module__, f.__qualname__))
        options = sorted(x.targetoptions.items(), key=str)
        self.say("function", f.__module__, f.__qualname__, options, x._can_compile, x.locals)
        if not x._can_compile:
            self.say(*[overload.signature for overload in x.overloads.values()])
        self._code(f.__code__)
        for default in (*(f.__defaults__ or ()), *sorted((f.__kwdefaults__ or {}).items())):
            self.value(default, ())
        names = named(f.__code__)
        for name in sorted(names):
            if name in f.__globals__:
                self.say("global", name)
                self.value(f.__globals__[name], names)
            elif hasattr(builtins, name):
                self.say("builtin", name)
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            self.say("cell", name)
            try:
                held = cell.cell_contents
            except ValueError:
                raise Unknown(f"{name}, which is not there yet") from None
            self.value(held, names)

    def _code(self, code: CodeType) -> None:
        # Lines are in what a function raises, and in what is told of a derivative.
        self.say(code.co_filename, code.co_firstlineno, code.co_linetable.hex())
        self.say(code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars)
        self.say(code.co_argcount, code.co_kwonlyargcount, code.co_flags)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._code(constant)
            else:
                self.say("constant", type(constant), repr(constant))

    def _module(self, x: ModuleType, names: Any) -> None:
        self.say("module", x.__name__)
        if trusted(x.__name__) or self.met(x):
            return
        for name in sorted(names):
            if name in vars(x):
                self.say("attribute", name)
                self.value(vars(x)[name], names)

    def _class(self, x: Any) -> None:
        if issubclass(x, tuple) and hasattr(x, "__match_args__"):
            if x not in self.classes:
                self.classes.append(x)
            self.say(
                "tuples", x.__module__, x.__qualname__, x.__match_args__, x.__new__.__defaults__
            )
        else:
            self._known(x)

    def _known(self, x: Any) -> None:
        """Say a function or a class that stands in a module with a version, by its name there."""
        name = getattr(x, "__qualname__", None) or getattr(x, "__name__", None)
        module = getattr(x, "__module__", None)
        where = [module] if isinstance(module, str) else []
        if isinstance(x, np.ufunc):
            where += ["numpy", "scipy.special"]
        for place in where:
            if trusted(place) and _at(sys.modules.get(place), name) is x:
                self.say("known", place, name)
                return
        raise Unknown(f"a value of the type {type(x).__qualname__}")

    def argument(self, x: Any) -> None:
        """Say what stands for an argument, or a tuple of such."""
        if isinstance(x, Leaf):
            self.say("leaf", x.number, x.dtype.str, x.ndim)
        elif isinstance(x, Records):
            self.say("records", x.leaf.number, x.ndim, numba.from_dtype(x.dtype))
        elif isinstance(x, Static):
            self.say("static", x.number, x.code)
        elif isinstance(x, Fixed):
            self.say("fixed")
            self.value(x.value, ())
        else:
            kind, items = x
            self.say("items", len(items))
            self._known(kind) if kind is tuple else self._class(kind)
            for item in items:
                self.argument(item)


def _at(module: Any, name: Any) -> Any:
    return None if module is None or not isinstance(name, str) else getattr(module, name, None)


def trusted(module: str) -> bool:
    """Whether a module is of a package whose version is in each key."""
    return module.partition(".")[0] in TRUSTED


def key_of(described: Described, arguments: Any, *asked: Any) -> str:
    """The key of what is *asked* of a function, for *arguments*."""
    before = len(described.parts)
    for x in arguments:
        described.argument(x)
    parts, described.parts[before:] = list(described.parts), []
    return digest(
        _environment(), repr(_settings()), *foreign_overloads(), *parts, *map(str, asked)
    )


def _settings() -> Any:
    config = numba.config
    return (
        bounds.ON, config.BOUNDSCHECK, config.OPT, config.DEBUGINFO_DEFAULT, config.DISABLE_JIT,
        config.ENABLE_AVX, config.LLVM_REFPRUNE_PASS, config.USING_SVML,
    )  # fmt: skip


@cache
def _environment() -> str:
    """The processor, versions, and the code that makes code: our own, by its files."""
    found = [processor.identity(), sys.version, np.__version__]
    found += [numba.__version__, str(getattr(sys.modules.get("scipy"), "__version__", ""))]
    top = os.path.dirname(os.path.dirname(__file__))
    left = [top]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if entry.is_dir():
                    left.append(entry.path)
                elif entry.name.endswith(".py"):
                    info = entry.stat()
                    found.append(f"{entry.path[len(top) :]} {info.st_size} {info.st_mtime_ns}")
    return digest(*found)
