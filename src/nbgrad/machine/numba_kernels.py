"""Kernel text by Numba's front end: what ours does not know, and functions that call what kernels call.

Importing this module imports Numba.
"""

from __future__ import annotations

import math
import types as pytypes
from collections.abc import Callable, Mapping
from typing import Any, Final

from numba import types

from nbgrad.machine.intrinsics import CASTS
from nbgrad.machine.numba_forms import BY_PLAIN, POINTER_NAMES, SCALARS, numba_type
from nbgrad.machine.numba_inside import dispatcher, global_compiler_lock, lowered
from nbgrad.machine.request import Request

# Only the helpers' own polynomials may be fused into multiply-adds. What a user wrote as a product
# and a sum is rounded twice, as in NumPy, or t*t - u*u of equal operands would not be 0.
ERROR_MODEL: Final = "numpy"
HELPER_FLAGS: Final = {"error_model": ERROR_MODEL, "fastmath": {"contract"}}


_dispatchers: dict[Callable[..., Any], Any] = {}


def _dispatcher(helper: Callable[..., Any]) -> Any:
    """Return *helper* as a Numba function, with everything it calls translated likewise."""
    found = _dispatchers.get(helper)
    if found is None:
        code = helper.__code__
        names = {name: _translate(helper.__globals__[name]) for name in _globals_of(helper)}
        names["__name__"] = "nbgrad.machine.helpers"
        copy = pytypes.FunctionType(code, names, helper.__name__, helper.__defaults__)
        # What njit does, but with NUMBA_DISABLE_JIT=1 too: kernels are always compiled.
        inline = not getattr(helper, "apart", False)
        options = {"nopython": True, "forceinline": inline, **HELPER_FLAGS}
        found = _dispatchers[helper] = dispatcher(copy, options)
    return found


def _globals_of(function: Callable[..., Any]) -> list[str]:
    return [name for name in function.__code__.co_names if name in function.__globals__]


def _translate(value: Any) -> Any:
    """Return what a global of a helper stands for in compiled code."""
    if isinstance(value, pytypes.FunctionType):
        intrinsic = BY_PLAIN.get(value)
        return _dispatcher(value) if intrinsic is None else intrinsic
    return value


def namespace(helpers: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "nbgrad.machine.kernels", "math": math}
    names.update(CASTS)
    names.update({plain.__name__: intrinsic for plain, intrinsic in BY_PLAIN.items()})
    names.update(POINTER_NAMES)
    names.update({name: _translate(function) for name, function in helpers.items()})
    return names


def module_of(request: Request) -> tuple[Any, str]:
    """The LLVM module of a request's function, and its name in there."""
    names = namespace(request.helpers)
    exec(compile(request.source, f"<nbgrad {request.name}>", "exec"), names)
    kinds = tuple(map(numba_type, request.params))
    returned = types.none if request.result is None else SCALARS[request.result]
    with global_compiler_lock:
        return lowered(names[request.name], kinds, returned, request.noalias, ERROR_MODEL)
