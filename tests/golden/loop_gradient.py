# loop: scan, 6 times
def loop_12(lo, hi, n, x0, x1, x2, x3, x4, c6, y0, y1, y2, y3):
    v1 = x0[0]
    v2 = x1[0]
    s0 = x2[0]
    s1 = x3[0]
    for at in range(n):
        v5 = x4[at]
        v6 = s0 > v5
        v7 = v1 * s0
        v8 = sin_f8(v5)
        v9 = v2 * v8
        v10 = s0 + v9
        v11 = select(v6, v7, v10)
        v12 = v11 * v11
        v14 = v12 / c6
        v15 = s1 + v14
        v16 = v11
        v17 = s0
        y2[at] = v16
        y3[at] = v17
        s0 = f8(v11)
        s1 = f8(v15)
    y0[0] = s0
    y1[0] = s1

def fused_copy_0_sum(lo, hi, n0, x0, y0, r0, block):
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
            y0[j] = f8(1.0)
            acc0 = reduce_add(acc0, v0)
        r0[r0_o] = acc0

def fused_add_1(lo, hi, n0, x0, x1, y0, y1, y2):
    v0 = x0[0]
    v1 = x1[0]
    v2 = v0 + v1
    for j in range(lo, hi):
        y0[0] = v2
        y1[0] = f8(0.0)
        y2[0] = f8(1.0)

# loop: scan, 6 times
def loop_29(lo, hi, n, x0, x1, x2, x3, x4, x5, x6, x7, x8, c10, y0, y1, y2, y3, y4):
    v1 = x0[0]
    v2 = x1[0]
    s0 = x2[0]
    s1 = x3[0]
    s2 = x4[0]
    s3 = x5[0]
    for at in range(n - 1, -1, -1):
        v7 = x6[at]
        v8 = x7[at]
        v9 = x8[at]
        v10 = v7 > v8
        v11 = v1 * v7
        v12 = sin_f8(v8)
        v13 = v2 * v12
        v14 = v7 + v13
        v15 = select(v10, v11, v14)
        v16 = s2 + v9
        v18 = s3 * c10
        v19 = select(v18 != f8(0), v18 * v15, f8(0))
        v20 = v16 + v19
        v21 = v20 + v19
        v25 = select(v21 != f8(0), v21 * v12, f8(0))
        v26 = select(v10, f8(0.0), v25)
        v27 = select(v21 != f8(0), v21 * v2, f8(0))
        v29 = cos_f8(v8)
        v30 = select(v27 != f8(0), v27 * v29, f8(0))
        v31 = select(v10, f8(0.0), v30)
        v32 = select(v21 != f8(0), v21 * v7, f8(0))
        v33 = select(v10, v32, f8(0.0))
        v34 = select(v21 != f8(0), v21 * v1, f8(0))
        v36 = f8(0.0) + v34
        v37 = v21 + f8(0.0)
        v38 = select(v10, v36, v37)
        v39 = s0 + v33
        v40 = s1 + v26
        v41 = s3
        y4[at] = v31
        s0 = f8(v39)
        s1 = f8(v40)
        s2 = f8(v38)
        s3 = f8(v41)
    y0[0] = s0
    y1[0] = s1
    y2[0] = s2
    y3[0] = s3

def fused_add_1(lo, hi, n0, x0, x1, y0):
    v0 = x0[0]
    v1 = x1[0]
    v2 = v0 + v1
    for j in range(lo, hi):
        y0[0] = v2
