"""cbrt and hypot.

The cube root of m = |x| / 2**3q, between 1/2 and 4, starts from a polynomial and one step of Halley's;
cut to 26 bits its square is exact, so that the last step of Newton's hardly rounds and the roots of
cubes are whole. hypot corrects the root of the sum by the error of its square, found without forming
that (C. F. Borges, "An improved algorithm for hypot(a, b)", 2019).
"""

from __future__ import annotations

import math

from nbgrad.machine.vecmath.bits import HEAD_F8, INF, SIGN_F8, f4, f8, f8_as_i8, i8_as_f8


def cbrt_f8(x: float) -> float:
    """Return the cube root."""
    a = abs(x)
    subnormal = a < 2.2250738585072014e-308
    a = a * 18014398509481984.0 if subnormal else a
    e = i8_as_f8((f8_as_i8(a) >> 52) | 0x4330000000000000) - 4503599627371519.0
    # A third of the exponent, and three times that, rounded into the low bits of 1.5 * 2**52.
    q = e * 0.3333333333333333 + 6755399441055744.0
    q3 = (q - 6755399441055744.0) * 3.0 + 6755399441055744.0
    m = i8_as_f8(f8_as_i8(a) - (f8_as_i8(q3) << 52))
    m2 = m * m
    t = -0.029314458783885788 + 0.0022383456764574925 * m
    t = t * m2 + (-0.4271274641424379 + 0.15356333740574526 * m)
    t = t * m2 + (0.46598900911397445 + 0.8352375170016033 * m)
    t3 = t * t * t
    t = t * ((t3 + 2.0 * m) / (2.0 * t3 + m))
    t = i8_as_f8(f8_as_i8(t) & HEAD_F8)
    r = m / (t * t)
    t = t + t * ((r - t) / (t + t + r))
    y = i8_as_f8(f8_as_i8(t) + (f8_as_i8(q) << 52))
    y = y * 3.814697265625e-06 if subnormal else y
    y = i8_as_f8(f8_as_i8(y) | (f8_as_i8(x) & SIGN_F8))
    return y if (x != 0.0) & (a < INF) else x


def cbrt_f4(x: float) -> float:
    """Return the cube root of a float32."""
    return f4(cbrt_f8(f8(x)))


def hypot_f8(x: float, y: float) -> float:
    """Return the length of the vector (x, y)."""
    a = abs(x)
    b = abs(y)
    long = a if a > b else b
    short = b if a > b else a
    tiny = long < 1.6795579e-138  # 2**-459
    scale = 2.409919865102884e-181 if long > 6.7e153 else 1.0
    scale = 4.149515568880993e180 if tiny else scale
    back = 4.149515568880993e180 if long > 6.7e153 else 1.0
    back = 2.409919865102884e-181 if tiny else back
    u = long * scale
    v = short * scale
    h = f8(math.sqrt(u * u + v * v))
    d = h - v
    near = u * (2.0 * d - u) + (d - 2.0 * (u - v)) * d
    d = h - u
    apart = 2.0 * d * (u - 2.0 * v) + ((4.0 * d - v) * v + d * d)
    error = near if h <= 2.0 * v else apart
    h = (h - error / (2.0 * h)) * back if long > 0.0 else long
    whole = h if (x == x) & (y == y) else x + y
    return INF if (a == INF) | (b == INF) else whole


def hypot_f4(x: float, y: float) -> float:
    """Return the length of the vector (x, y) in float32."""
    a = f8(x)
    b = f8(y)
    h = f4(math.sqrt(a * a + b * b))
    return f4(INF) if (abs(a) == INF) | (abs(b) == INF) else h


def direction_f8(x: float, y: float) -> float:
    """Return x over the length of (x, y), 0 at (0, 0)."""
    h = hypot_f8(x, y)
    return x / (INF if h == 0.0 else h)


def direction_f4(x: float, y: float) -> float:
    """Return x over the length of (x, y) in float32, 0 at (0, 0)."""
    h = hypot_f4(x, y)
    return x / (f4(INF) if h == f4(0.0) else h)
