"""Functions of complex numbers for kernels on a card, from those of their parts.

``z16`` is complex128, ``z8`` complex64, which is computed in complex128. Numba has the arithmetic of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nbgrad.machine.vecmath.exponential import exp_f8
from nbgrad.machine.vecmath.hyperbolic import cosh_f8, sinh_f8
from nbgrad.machine.vecmath.inverse_trigonometric import atan2_f8
from nbgrad.machine.vecmath.logarithm import log1p_f8, log_f8
from nbgrad.machine.vecmath.roots import hypot_f8
from nbgrad.machine.vecmath.trigonometric import cos_f8, sin_f8, tan_f8


def _times(a: Any, b: Any) -> Any:
    """A product that is zero where the first factor is, also of an infinite one."""
    return a * math.copysign(1.0, b) if a == 0.0 else a * b


def divide_z16(a: Any, b: Any) -> Any:
    """As NumPy divides; Numba's own division would end the thread at a zero."""
    x, y, re, im = np.float64(a.real), np.float64(a.imag), np.float64(b.real), np.float64(b.imag)
    if abs(re) >= abs(im):
        if re == 0.0 and im == 0.0:
            return complex(x / abs(re), y / abs(re))
        ratio = im / re
        scale = 1.0 / (re + im * ratio)
        return complex((x + y * ratio) * scale, (y - x * ratio) * scale)
    ratio = re / im
    scale = 1.0 / (im + re * ratio)
    return complex((x * ratio + y) * scale, (y * ratio - x) * scale)


def exp_z16(z: Any) -> Any:
    x, y = np.float64(z.real), np.float64(z.imag)
    if y == 0.0:
        return complex(exp_f8(x), y)
    if y - y != 0.0 and x - x != 0.0 and x == x:
        return complex(0.0, 0.0) if x < 0.0 else complex(x, math.nan)
    half = exp_f8(0.5 * x)
    return complex(half * cos_f8(y) * half, half * sin_f8(y) * half)


def log_z16(z: Any) -> Any:
    x, y = np.float64(z.real), np.float64(z.imag)
    large, small = max(abs(x), abs(y)), min(abs(x), abs(y))
    if 0.5 < large < 1.5:
        length = 0.5 * log1p_f8((large - 1.0) * (large + 1.0) + small * small)
    else:
        length = log_f8(hypot_f8(x, y))
    return complex(length, atan2_f8(y, x))


def sqrt_z16(z: Any) -> Any:
    x, y = np.float64(z.real), np.float64(z.imag)
    if x == 0.0 and y == 0.0:
        return complex(0.0, y)
    if abs(y) == math.inf:
        return complex(math.inf, y)
    scale = 0.25 if max(abs(x), abs(y)) > 1e300 else 4.0  # no sum overflows, none is too small
    t = math.sqrt(0.5 * (abs(x) * scale + hypot_f8(x * scale, y * scale)))
    other = abs(y) * scale / (2.0 * t)
    back = 2.0 if scale < 1.0 else 0.5
    if x >= 0.0:
        return complex(t * back, math.copysign(other * back, y))
    return complex(other * back, math.copysign(t * back, y))


def sin_z16(z: Any) -> Any:
    x, y = np.float64(z.real), np.float64(z.imag)
    return complex(_times(sin_f8(x), cosh_f8(y)), _times(sinh_f8(y), cos_f8(x)))


def cos_z16(z: Any) -> Any:
    x, y = np.float64(z.real), np.float64(z.imag)
    return complex(cos_f8(x) * cosh_f8(y), -_times(sin_f8(x), sinh_f8(y)))


def sinh_z16(z: Any) -> Any:
    x, y = np.float64(z.real), np.float64(z.imag)
    return complex(_times(sinh_f8(x), cos_f8(y)), _times(sin_f8(y), cosh_f8(x)))


def cosh_z16(z: Any) -> Any:
    x, y = np.float64(z.real), np.float64(z.imag)
    return complex(cosh_f8(x) * cos_f8(y), _times(sin_f8(y), sinh_f8(x)))


def tanh_z16(z: Any) -> Any:
    x, y = np.float64(z.real), np.float64(z.imag)
    if abs(x) > 22.0:
        turn = 4.0 * sin_f8(y) * cos_f8(y) * exp_f8(-2.0 * abs(x)) if y - y == 0.0 else 0.0
        return complex(math.copysign(1.0, x), turn)
    t, s = tan_f8(y), sinh_f8(x)
    beta = 1.0 + t * t
    below = 1.0 + beta * s * s
    return complex(beta * math.sqrt(1.0 + s * s) * s / below, t / below)


def tan_z16(z: Any) -> Any:
    turned = tanh_z16(complex(-z.imag, z.real))
    return complex(turned.imag, -turned.real)


def conj_z16(z: Any) -> Any:
    return complex(z.real, -z.imag)


def divide_z8(a: Any, b: Any) -> Any:
    return np.complex64(divide_z16(a, b))


def exp_z8(z: Any) -> Any:
    return np.complex64(exp_z16(z))


def log_z8(z: Any) -> Any:
    return np.complex64(log_z16(z))


def sqrt_z8(z: Any) -> Any:
    return np.complex64(sqrt_z16(z))


def sin_z8(z: Any) -> Any:
    return np.complex64(sin_z16(z))


def cos_z8(z: Any) -> Any:
    return np.complex64(cos_z16(z))


def sinh_z8(z: Any) -> Any:
    return np.complex64(sinh_z16(z))


def cosh_z8(z: Any) -> Any:
    return np.complex64(cosh_z16(z))


def tanh_z8(z: Any) -> Any:
    return np.complex64(tanh_z16(z))


def tan_z8(z: Any) -> Any:
    return np.complex64(tan_z16(z))


def conj_z8(z: Any) -> Any:
    return np.complex64(conj_z16(z))


def imag_z16(z: Any) -> Any:
    return np.float64(z.imag)


def imag_z8(z: Any) -> Any:
    return np.float32(z.imag)


def as_f8(x: Any) -> Any:
    return np.float64(x.real)


def as_f4(x: Any) -> Any:
    return np.float32(x.real)


def as_b1(x: Any) -> Any:
    return x != 0


def as_z16(x: Any) -> Any:
    return np.complex128(x)


def as_z8(x: Any) -> Any:
    return np.complex64(x)


COMPLEX: Final[dict[str, Callable[..., Any]]] = {
    f.__name__: f
    for f in (
        *(exp_z16, log_z16, sqrt_z16, sin_z16, cos_z16, sinh_z16, cosh_z16, tanh_z16, tan_z16),
        *(exp_z8, log_z8, sqrt_z8, sin_z8, cos_z8, sinh_z8, cosh_z8, tanh_z8, tan_z8),
        *(
            divide_z16,
            divide_z8,
            conj_z16,
            conj_z8,
            imag_z16,
            imag_z8,
            as_f8,
            as_f4,
            as_b1,
            as_z16,
            as_z8,
        ),
    )
}
