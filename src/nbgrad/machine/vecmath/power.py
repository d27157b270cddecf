"""pow.

x**y = 2**(y log2 |x|). log2 |x| is needed to 2**-64, since y may multiply it to 1024 and its error
becomes a relative one, so it is carried as an unevaluated sum of a head of 26 bits and a tail. As
a product of two heads is exact, it does not matter which operations are fused. With 1 + f the
significand, between sqrt(1/2) and sqrt(2), and s = f / (2 + f),
log(1 + f) = 2 atanh(s) = 2/3 s (3 + s*s + s**4 Q(s*s)).
In float32 all of this is plain float64 arithmetic.
"""

from __future__ import annotations

from nbgrad.machine.vecmath.bits import (
    HEAD_F8,
    INF,
    NAN,
    f4,
    f4_as_i4,
    f8,
    f8_as_i8,
    i4,
    i4_as_f4,
    i8_as_f8,
)


def log2_parts_f8(x: float) -> tuple[float, float]:
    """Return log2 of a positive finite number as a head of 26 bits and a tail."""
    subnormal = x < 2.2250738585072014e-308
    scaled = x * 18014398509481984.0
    i = f8_as_i8(scaled if subnormal else x) - 0x3FE6A09E667F3BCD
    bias = 4503599627371573.0 if subnormal else 4503599627371519.0
    k = i8_as_f8((((i + 0x3FF0000000000000) >> 52) & 0xFFF) | 0x4330000000000000) - bias
    m = i8_as_f8((i & 0xFFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD)
    f = m - 1.0
    v = 1.0 / (m + 1.0)
    u_head = i8_as_f8(f8_as_i8(m + 1.0) & HEAD_F8)
    s = f * v
    s_head = i8_as_f8(f8_as_i8(s) & HEAD_F8)
    s_tail = ((f - s_head * u_head) - s_head * (m - (u_head - 1.0))) * v
    z = s * s
    z2 = z * z
    p = 0.19794619391967047
    p = p * z2 + (0.2308013620882998 + 0.19885216900305622 * z)
    p = p * z2 + (0.33333333779791513 + 0.2727267655167959 * z)
    p = p * z2 + (0.6000000000000338 + 0.4285714285515046 * z)
    small = z * z * p + s_tail * (s_head + s)
    square = s_head * s_head
    t_head = i8_as_f8(f8_as_i8(3.0 + square + small) & HEAD_F8)
    t_tail = small - ((t_head - 3.0) - square)
    product = s_head * t_head
    rest = s_tail * t_head + t_tail * s
    g = i8_as_f8(f8_as_i8(product + rest) & HEAD_F8)
    g_tail = rest - (g - product)
    # Times 2 / (3 ln 2) = 0.96..., again in a head and a tail.
    high = g * 0.9617966860532761
    low = g * 7.872699542894897e-09 + g_tail * 0.9617966939259756
    head = i8_as_f8(f8_as_i8(k + (high + low)) & HEAD_F8)
    return head, low - ((head - k) - high)


def exp2_parts_f8(head: float, tail: float) -> float:
    """Return 2**(head + tail) for head between -1100 and 1100, |tail| < 1e-4."""
    t = head + 6755399441057790.0
    r = (head - (t - 6755399441057790.0)) + tail
    r2 = r * r
    r4 = r2 * r2
    p = (1.0178046234503056e-07 + 7.073897958441567e-09 * r) + 4.457419085425063e-10 * r2
    q = 1.5252733868130504e-05 + 1.321543460970227e-06 * r
    p = p * r4 + ((0.0013333558146378366 + 0.00015403530458466444 * r) + q * r2)
    q = 0.05550410866482174 + 0.009618129107593052 * r
    p = p * r4 + ((0.6931471805599453 + 0.24022650695910133 * r) + q * r2)
    j = f8_as_i8(t) & 0xFFF
    h = j >> 1
    return (1.0 + r * p) * i8_as_f8(h << 52) * i8_as_f8((j - h) << 52)


def pow_special_f8(x: float, y: float, magnitude: float) -> float:
    """Return x**y given |x|**y, which is right for positive finite x and any y but NaN."""
    ax = abs(x)
    ay = abs(y)
    # Adding 2**52 rounds to an integer whose last bit says whether it is odd.
    shift = 4503599627370496.0 if ay < 4503599627370496.0 else 0.0
    t = ay + shift
    whole = (t - shift) == ay
    t = t if whole & (ay < 9007199254740992.0) else 0.0
    edge = INF if (ax > 1.0) == (y > 0.0) else 0.0
    r = edge if (ax == 0.0) | (ax == INF) else magnitude
    r = i8_as_f8(f8_as_i8(r) ^ ((f8_as_i8(t) << 63) & f8_as_i8(x)))
    r = r if whole | (x >= 0.0) | (ax == INF) else NAN
    r = r if (x == x) & (y == y) else NAN
    return f8(1.0) if (x == 1.0) | (y == 0.0) else r


def pow_special_f4(x: float, y: float, magnitude: float) -> float:
    """Return x**y given |x|**y, in float32."""
    ax = abs(x)
    ay = abs(y)
    shift = f4(8388608.0) if ay < f4(8388608.0) else f4(0.0)
    t = ay + shift
    whole = (t - shift) == ay
    t = t if whole & (ay < f4(16777216.0)) else f4(0.0)
    edge = f4(INF) if (ax > f4(1.0)) == (y > f4(0.0)) else f4(0.0)
    r = edge if (ax == f4(0.0)) | (ax == f4(INF)) else magnitude
    sign = i4(i4(f4_as_i4(t) << 31) & f4_as_i4(x))
    r = i4_as_f4(i4(f4_as_i4(r) ^ sign))
    r = r if whole | (x >= f4(0.0)) | (ax == f4(INF)) else f4(NAN)
    r = r if (x == x) & (y == y) else f4(NAN)
    return f4(1.0) if (x == f4(1.0)) | (y == f4(0.0)) else r


def log2_narrow(x: float) -> float:
    """Return log2 of a positive finite number that float32 has, to 34 bits."""
    i = f8_as_i8(x) - 0x3FE6A09E667F3BCD
    k = i8_as_f8((((i + 0x3FF0000000000000) >> 52) & 0xFFF) | 0x4330000000000000)
    f = i8_as_f8((i & 0xFFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD) - 1.0
    s = f / (2.0 + f)
    z = s * s
    z2 = z * z
    p = 0.23581779956253926
    p = p * z2 + (0.40000334699579737 + 0.28537333098042433 * z)
    p = p * z2 + (2.0 + 0.6666666564827678 * z)
    return (k - 4503599627371519.0) + s * p * 1.4426950408889634


def exp2_narrow(e: float) -> float:
    """Return 2**e to the bits of float32."""
    e = 200.0 if e > 200.0 else e
    e = -200.0 if e < -200.0 else e
    t = e + 6755399441056767.0
    r = e - (t - 6755399441056767.0)
    r2 = r * r
    q = 0.0013400409649810118 + 0.00015476542458773884 * r
    q = q * r2 + (0.0555032744745515 + 0.009618002893050308 * r)
    q = q * r2 + (0.6931472063956996 + 0.24022651356174737 * r)
    return (1.0 + r * q) * i8_as_f8(f8_as_i8(t) << 52)


def pow_f8(x: float, y: float) -> float:
    """Return x**y."""
    w, w_tail = log2_parts_f8(abs(x))
    # Beyond 2**64 only the sign of y matters, unless |x| is 1.
    c = 1.8446744073709552e19 if y > 1.8446744073709552e19 else y
    c = -1.8446744073709552e19 if c < -1.8446744073709552e19 else c
    c_head = i8_as_f8(f8_as_i8(c) & HEAD_F8)
    head = c_head * w
    tail = (c - c_head) * w + c * w_tail
    tail = tail if abs(head) < 1100.0 else 0.0
    head = 1100.0 if head > 1100.0 else head
    head = -1100.0 if head < -1100.0 else head
    return pow_special_f8(x, y, exp2_parts_f8(head, tail))


def pow_f4(x: float, y: float) -> float:
    """Return x**y for float32 operands, computed in float64: log2 needs 34 bits."""
    # Beyond 1e30 only the sign of y matters; infinity times log2(1) would be NaN.
    c = f4(1e30) if y > f4(1e30) else y
    c = f4(-1e30) if c < f4(-1e30) else c
    e = f8(c) * log2_narrow(f8(abs(x)))
    return pow_special_f4(x, y, f4(exp2_narrow(e)))
