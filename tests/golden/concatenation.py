def fused_copy_0(lo, hi, n0, x0, x0_s0, y0):
    for j in range(lo, hi):
        v0 = x0[j * x0_s0]
        y0[j] = v0

def fused_multiply_1(lo, hi, n0, x0, c1, y0):
    for j in range(lo, hi):
        v0 = x0[j]
        v2 = v0 * c1
        y0[j] = v2

def fused_multiply_1(lo, hi, n0, x0, x1, y0):
    v1 = x1[0]
    for j in range(lo, hi):
        v0 = x0[j]
        v2 = v0 * v1
        y0[j] = v2

def fused_square_1(lo, hi, n0, x0, y0):
    for j in range(lo, hi):
        v0 = x0[j]
        v1 = v0 * v0
        y0[j] = v1
