"""What functions that are compiled into kernels, as helpers, may do with pointers to frames; large ones."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final, TypeVar

Helper = TypeVar("Helper", bound=Callable[..., Any])

_KERNEL: Final = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
_LOOP: Final = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


def apart(helper: Helper) -> Helper:
    """Let *helper* be a function of its own in machine code, too, where others are written out at each call.

    A large one that is called at several places takes several times as long to compile otherwise.
    """
    helper.apart = True  # type: ignore[attr-defined]
    return helper


def call_frame(run: Any, frame: Any) -> int:
    """Call ``int64 (*run)(int64 *frame, int64 *frame)``, the executor's loop or what stands for it."""
    found: int = _LOOP(run)(frame, frame)
    return found


def call_kernel(kernel: Any, lo: int, hi: int, args: Any) -> None:
    """Call ``void (*kernel)(int64 lo, int64 hi, int64 *args)``."""
    _KERNEL(kernel)(lo, hi, args)
