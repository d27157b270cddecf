"""Every scalar function that kernel text may call: vector math, and libm where it has none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from nbgrad.machine.scalar_complex import COMPLEX
from nbgrad.machine.scalar_integers import INTEGERS
from nbgrad.machine.scalar_parts import PARTS
from nbgrad.machine.scalar_series import SERIES
from nbgrad.machine.scipy_composed import COMPOSED
from nbgrad.machine.scipy_scalars import SCIPY
from nbgrad.machine.vecmath import SCALAR
from nbgrad.machine.vecmath.exponential import bell_f4, bell_f8
from nbgrad.machine.vecmath.roots import direction_f4, direction_f8
from nbgrad.machine.vecmath.trigonometric import cos_alone_f8, sin_alone_f8


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


_LIBM = (asin_f8, acos_f8, atan_f8, atan2_f8, sinh_f8, cosh_f8, tan_f8)

HELPERS: Final[dict[str, Callable[..., Any]]] = {f.__name__: f for f in _LIBM}
# The text is the same for float32: Numba types it by its operands.
HELPERS.update({f.__name__.replace("_f8", "_f4"): f for f in _LIBM})
HELPERS.update(SCALAR)
HELPERS.update(PARTS)
HELPERS.update(INTEGERS)
HELPERS.update(bell_f8=bell_f8, bell_f4=bell_f4)
HELPERS.update(direction_f8=direction_f8, direction_f4=direction_f4)
HELPERS.update(SERIES)

# Without those that call SciPy: what a card has, and complex numbers, which it alone has.
PORTABLE: Final = {**HELPERS, **COMPLEX}
HELPERS.update(SCIPY)
HELPERS.update(COMPOSED)
HELPERS.update(sin_alone_f8=sin_alone_f8, cos_alone_f8=cos_alone_f8)
