# loop: scan, 5 times
def loop_8(lo, hi, n, x0, x1, y0, y1):
    v1 = x0[0]
    v2 = x0[1]
    v3 = x0[2]
    s0_0 = x1[0]
    s0_1 = x1[1]
    s0_2 = x1[2]
    for at in range(n - 1, -1, -1):
        v8 = s0_1 * v1
        v9 = s0_2 - v2
        v10 = s0_0 * v1
        v11 = s0_1 * v2
        v12 = s0_2 * v3
        v13 = f8(0) + v10
        v14 = v13 + v11
        v15 = v14 + v12
        y1[at * 3] = s0_2
        y1[at * 3 + 1] = s0_1
        y1[at * 3 + 2] = s0_0
        s0_0 = f8(v8)
        s0_1 = f8(v9)
        s0_2 = f8(v15)
    y0[0] = s0_0
    y0[1] = s0_1
    y0[2] = s0_2
