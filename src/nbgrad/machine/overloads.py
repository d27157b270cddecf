"""What others than Numba and we have told Numba of functions: part of the keys of what is stored."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from nbgrad.machine.numba_inside import builtin_registry


def foreign_overloads() -> list[str]:
    """What others than Numba and we have told Numba of functions: by file, with its time, and bytecode."""
    found = []
    for template in (*builtin_registry.functions, *builtin_registry.attributes):
        f = getattr(template, "_overload_func", None)
        if f is None or (f.__module__ or "").partition(".")[0] in ("numba", "nbgrad"):
            continue
        file = f.__code__.co_filename
        with contextlib.suppress(OSError):
            file += f" {os.stat(file).st_mtime_ns}"
        found.append(f"{f.__module__} {f.__qualname__} {file} {_bytecode(f.__code__)}")
    return sorted(set(found))


def _bytecode(code: Any) -> str:
    inner = [_bytecode(c) if hasattr(c, "co_code") else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {inner}"
