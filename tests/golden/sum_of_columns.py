def fused_exp_1_sum(lo, hi, n0, n1, x0, x0_s0, r0, block):
    cells = 1
    kept = cells * n1
    size = n0
    chunks = (n1 + 511) // 512
    for t in range(lo, hi):
        b = t // (cells * chunks)
        cell = (t - b * cells * chunks) // chunks
        j0 = (t - (b * cells + cell) * chunks) * 512
        j1 = min(j0 + 512, n1)
        r0_o = b * kept
        for j in range(j0, j1):
            r0[r0_o + j] = f8(0)
        for row in range(b * block, min((b + 1) * block, size)):
            at0 = row
            x0_o = at0 * x0_s0
            for j in range(j0, j1):
                v0 = x0[x0_o + j]
                v1 = exp_f8(v0)
                r0[r0_o + j] = reduce_add(r0[r0_o + j], v1)
