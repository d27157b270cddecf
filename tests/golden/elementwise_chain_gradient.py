def fused_multiply_negative_exp_sin_18_sum(lo, hi, n0, x0, x4, y0, y1, r0, block):
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
            v1 = v0 * v0
            v2 = -v1
            v3 = exp_f8(v2)
            v4 = x4[j]
            v5 = sin_f8(v4)
            v6 = v3 * v5
            v7 = v0 / v4
            v8 = v6 + v7
            v9 = v7 / v4
            v10 = -v9
            v11 = cos_f8(v4)
            v12 = (v3 * v11 if v3 != f8(0) else f8(0))
            v13 = v10 + v12
            v15 = f8(1) / v4
            v16 = (v5 * v3 if v5 != f8(0) else f8(0))
            v17 = -v16
            v18 = (v17 * v0 if v17 != f8(0) else f8(0))
            v19 = v15 + v18
            v20 = v19 + v18
            y0[j] = v13
            y1[j] = v20
            acc0 = reduce_add(acc0, v8)
        r0[r0_o] = acc0
