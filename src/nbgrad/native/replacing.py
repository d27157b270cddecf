"""NumPy's functions for arrays of active numbers: each by what stands for it in a clone.

Numba has these for dtypes of NumPy's. What stands for one is compiled as that is, unless an operand is active.
Methods of arrays are met by their names, which a clone spells with a prefix: that of a plain array, or of
anything else that has such a name, is what it was.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import from_dtype, njit, types
from numba.extending import overload, overload_method

from nbgrad.machine.numba_inside import (
    AttributeTemplate,
    NumbaError,
    infer_getattr,
    lower_getattr_generic,
)
from nbgrad.native.active import Carrier

PREFIX: Final = "nbgrad_"
STAND_INS: Final[dict[Any, Any]] = {}
METHODS: Final[set[str]] = set()


# For functions that only compiled code calls: arrays of active numbers have no place in Python.
compiled: Final = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)


def holds_active(*kinds: Any) -> bool:
    """Whether one of some types is of active numbers."""
    return any(isinstance(element_of(x), Carrier) for x in kinds)


def element_of(ty: Any) -> Any:
    """The type of the elements of an array, a list or a tuple; of a number its own."""
    while not isinstance(ty, Carrier):
        if isinstance(ty, types.BaseTuple):
            inner = [element_of(x) for x in ty.types]
            return next((x for x in inner if isinstance(x, Carrier)), inner[0] if inner else ty)
        if not isinstance(ty, types.Array | types.List | types.ListType):
            return ty
        ty = ty.dtype
    return ty


def absent(ty: Any) -> bool:
    """Whether an argument is not given, or None."""
    return ty is None or isinstance(ty, types.Omitted | types.NoneType)


def no_dtype(ty: Any) -> bool:
    """Whether no dtype is given; Numba takes no notice of Python's ``float`` and its like."""
    return absent(ty) or isinstance(ty, types.Function)


def held_by(dtype: Any) -> Any:
    """The type of the numbers that a dtype says, those that active ones stand for; None if it is not known."""
    if isinstance(dtype, types.StringLiteral):
        with contextlib.suppress(TypeError, NumbaError):
            return from_dtype(np.dtype(dtype.literal_value))
        return None
    held = getattr(dtype, "dtype", None)
    return getattr(held, "base", held)


def given(names: list[str], kinds: list[Any]) -> str:
    """The arguments that are given, as text of a call."""
    parts: list[str] = []
    for name, kind in zip(names, kinds, strict=True):
        if kind is None or isinstance(kind, types.Omitted):
            continue
        skipped = len(parts) < names.index(name)
        parts.append(f"{name}={name}" if skipped else name)
    return ", ".join(parts)


def replaces(plain: Any, method: str = "") -> Callable[[Any], Any]:
    """Declare what stands for *plain*, and for a method of arrays.

    The function is given the types of the arguments, one of which is of active numbers, and returns what is
    compiled, or None.
    """

    def declare(chosen: Any) -> Any:
        sig = inspect.signature(chosen)
        names = list(sig.parameters)
        params = ", ".join(str(p.replace(annotation=p.empty)) for p in sig.parameters.values())
        space: dict[str, Any] = {
            "__name__": __name__,
            "plain": plain,
            "chosen": chosen,
            "made": _made(plain),
        }
        listed = ", ".join(names)
        source = f"def stub({params}): raise NotImplementedError\n"
        source += f"def choose({params}): return made(chosen, {names!r}, [{listed}], {params!r})\n"
        exec(source, space)
        stub = STAND_INS[plain] = space["stub"]
        overload(stub, strict=False)(space["choose"])
        if method:
            METHODS.add(method)
            _register_method(method, stub, names, params)
        return chosen

    return declare


def _made(plain: Any) -> Callable[..., Any]:
    def made(chosen: Any, names: list[str], kinds: list[Any], params: str) -> Any:
        if holds_active(*kinds):
            return chosen(*kinds)
        space = {"__name__": __name__, "plain": plain}
        exec(f"def impl({params}): return plain({given(names, kinds)})", space)
        return space["impl"]

    return made


def _register_method(method: str, stub: Any, names: list[str], params: str) -> None:
    def made(*kinds: Any) -> Any:
        space = {"__name__": __name__, "stub": stub}
        args = given(names, list(kinds))
        if holds_active(kinds[0]):
            exec(f"def impl({params}): return stub({args})", space)
        else:
            rest = given(names[1:], list(kinds[1:]))
            exec(f"def impl({params}): return {names[0]}.{method}({rest})", space)
        return space["impl"]

    space: dict[str, Any] = {"__name__": __name__, "made": made}
    exec(f"def choose({params}): return made({', '.join(names)})", space)
    overload_method(types.Array, PREFIX + method, strict=False)(space["choose"])


@infer_getattr
class _Prefixed(AttributeTemplate):
    """Of anything that is no array: what it has under the name without the prefix."""

    key = types.Type

    def generic_resolve(self, ty: Any, attr: str) -> Any:
        if not attr.startswith(PREFIX):
            return None
        return self.context.resolve_getattr(ty, attr[len(PREFIX) :])


@lower_getattr_generic(types.Type)
def _prefixed(context: Any, builder: Any, ty: Any, value: Any, attr: str) -> Any:
    attr = attr.removeprefix(PREFIX)
    return context.get_getattr(ty, attr)(context, builder, ty, value, attr)
