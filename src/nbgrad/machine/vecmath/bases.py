"""log2, log10 and exp2: the two halves of a power, each on its own.

log2 is a head of 26 bits and a tail, so its product with a constant in two parts is rounded once: the
logarithms of 2**k and 10**k are whole. In float32 all of this is plain float64 arithmetic.
"""

from __future__ import annotations

from nbgrad.machine.vecmath.bits import INF, NAN, f4, f8
from nbgrad.machine.vecmath.power import exp2_narrow, exp2_parts_f8, log2_narrow, log2_parts_f8


def _logarithm(x: float, y: float) -> float:
    """Return *y*, and what a logarithm is of numbers that are not positive and finite."""
    y = y if x < INF else x
    outside = -INF if x == 0.0 else NAN
    return y if x > 0.0 else outside


def log2_f8(x: float) -> float:
    """Return the logarithm to base 2."""
    head, tail = log2_parts_f8(x)
    return _logarithm(x, head + tail)


def log10_f8(x: float) -> float:
    """Return the logarithm to base 10."""
    head, tail = log2_parts_f8(x)
    y = head * 0.3010299950838089
    return _logarithm(x, y + (head * 5.801722962879576e-10 + tail * 0.3010299956639812))


def log2_f4(x: float) -> float:
    """Return the logarithm to base 2 in float32."""
    w = f8(x)
    return f4(_logarithm(w, log2_narrow(w)))


def log10_f4(x: float) -> float:
    """Return the logarithm to base 10 in float32."""
    w = f8(x)
    return f4(_logarithm(w, log2_narrow(w) * 0.3010299956639812))


def exp2_f8(x: float) -> float:
    """Return 2**x."""
    c = 1100.0 if x > 1100.0 else x
    c = -1100.0 if c < -1100.0 else c
    return exp2_parts_f8(c, 0.0)


def exp2_f4(x: float) -> float:
    """Return 2**x in float32."""
    return f4(exp2_narrow(f8(x)))
