"""A twin of tensors in NumPy: real arrays that share memory, one for each Taylor coefficient.

``Twin.c[k]`` holds the coefficient of ``t**k`` along ``x + t d``. Views of a twin are NumPy's views of
each of its arrays, so what is written through one is seen in the other as NumPy has it. A detached twin
shares the values, ``c[0]``, alone; what is written while nothing is recorded changes them alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

ORDER = 3


class Group:
    """What is differentiated together: whether it is tracked, a leaf, or made under no_grad."""

    def __init__(self, tracked: bool, leaf: bool = False, guarded: bool = False) -> None:
        self.tracked, self.leaf, self.guarded = tracked, leaf, guarded


class Twin:
    def __init__(self, c: list[Any], group: Group, writable: bool = True) -> None:
        self.c, self.group, self.writable = c, group, writable

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.c[0].shape)

    def view(self, function: Callable[[Any], Any], recording: bool, writable: bool = True) -> Twin:
        """The twin that *function* makes of each coefficient, sharing memory where that does."""
        value = function(self.c[0])
        writable = writable and self.writable
        shares = np.shares_memory(value, self.c[0]) or not value.size
        rest = [function(a) for a in self.c[1:]]
        if not shares:
            return fresh([value, *rest], self.group.tracked and recording)
        if self.group.tracked and not recording:
            return Twin([value, *_zeros_like(value)], Group(False, guarded=True), writable)
        return Twin([value, *rest], self.group, writable)

    def detach(self) -> Twin:
        return Twin([self.c[0], *_zeros_like(self.c[0])], Group(False), self.writable)

    def write(self, index: Any, source: list[Any], tracked: bool, recording: bool) -> None:
        """Write coefficients to ``self[index]``; only the values if nothing is recorded."""
        new = [np.array(a) for a in source]
        self.c[0][index] = new[0]
        if recording:
            for mine, theirs in zip(self.c[1:], new[1:], strict=True):
                mine[index] = theirs
            self.group.tracked = self.group.tracked or tracked


def _zeros_like(a: Any) -> list[Any]:
    """Zeros that lie in memory as *a* does, so that they are copied where it is."""
    root = a
    while isinstance(root.base, np.ndarray):
        root = root.base
    offset = (a.__array_interface__["data"][0] - root.__array_interface__["data"][0]) // 8
    return [
        np.lib.stride_tricks.as_strided(np.zeros(max(root.size, 1))[offset:], a.shape, a.strides)
        for _ in range(ORDER)
    ]


def fresh(c: list[Any], tracked: bool) -> Twin:
    rest = c[1:] if tracked else [np.zeros_like(a) for a in c[1:]]
    # In C order, as tensors always are, which decides whether ravel copies.
    return Twin([np.array(a, order="C") for a in (c[0], *rest)], Group(tracked))


def constant(a: Any) -> list[Any]:
    return [np.array(a, float), *(np.zeros(np.shape(a)) for _ in range(ORDER))]


# ------------------------------------------------------------------- arithmetic of Taylor series


def add(a: list[Any], b: list[Any]) -> list[Any]:
    return [np.asarray(x + y) for x, y in zip(a, b, strict=True)]


def subtract(a: list[Any], b: list[Any]) -> list[Any]:
    return [np.asarray(x - y) for x, y in zip(a, b, strict=True)]


def multiply(a: list[Any], b: list[Any]) -> list[Any]:
    return [np.asarray(sum(a[j] * b[k - j] for j in range(k + 1))) for k in range(ORDER + 1)]


def _sincos(a: list[Any]) -> tuple[list[Any], list[Any]]:
    s, c = [np.sin(a[0])], [np.cos(a[0])]
    for k in range(1, ORDER + 1):
        s.append(sum(j * a[j] * c[k - j] for j in range(1, k + 1)) / k)
        c.append(-sum(j * a[j] * s[k - j] for j in range(1, k + 1)) / k)
    return [np.asarray(x) for x in s], [np.asarray(x) for x in c]


def sin(a: list[Any]) -> list[Any]:
    return _sincos(a)[0]


def cos(a: list[Any]) -> list[Any]:
    return _sincos(a)[1]


def half(a: list[Any]) -> list[Any]:
    return [np.asarray(0.5 * x) for x in a]


UNARY = {"sin": sin, "cos": cos, "half": half}
BINARY = {"add": add, "subtract": subtract, "multiply": multiply}
