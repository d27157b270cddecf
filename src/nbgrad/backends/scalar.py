"""Every scalar function that kernel text may call: vector math, and libm where it has none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from nbgrad.backends.vecmath import SCALAR
from nbgrad.backends.vecmath.exponential import bell_f4, bell_f8


def max_f8(x: Any, y: Any) -> Any:
    """Larger of two; NaN wins."""
    return x if (x >= y) | (x != x) else y


def min_f8(x: Any, y: Any) -> Any:
    """Smaller of two; NaN wins."""
    return x if (x <= y) | (x != x) else y


def asin_f8(x: Any) -> Any:
    return math.asin(x)


def acos_f8(x: Any) -> Any:
    return math.acos(x)


def atan_f8(x: Any) -> Any:
    return math.atan(x)


def atan2_f8(y: Any, x: Any) -> Any:
    return math.atan2(y, x)


def sinh_f8(x: Any) -> Any:
    return math.sinh(x)


def cosh_f8(x: Any) -> Any:
    return math.cosh(x)


def tan_f8(x: Any) -> Any:
    return math.tan(x)


# From here on numbers are whole: adding it rounds to an integer, halves to the even one.
_WHOLE = 4503599627370496.0  # 2**52


def rint_f8(x: Any) -> Any:
    """Nearest integer, halves to the even one; like the next three it keeps the sign of zero."""
    size = abs(x)
    return math.copysign((size + _WHOLE) - _WHOLE, x) if size < _WHOLE else x


def floor_f8(x: Any) -> Any:
    size = abs(x)
    y = math.copysign((size + _WHOLE) - _WHOLE, x)
    return math.copysign(y - 1.0 if y > x else y, x) if size < _WHOLE else x


def ceil_f8(x: Any) -> Any:
    size = abs(x)
    y = math.copysign((size + _WHOLE) - _WHOLE, x)
    return math.copysign(y + 1.0 if y < x else y, x) if size < _WHOLE else x


def trunc_f8(x: Any) -> Any:
    size = abs(x)
    y = (size + _WHOLE) - _WHOLE
    return math.copysign(y - 1.0 if y > size else y, x) if size < _WHOLE else x


_LIBM = (asin_f8, acos_f8, atan_f8, atan2_f8, sinh_f8, cosh_f8, tan_f8, max_f8, min_f8)
_LIBM += (rint_f8, floor_f8, ceil_f8, trunc_f8)

HELPERS: Final[dict[str, Callable[..., Any]]] = {f.__name__: f for f in _LIBM}
# The text is the same for float32: Numba types it by its operands.
HELPERS.update({f.__name__.replace("_f8", "_f4"): f for f in _LIBM})
HELPERS.update(SCALAR)
HELPERS.update(bell_f8=bell_f8, bell_f4=bell_f4)
