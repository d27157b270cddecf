def fused_copy_0_max(lo, hi, n0, n1, x0, x0_s0, r0, r0_s0, block):
    kept = n0
    size = n1
    for t in range(lo, hi):
        b = t // kept
        cell = t - b * kept
        at0 = cell
        r0_o = at0 * r0_s0 + b * kept
        acc0 = f8(-math.inf)
        first = b * block
        last = min(first + block, size)
        x0_o = at0 * x0_s0
        for j in range(first, last):
            v0 = x0[x0_o + j]
            acc0 = reduce_max(acc0, v0)
        r0[r0_o] = acc0

def fused_subtract_exp_2_sum(lo, hi, n0, n1, x0, x0_s0, x1, x1_s0, y0, y0_s0, r0, r0_s0, block):
    kept = n0
    size = n1
    for t in range(lo, hi):
        b = t // kept
        cell = t - b * kept
        at0 = cell
        r0_o = at0 * r0_s0 + b * kept
        acc0 = f8(0)
        first = b * block
        last = min(first + block, size)
        x0_o = at0 * x0_s0
        x1_o = at0 * x1_s0
        y0_o = at0 * y0_s0
        v1 = x1[x1_o]
        for j in range(first, last):
            v0 = x0[x0_o + j]
            v2 = v0 - v1
            v3 = exp_f8(v2)
            y0[y0_o + j] = v3
            acc0 = reduce_add(acc0, v3)
        r0[r0_o] = acc0

def fused_divide_1(lo, hi, n0, n1, x0, x0_s0, x1, x1_s0, y0, y0_s0):
    q = lo
    while q < hi:
        row = q // n1
        j0 = q - row * n1
        j1 = min(n1, j0 + hi - q)
        at0 = row
        x0_o = at0 * x0_s0
        x1_o = at0 * x1_s0
        y0_o = at0 * y0_s0
        v1 = x1[x1_o]
        for j in range(j0, j1):
            v0 = x0[x0_o + j]
            v2 = v0 / v1
            y0[y0_o + j] = v2
        q += j1 - j0
