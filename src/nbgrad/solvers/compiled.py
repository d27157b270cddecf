"""The loop of a solver as machine code, and the memory of one solve."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from nbgrad.machine import bounds
from nbgrad.machine.compile import Code, Kernel, native, remembered
from nbgrad.solvers.native import K_WORDS, S_WORDS

_TEXT: Final = """
def nb_{name}(lo, hi, run, frame, more, further, k, s, w):
    loop(run, frame, more, further, k, s, w)
"""
_PARAMS: Final = ("i8", "i8", "i8*", "i8*", "i8*", "i8*", "i8*", "f8*", "f8*")
_KERNEL: Final = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


@remembered
def _loop(name: str, loop: Callable[..., None]) -> Code:
    name = name.replace("-", "_")
    return native(_TEXT.format(name=name), f"nb_{name}", _PARAMS, helpers={"loop": loop})[0]


@dataclass(frozen=True)
class Method:
    """A solver: its loop, and what lies where in its memory.

    Attributes
    ----------
    loop
        A function of two pairs of pointers to functions, and of the words ``k``, ``s``, ``w``.
    size
        How many words of w it takes, of parameters and residuals.
    derived
        The functions it calls, by name.
    calls
        The arrays that each of them reads and writes.
    x, g
        Where the point and the gradient are in w, in multiples of the number of parameters.
    numbers
        The options: words of s, and what they are by default.
    tolerances
        The options that SciPy's ``tol`` stands for.
    limits
        Words of k by default, of the number of parameters.
    more
        What else is in the result.
    prepare
        What takes further options, *words*, out of what is given and writes them, and the bounds, to memory.
    residuals
        Whether the function is a vector whose squares are summed.
    held
        How many pairs are kept, if not said otherwise by ``maxcor``.
    kernel
        A kernel that the loop calls in the place of a second function, and its arguments.
    codes
        What SciPy's status is of its ends, if not the usual.
    """

    name: str
    loop: Callable[..., None]
    size: Callable[[int, int], int]
    derived: tuple[str, ...]
    calls: Callable[[Memory, int, int], list[tuple[list[Any], list[Any]]]]
    x: int
    g: int
    numbers: Mapping[str, tuple[int, float]]
    tolerances: tuple[str, ...]
    limits: Callable[[int], Mapping[int, int]]
    more: Callable[[Memory, int], dict[str, Any]]
    prepare: Callable[[Memory, int, dict[str, Any], Any], None] | None = None
    words: tuple[str, ...] = ()
    residuals: bool = False
    held: int = 0
    kernel: Callable[[Memory, int], tuple[Kernel, Any]] | None = None
    codes: Mapping[int, int] = field(default_factory=dict)


def arguments(words: Sequence[int]) -> Any:
    """The argument words of a kernel: in the build that tests each access, no bounds of pointers are known."""
    return np.array([*words, *((0,) * 2 * len(words) if bounds.ON else ())], np.int64)


class Memory:
    """The memory of one solve, which is used again: words, and functions that read and write them."""

    def __init__(self, method: Method, n: int, m: int = 0) -> None:
        self.k: Any = np.zeros(K_WORDS, np.int64)
        self.s: Any = np.zeros(S_WORDS)
        raw: Any = np.zeros(method.size(n, m) + 8)
        start = -raw.ctypes.data % 64 // 8
        self.w = raw[start : start + method.size(n, m)]
        self.code = _loop(method.name, method.loop)
        self.call = _KERNEL(self.code.address)
        self.functions: list[Any] = []

    def complete(self, method: Method, n: int, functions: Sequence[Any]) -> None:
        """The *functions* that the loop calls are made."""
        self.functions = list(functions)
        first, last = functions[0], functions[-1]
        words = [first.run, first.frame, last.run, last.frame]
        if method.kernel is not None:
            self.kernel, self.args = method.kernel(self, n)
            words[2:] = self.kernel.address, self.args.ctypes.data
        words += [x.ctypes.data for x in (self.k, self.s, self.w)]
        self.words = words
        self.table = arguments(words)
        self.address = self.table.ctypes.data
        self.plain = all(f.plain for f in functions)

    def enter(self) -> None:
        """Run the loop, until it is done or pauses."""
        if self.plain:
            self.call(0, 1, self.address)
            return
        with self.functions[0].ready(), self.functions[-1].ready():
            self.call(0, 1, self.address)
