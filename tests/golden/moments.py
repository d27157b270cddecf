def fused_copy_0_mean_mean(lo, hi, n0, n1, x0, x0_s0, r0, r0_s0, m0, r1, r1_s0, m1, block):
    kept = n0
    size = n1
    for t in range(lo, hi):
        b = t // kept
        cell = t - b * kept
        at0 = cell
        r0_o = at0 * r0_s0 + b * kept
        r1_o = at0 * r1_s0 + b * kept
        acc0 = f4(0)
        acc1 = f4(0)
        first = b * block
        last = min(first + block, size)
        x0_o = at0 * x0_s0
        for j in range(first, last):
            v0 = x0[x0_o + j]
            acc0 = reduce_add(acc0, v0)
            acc1 = reduce_add(acc1, v0)
        r0[r0_o] = acc0 / m0
        r1[r1_o] = acc1 / m1

def fused_subtract_square_2_mean(lo, hi, n0, n1, x0, x0_s0, x1, x1_s0, r0, r0_s0, m0, block):
    kept = n0
    size = n1
    for t in range(lo, hi):
        b = t // kept
        cell = t - b * kept
        at0 = cell
        r0_o = at0 * r0_s0 + b * kept
        acc0 = f4(0)
        first = b * block
        last = min(first + block, size)
        x0_o = at0 * x0_s0
        x1_o = at0 * x1_s0
        v1 = x1[x1_o]
        for j in range(first, last):
            v0 = x0[x0_o + j]
            v2 = v0 - v1
            v3 = v2 * v2
            acc0 = reduce_add(acc0, v3)
        r0[r0_o] = acc0 / m0
