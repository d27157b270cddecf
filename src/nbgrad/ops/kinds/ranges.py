"""Where the results of integers lie: ``(lo, hi)`` from such pairs of the operands, as declared.

A function of these returns None where the operation has no integer result for some of the operands,
or where fixed-width integers do not give it as Python's do.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

Range = tuple[int, int]
Bounds = Callable[..., Range | None]
MAX_SHIFT = 62


def corners(f: Callable[..., int]) -> Bounds:
    """Of a function that is monotonic in each operand, up or down."""

    def bounds(*given: Range) -> Range:
        return _around(f(*xs) for xs in itertools.product(*given))

    return bounds


def turning(f: Callable[..., int]) -> Bounds:
    """Of a function of one operand, and of params, that turns round at 0."""

    def bounds(x: Range, **params: Any) -> Range:
        points = {*x, 0} if x[0] < 0 < x[1] else x
        return _around(f(p, **params) for p in points)

    return bounds


def same(*given: Range, **params: Any) -> Range:
    """Of what chooses among its operands."""
    return _around(itertools.chain(*given))


def chosen(condition: Any, *given: Range) -> Range:
    return same(*given)


def quotient(x: Range, y: Range) -> Range | None:
    if y[0] <= 0 <= y[1]:
        return None
    return corners(lambda a, b: a // b)(x, y)  # type: ignore[no-any-return]


def remainder(x: Range, y: Range) -> Range | None:
    """With the sign of the divisor."""
    if y[0] > 0:
        return 0, min(y[1] - 1, x[1]) if x[0] >= 0 else y[1] - 1
    return (y[0] + 1, 0) if y[1] < 0 else None


def truncated_remainder(x: Range, y: Range) -> Range | None:
    """With the sign of the first operand."""
    if y[0] <= 0 <= y[1]:
        return None
    size = min(max(map(abs, y)) - 1, max(map(abs, x)))
    return (-size if x[0] < 0 else 0), (size if x[1] > 0 else 0)


def power(x: Range, y: Range) -> Range | None:
    if y[0] < 0 or y[1] > MAX_SHIFT:
        return None
    if y[0] == y[1]:
        return turning(lambda a: int(a ** y[0]))(x)
    size = max(map(abs, x)) ** y[1]
    return (-size if x[0] < 0 else 0), max(size, 1)


def integer_power(x: Range, n: int) -> Range | None:
    return power(x, (n, n))


def bits(*given: Range) -> Range:
    """Of the operands' bits, taken by place: no more of them than the operands have."""
    size = 1 << max(x.bit_length() for x in itertools.chain(*given))
    return (-size if any(lo < 0 for lo, _ in given) else 0), size - 1


def left_shift(x: Range, y: Range) -> Range | None:
    return corners(lambda a, b: a << b)(x, y) if 0 <= y[0] <= y[1] <= MAX_SHIFT else None


def right_shift(x: Range, y: Range) -> Range | None:
    return corners(lambda a, b: a >> b)(x, y) if 0 <= y[0] <= y[1] <= MAX_SHIFT else None


def divisor(x: Range, y: Range) -> Range:
    return 0, max(map(abs, (*x, *y)))


def multiple(x: Range, y: Range) -> Range:
    return 0, max(map(abs, x)) * max(map(abs, y))


def _around(values: Iterable[int]) -> Range:
    found = list(values)
    return min(found), max(found)
