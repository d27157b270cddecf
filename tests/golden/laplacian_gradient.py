def fused_add_multiply_subtract_7_sum(lo, hi, n0, n1, x0, x0_s0, x1, x1_s0, x3, x3_s0, x5, x5_s0, x7, x7_s0, c8, y0, y0_s0, r0, block):
    kept = 1
    size = n0 * n1
    for t in range(lo, hi):
        b = t // kept
        r0_o = b * kept
        acc0 = f8(0)
        first = b * block
        last = min(first + block, size)
        q = first
        while q < last:
            row = q // n1
            j0 = q - row * n1
            j1 = min(n1, j0 + last - q)
            at0 = row
            x0_o = at0 * x0_s0
            x1_o = at0 * x1_s0
            x3_o = at0 * x3_s0
            x5_o = at0 * x5_s0
            x7_o = at0 * x7_s0
            y0_o = at0 * y0_s0
            for j in range(j0, j1):
                v0 = x0[x0_o + j]
                v1 = x1[x1_o + j]
                v2 = v0 + v1
                v3 = x3[x3_o + j]
                v4 = v2 + v3
                v5 = x5[x5_o + j]
                v6 = v4 + v5
                v7 = x7[x7_o + j]
                v9 = v7 * c8
                v10 = v6 - v9
                v11 = v10 * v10
                v12 = v10 + v10
                y0[y0_o + j] = v12
                acc0 = reduce_add(acc0, v11)
            q += j1 - j0
        r0[r0_o] = acc0

def fused_add_negative_multiply_6(lo, hi, n0, n1, x0, x0_s0, x2, x2_s0, x5, x5_s0, x8, x8_s0, x11, x11_s0, c13, y0, y0_s0, g0_lo, g0_hi, g1_lo, g1_hi, g2_lo, g2_hi, g3_lo, g3_hi, g4_lo, g4_hi, g5_lo, g5_hi):
    q = lo
    while q < hi:
        row = q // n1
        j0 = q - row * n1
        j1 = min(n1, j0 + hi - q)
        at0 = row
        x0_o = at0 * x0_s0
        x2_o = at0 * x2_s0
        x5_o = at0 * x5_s0
        x8_o = at0 * x8_s0
        x11_o = at0 * x11_s0
        y0_o = at0 * y0_s0
        a = min(max(max(max(j0, g1_lo), g2_lo), g4_lo), j1)
        b = max(min(min(min(j1, g1_hi), g2_hi), g4_hi), a)
        if not (g0_lo <= at0 < g0_hi and g3_lo <= at0 < g3_hi and g5_lo <= at0 < g5_hi):
            a = b = j1
        for j in range(a, b):
            v0 = x0[x0_o + j]
            v1 = v0
            v2 = x2[x2_o + j]
            v3 = v2
            v4 = v1 + v3
            v5 = x5[x5_o + j]
            v6 = v5
            v7 = v4 + v6
            v8 = x8[x8_o + j]
            v9 = v8
            v10 = v7 + v9
            v11 = x11[x11_o + j]
            v12 = -v11
            v14 = v12 * c13
            v15 = v14
            v16 = v10 + v15
            y0[y0_o + j] = v16
        for edge in range(2):
            start = b if edge else j0
            stop = j1 if edge else a
            for j in range(start, stop):
                v0 = f8(0)
                v1 = f8(0)
                if g0_lo <= at0 < g0_hi and g1_lo <= j < g1_hi:
                    v0 = x0[x0_o + j]
                    v1 = v0
                v2 = f8(0)
                v3 = f8(0)
                if g0_lo <= at0 < g0_hi and g2_lo <= j < g2_hi:
                    v2 = x2[x2_o + j]
                    v3 = v2
                v4 = v1 + v3
                v5 = f8(0)
                v6 = f8(0)
                if g3_lo <= at0 < g3_hi and g4_lo <= j < g4_hi:
                    v5 = x5[x5_o + j]
                    v6 = v5
                v7 = v4 + v6
                v8 = f8(0)
                v9 = f8(0)
                if g5_lo <= at0 < g5_hi and g4_lo <= j < g4_hi:
                    v8 = x8[x8_o + j]
                    v9 = v8
                v10 = v7 + v9
                v11 = f8(0)
                v12 = f8(0)
                v14 = f8(0)
                v15 = f8(0)
                if g0_lo <= at0 < g0_hi and g4_lo <= j < g4_hi:
                    v11 = x11[x11_o + j]
                    v12 = -v11
                    v14 = v12 * c13
                    v15 = v14
                v16 = v10 + v15
                y0[y0_o + j] = v16
        q += j1 - j0
