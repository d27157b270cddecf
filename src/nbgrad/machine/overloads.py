"""What others than Numba and we have told Numba of functions: it chooses what is compiled, and is part of keys."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from typing import Any, Final

from nbgrad.machine.declared import plain_type, stands
from nbgrad.machine.numba_inside import NumbaError, builtin_registry, cpu_target

LIBRARIES: Final = frozenset((
    "numpy", "numba", "nbgrad", "scipy", "math", "cmath", "random", "operator", "builtins",
))  # fmt: skip


def foreign_overloads() -> list[str]:
    """What others than Numba and we have told Numba of functions: by file, with its time, and bytecode."""
    found = []
    for template in (*builtin_registry.functions, *builtin_registry.attributes):
        f = getattr(template, "_overload_func", None)
        if f is None or _ours(f):
            continue
        f = inspect.unwrap(f)
        file = f.__code__.co_filename
        with contextlib.suppress(OSError):
            file += f" {os.stat(file).st_mtime_ns}"
        found.append(f"{f.__module__} {f.__qualname__} {file} {_bytecode(f.__code__)}")
    return sorted(set(found))


def choose_by_plain_types() -> None:
    """Let what users have told Numba of functions, methods and attributes see the types that others stand for.

    It asks types what to compile, and knows nothing of numbers that carry derivatives. An intrinsic then says plain
    types, to which such a number is cast, or is refused.
    """
    for template in builtin_registry.functions:  # methods and attributes are such, too
        for name in ("_overload_func", "_definition_func"):
            f = getattr(template, name, None)
            if f is not None and not _ours(f) and not hasattr(f, "nbgrad_plain"):
                setattr(template, name, staticmethod(_by_plain_types(f)))


def _by_plain_types(f: Any) -> Any:
    @functools.wraps(f)
    def chosen(*args: Any, **kws: Any) -> Any:
        given = [plain_type(x) if stands(x) else x for x in args]
        return f(*given, **{k: plain_type(x) if stands(x) else x for k, x in kws.items()})

    chosen.nbgrad_plain = True  # type: ignore[attr-defined]
    return chosen


def choosers(function: Any) -> list[Any]:
    """What chooses, by types, what others than Numba and we have told Numba that *function* is."""
    typing = cpu_target.typing_context
    typing.refresh()
    try:
        known = typing.resolve_value_type(function)
    except (NumbaError, ValueError):  # it knows nothing of that
        return []
    found = [getattr(t, "_overload_func", None) for t in getattr(known, "templates", ())]
    return [] if any(f is None or (_ours(f) and not _itself(f)) for f in found) else found


def _itself(f: Any) -> bool:
    """Whether *f* is what ``register_jitable`` tells Numba: a function is what it is in Python."""
    return bool(f.__qualname__.startswith("register_jitable."))


def library(x: Any) -> bool:
    """Whether a function, or a module, is of what has no functions of the user's."""
    name = str(getattr(x, "__module__", None) or getattr(x, "__name__", ""))
    return name.partition(".")[0] in LIBRARIES


def _ours(f: Any) -> bool:
    return (f.__module__ or "").partition(".")[0] in ("numba", "nbgrad")


def _bytecode(code: Any) -> str:
    inner = [_bytecode(c) if hasattr(c, "co_code") else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {inner}"
