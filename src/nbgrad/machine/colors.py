"""Colourings of the columns of a pattern, or of the vertices of a symmetric one, in compiled code.

Greedy, in an order: each takes the first colour that it may have. See Gebremedhin, Manne and Pothen,
"What color is your Jacobian?", SIAM Review 47 (2005), whose algorithms 3.1 and 4.1 these are.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nbgrad.machine.index_sets import Sets, call

Array = np.ndarray[Any, Any]

DISTANCE_2: Final = """
def distance_2(lo, hi, order, down, rows, starts, indices, taken, colors, found):
    most = 0
    for k in range(lo, hi):
        j = order[k]
        for e in range(down[j], down[j + 1]):
            i = rows[e]
            for f in range(starts[i], starts[i + 1]):
                c = colors[indices[f]]
                if c >= 0:
                    taken[c] = j + 1
        c = 0
        while taken[c] == j + 1:
            c += 1
        colors[j] = c
        if c >= most:
            most = c + 1
    found[0] = most
"""
DEGREES: Final = """
def degrees(lo, hi, down, rows, starts, indices, seen, out):
    for j in range(lo, hi):
        seen[j] = j + 1
        n = 0
        for e in range(down[j], down[j + 1]):
            i = rows[e]
            for f in range(starts[i], starts[i + 1]):
                x = indices[f]
                if seen[x] != j + 1:
                    seen[x] = j + 1
                    n += 1
        out[j] = n
"""
SMALLEST_LAST: Final = """
def smallest_last(lo, hi, down, rows, starts, indices, seen, degree, head, after, before, order):
    for j in range(lo, hi):
        d = degree[j]
        after[j] = head[d]
        before[j] = -1
        if head[d] >= 0:
            before[head[d]] = j
        head[d] = j
    low = 0
    for step in range(hi - 1, lo - 1, -1):
        while head[low] < 0:
            low += 1
        j = head[low]
        head[low] = after[j]
        if after[j] >= 0:
            before[after[j]] = -1
        degree[j] = -1
        order[step] = j
        seen[j] = -j - 1
        for e in range(down[j], down[j + 1]):
            i = rows[e]
            for f in range(starts[i], starts[i + 1]):
                x = indices[f]
                d = degree[x]
                if seen[x] != -j - 1 and d >= 0:
                    seen[x] = -j - 1
                    if before[x] >= 0:
                        after[before[x]] = after[x]
                    else:
                        head[d] = after[x]
                    if after[x] >= 0:
                        before[after[x]] = before[x]
                    d -= 1
                    degree[x] = d
                    before[x] = -1
                    after[x] = head[d]
                    if head[d] >= 0:
                        before[head[d]] = x
                    head[d] = x
                    if d < low:
                        low = d
"""
STAR: Final = """
def star(lo, hi, order, starts, indices, taken, colors, found):
    most = 0
    for k in range(lo, hi):
        v = order[k]
        for e in range(starts[v], starts[v + 1]):
            w = indices[e]
            if w != v:
                cw = colors[w]
                if cw >= 0:
                    taken[cw] = v + 1
                for f in range(starts[w], starts[w + 1]):
                    x = indices[f]
                    cx = colors[x]
                    if x != v and x != w and cx >= 0:
                        if cw < 0:
                            taken[cx] = v + 1
                        elif taken[cx] != v + 1:
                            for g in range(starts[x], starts[x + 1]):
                                y = indices[g]
                                if y != w and y != x and colors[y] == cw:
                                    taken[cx] = v + 1
        c = 0
        while taken[c] == v + 1:
            c += 1
        colors[v] = c
        if c >= most:
            most = c + 1
    found[0] = most
"""
SETS: Final = "i8* i4* "


def _degrees(sets: Sets, down: Sets) -> Array:
    """How many other columns each shares a row with."""
    n = len(down)
    out, seen = np.empty(n, np.int64), np.zeros(n, np.int64)
    given = down.starts, down.indices, sets.starts, sets.indices, seen, out
    call(DEGREES, 2 * SETS + "i8* i8*", n, *given)
    return out


def order_of(sets: Sets, down: Sets, name: str) -> Array:
    """The order in which columns are coloured: natural, largest-first or smallest-last."""
    n = len(down)
    if name == "natural":
        return np.arange(n)
    degree = _degrees(sets, down)
    if name == "largest-first":
        return np.argsort(-degree, kind="stable")
    if name != "smallest-last":
        raise ValueError(f"order={name!r}: give 'natural', 'largest-first' or 'smallest-last'")
    head = np.full(int(degree.max(initial=0)) + 1, -1, np.int64)
    order, seen = np.empty(n, np.int64), np.zeros(n, np.int64)
    links = np.empty(n, np.int64), np.empty(n, np.int64)
    given = down.starts, down.indices, sets.starts, sets.indices, seen, degree, head
    call(SMALLEST_LAST, 2 * SETS + "i8* " * 6, n, *given, *links, order)
    return order


def columns(sets: Sets, down: Sets, order: str) -> tuple[Array, int]:
    """A colour for each column, two that share a row having different ones; and how many there are.

    *down* is the transpose of *sets*.
    """
    n = len(down)
    colors, taken = np.full(n, -1, np.int64), np.zeros(n + 1, np.int64)
    found = np.zeros(1, np.int64)
    given = down.starts, down.indices, sets.starts, sets.indices, taken, colors, found
    call(DISTANCE_2, "i8* " + 2 * SETS + "i8* i8* i8*", n, order_of(sets, down, order), *given)
    return colors, int(found[0])


def star(sets: Sets, order: str) -> tuple[Array, int]:
    """A colour for each vertex of a symmetric pattern, each path of four having three or more."""
    n = len(sets)
    colors, taken = np.full(n, -1, np.int64), np.zeros(n + 1, np.int64)
    found = np.zeros(1, np.int64)
    places = order_of(sets, sets, order)
    given = sets.starts, sets.indices, taken, colors, found
    call(STAR, "i8* " + SETS + "i8* i8* i8*", n, places, *given)
    return colors, int(found[0])
