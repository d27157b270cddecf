"""Calling what is made of a function by words: operands, integers and flags, then results."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nbgrad.machine.compile import native
from nbgrad.machine.scalar import HELPERS
from nbgrad.structured.whole import Spec, read, text


def spec(x: Any) -> Spec:
    """What is known of an argument."""
    if isinstance(x, np.ndarray):
        return Spec("array", f"{x.dtype.kind}{x.dtype.itemsize}", x.ndim)
    if isinstance(x, tuple):
        return Spec("tuple", parts=tuple(map(spec, x)))
    kinds = {bool: Spec("bool"), int: Spec("int"), np.float32: Spec("float", "f4")}
    return kinds.get(type(x), Spec("float", "f8"))


def leaves(x: Any) -> Iterator[Any]:
    if isinstance(x, tuple):
        for item in x:
            yield from leaves(item)
    else:
        yield x


def is_operand(x: Any) -> bool:
    return isinstance(x, np.ndarray | float | np.floating)


class Derivative:
    """J_k or R_k of a function: called with as many arrays as it has results of floats."""

    def __init__(
        self,
        f: Any,
        args: Sequence[Any],
        k: int,
        reverse: bool,
        divides: bool = True,
        checks: bool = False,
    ) -> None:
        made = read(f, [spec(a) for a in args], divides, checks)
        self.codes = [r.code for r in made.results]
        operands = [np.asarray(x) for a in args for x in leaves(a) if is_operand(x)]
        self.active = [n for n, x in enumerate(operands) if x.dtype.kind == "f"]
        self.text = text(made, self.active, k, reverse)
        params = self.text.params
        self.code, _ = native(
            self.text.source, "run", params, result="i8", noalias=True, helpers=HELPERS, table=True
        )
        self.run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(self.code.address)

    def __call__(self, args: Sequence[Any], more: Sequence[Any], results: Sequence[Any]) -> int:
        """Call it with *more* operands; fill *results*; return the status."""
        flat = [x for a in args for x in leaves(a)]
        operands = [np.asarray(x) for x in flat if is_operand(x)]
        operands += [np.asarray(x) for x in more]
        words: list[int] = []
        for x in operands:
            words += [x.ctypes.data, *x.shape]
        words += [int(x) for x in flat if not is_operand(x)]
        for x in results:
            words += [x.ctypes.data, *x.shape]
        table = np.array(words, np.int64)
        return int(self.run(table.ctypes.data))
