"""Settings among the arguments of a traced function: what cannot change, and what stands for it.

A trace belongs to the settings that it was made with. Those that are immutable are told apart by
equality. An instance of a class of the user's, or a function, equals itself alone, and what is read
of it is tested at each call (see outside.py). All else is refused.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from nbgrad.api.outside import attributes, content_of, is_users
from nbgrad.core.tree import Same, fields_of, key_of, paths
from nbgrad.errors import STATE, UNHASHABLE

_VALUES: tuple[type, ...] = (
    *(int, str, bytes, float, complex, type(None), range, type(...), type(NotImplemented)),
    *(enum.Enum, np.dtype, type, ModuleType, np.ufunc, type(np._NoValue)),
)
# Told apart by class and equality, as most settings are.
_PLAIN = frozenset({int, bool, str, bytes, type(None), type})


def static(x: Any) -> Any:
    """Return what stands for a setting in the structure of arguments: itself, or a ``Same``.

    Raises
    ------
    TypeError
        If it has a state that can change unseen.
    """
    if type(x) in _PLAIN or getattr(type(x), "frozen", None) is True:
        return x
    if isinstance(x, _VALUES):
        return Same(x, key_of(x))
    if isinstance(x, MethodType):
        if not is_users(type(x.__self__)):
            static(x.__self__)
        return x
    if isinstance(x, FunctionType):
        return Same(x, _function_key(x))
    if immutable(x):
        return Same(x, key_of(x))
    if isinstance(x, partial) or _belongs_to_compiler(x):
        return Same(x)
    if type(x).__hash__ is None:
        raise TypeError(UNHASHABLE.format(kind=_kind(x)))
    if attributes(x) is not None or (hasattr(type(x), "__slots__") and is_users(type(x))):
        return Same(x)
    owner = getattr(x, "__self__", x)  # of a method written in C
    told: Any = type(owner).__hash__
    stateful = told is None or told is object.__hash__
    if stateful and not isinstance(owner, _VALUES):
        raise TypeError(STATE.format(kind=_kind(owner)))
    hash(x)
    return Same(x, key_of(x))


def immutable(x: Any) -> bool:
    """Whether *x* is made of values that cannot change: a frozen dataclass or set of such."""
    if isinstance(x, _VALUES):
        return True
    if isinstance(x, (tuple, frozenset)):
        return all(map(immutable, x))
    options = getattr(type(x), "__dataclass_params__", None)
    if options is None or not (options.frozen and options.eq) or isinstance(x, type):
        return False
    return all(immutable(part) for part in fields_of(x))


def _function_key(f: FunctionType) -> Any:
    """What a function does: made anew by the same line with the same contents, it is the same."""
    held = [content_of(cell) for cell in f.__closure__ or ()]
    held += [*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()]
    keys = tuple(key_of(x) if immutable(x) else id(x) for x in held)
    return f.__code__, id(f.__globals__), keys


def _belongs_to_compiler(x: Any) -> bool:
    """Whether it is a compiled function of nbgrad's or Numba's, which has no state of its own."""
    return callable(x) and type(x).__module__.split(".")[0] in ("nbgrad", "numba")


def _kind(x: Any) -> str:
    module = type(x).__module__
    name = type(x).__qualname__
    return name if module in ("builtins", "__main__") else f"{module}.{name}"


def names_of_positions(f: Callable[..., Any], count: int) -> list[str]:
    """How *f* names *count* positional arguments; by number where Python does not know."""
    names: list[str] = []
    try:
        parameters = [*inspect.signature(f).parameters.values()]
    except (TypeError, ValueError):
        parameters = []
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}[{k}]" for k in range(count - len(names))]
        elif p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            names.append(p.name)
    return names[:count] + [str(k) for k in range(len(names), count)]


def names_of_leaves(f: Callable[..., Any], structure: Any) -> list[str]:
    """How the caller of *f* knows each leaf of its arguments: ``x``, ``weights['bias'][0]``."""
    positional, keywords = structure[2]
    found: list[str] = []
    for part, name in zip(positional[2], names_of_positions(f, len(positional[2])), strict=True):
        found += paths(part, name)
    for name, part in zip(keywords[1], keywords[2], strict=True):
        found += paths(part, name)
    return found


def refused_name(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    check: Callable[[Any], Any],
) -> str:
    """The name of the argument that *check* raises for, or its number if it has none."""
    names = names_of_positions(f, len(args))
    for name, x in (*zip(names, args, strict=True), *kwargs.items()):
        try:
            check(x)
        except (TypeError, ValueError):
            return repr(name)
    return ""
