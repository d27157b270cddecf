"""Variables that are assigned more than once are rewritten as Numba does it, by fewer statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import pytest

from nbgrad.machine.assignments import ByName


def loops(x, n):
    s = 0.0
    for i in range(n):
        t = x * i
        if t > s:
            s = s + t
        else:
            t, x = x, t
        while s > 3.0:
            s = s - t
            if s < x:
                break
        s += t
    return s, x


def undefined(x, n):
    if n > 2:
        y = x
    while n > 0:
        n = n - 1
        try:
            y = y + n
        except Exception:
            y = 0.0
    return y


def generated(x):
    a = b = x
    for _ in range(3):
        a = a + b
        b = a * x
        del x
        x = a - b
    return a + x


@pytest.mark.parametrize("function", [loops, undefined, generated])
def test_the_same_as_numbas(function: Callable[..., Any]) -> None:
    ssa, compiler = numba.core.ssa, numba.core.compiler

    def rewritten(quickly: bool) -> list[tuple[int, list[str]]]:
        blocks = compiler.run_frontend(function).blocks
        with pytest.MonkeyPatch.context() as patch:
            if quickly:
                patch.setattr(ssa, "_run_block_rewrite", ByName(blocks))
            blocks = ssa._run_ssa(blocks)
        return [(label, [str(stmt) for stmt in block.body]) for label, block in blocks.items()]

    assert rewritten(True) == rewritten(False)
