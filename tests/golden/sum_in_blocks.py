def fused_sqrt_multiply_2_sum_max(lo, hi, n0, x0, c2, r0, r1, block):
    kept = 1
    size = n0
    for t in range(lo, hi):
        b = t // kept
        r0_o = b * kept
        r1_o = b * kept
        acc0 = f8(0)
        acc1 = f8(-math.inf)
        first = b * block
        last = min(first + block, size)
        for j in range(first, last):
            v0 = x0[j]
            v1 = math.sqrt(v0)
            v3 = v1 * c2
            acc0 = reduce_add(acc0, v3)
            acc1 = reduce_max(acc1, v0)
        r0[r0_o] = acc0
        r1[r1_o] = acc1

def fused_copy_0_sum(lo, hi, n0, x0, r0, block):
    kept = 1
    size = n0
    for t in range(lo, hi):
        b = t // kept
        r0_o = b * kept
        acc0 = f8(0)
        first = b * block
        last = min(first + block, size)
        for j in range(first, last):
            v0 = x0[j]
            acc0 = reduce_add(acc0, v0)
        r0[r0_o] = acc0

def fused_copy_0_max(lo, hi, n0, x0, r0, block):
    kept = 1
    size = n0
    for t in range(lo, hi):
        b = t // kept
        r0_o = b * kept
        acc0 = f8(-math.inf)
        first = b * block
        last = min(first + block, size)
        for j in range(first, last):
            v0 = x0[j]
            acc0 = reduce_max(acc0, v0)
        r0[r0_o] = acc0
