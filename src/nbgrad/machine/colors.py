"""Colourings of the columns of a pattern, or of the vertices of a symmetric one, in compiled code.

Greedy, in an order: each takes the first colour that it may have. See Gebremedhin, Manne and Pothen,
"What color is your Jacobian?", SIAM Review 47 (2005), whose algorithms 3.1 and 4.1 these are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nbgrad.machine.index_sets import Sets, call
from nbgrad.machine.lattices import lattice

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
TWINS: Final = """
def twins(lo, hi, starts, indices, to, out):
    for j in range(lo, hi):
        to[j] = starts[j]
    for i in range(lo, hi):
        for e in range(starts[i], starts[i + 1]):
            j = indices[e]
            out[to[j]] = e
            to[j] += 1
"""
# Trees are sets of edges, of which `above` leads to the first: an edge is the first of its two entries.
ACYCLIC: Final = """
def acyclic(lo, hi, order, starts, indices, edges, above, taken, visit, first, colors, found):
    most = 0
    for k in range(lo, hi):
        v = order[k]
        for e in range(starts[v], starts[v + 1]):
            w = indices[e]
            if w != v and colors[w] >= 0:
                taken[colors[w]] = v + 1
        for e in range(starts[v], starts[v + 1]):
            w = indices[e]
            if w != v and colors[w] >= 0:
                for f in range(starts[w], starts[w + 1]):
                    x = indices[f]
                    if x != v and x != w and colors[x] >= 0 and taken[colors[x]] != v + 1:
                        t = edges[f]
                        while above[t] != t:
                            above[t] = above[above[t]]
                            t = above[t]
                        if visit[2 * t] != v + 1:
                            visit[2 * t] = v + 1
                            visit[2 * t + 1] = w
                        elif visit[2 * t + 1] != w:
                            taken[colors[x]] = v + 1
        c = 0
        while taken[c] == v + 1:
            c += 1
        colors[v] = c
        if c >= most:
            most = c + 1
        for e in range(starts[v], starts[v + 1]):
            w = indices[e]
            if w != v and colors[w] >= 0:
                b = colors[w]
                s = edges[e]
                if first[2 * b] != v + 1:
                    first[2 * b] = v + 1
                    first[2 * b + 1] = s
                else:
                    t = first[2 * b + 1]
                    while above[s] != s:
                        above[s] = above[above[s]]
                        s = above[s]
                    while above[t] != t:
                        above[t] = above[above[t]]
                        t = above[t]
                    above[s] = t
        for e in range(starts[v], starts[v + 1]):
            w = indices[e]
            if w != v and colors[w] >= 0:
                for f in range(starts[w], starts[w + 1]):
                    x = indices[f]
                    if x != v and x != w and colors[x] == c:
                        s = edges[e]
                        t = edges[f]
                        while above[s] != s:
                            above[s] = above[above[s]]
                            s = above[s]
                        while above[t] != t:
                            above[t] = above[above[t]]
                            t = above[t]
                        above[s] = t
    found[0] = most
"""
# The leaves of trees one after the other. Vertex i and a colour are the slot colour * n + i.
ELIMINATE: Final = """
def eliminate(lo, hi, starts, indices, twins, colors, degree, queue, gone, steps, found):
    n = hi
    end = 0
    for i in range(lo, hi):
        for e in range(starts[i], starts[i + 1]):
            j = indices[e]
            if j != i:
                degree[colors[j] * n + i] += 1
    for i in range(lo, hi):
        for e in range(starts[i], starts[i + 1]):
            j = indices[e]
            if j != i and degree[colors[j] * n + i] == 1:
                queue[end] = colors[j] * n + i
                end += 1
    at = 0
    count = 0
    while at < end:
        slot = queue[at]
        at += 1
        if degree[slot] == 1:
            b = slot // n
            i = slot - b * n
            for e in range(starts[i], starts[i + 1]):
                j = indices[e]
                if j != i and colors[j] == b and gone[e] == 0:
                    gone[e] = 1
                    gone[twins[e]] = 1
                    other = colors[i] * n + j
                    steps[4 * count] = slot
                    steps[4 * count + 1] = other
                    steps[4 * count + 2] = e
                    steps[4 * count + 3] = twins[e]
                    count += 1
                    degree[slot] = 0
                    degree[other] -= 1
                    if degree[other] == 1:
                        queue[end] = other
                        end += 1
    found[0] = count
"""
SUBSTITUTE: Final = """
def substitute(lo, hi, steps, values, out):
    for k in range(lo, hi):
        x = values[steps[4 * k]]
        values[steps[4 * k + 1]] -= x
        out[steps[4 * k + 2]] = x
        out[steps[4 * k + 3]] = x
"""
SETS: Final = "i8* i4* "
ORDERS: Final = ("auto", "natural", "largest-first", "smallest-last")
MUCH: Final = 1 << 27  # pairs of columns in a row, beyond which one order is tried


def _degrees(sets: Sets, down: Sets) -> Array:
    """How many other columns each shares a row with."""
    n = len(down)
    out, seen = np.empty(n, np.int64), np.zeros(n, np.int64)
    given = down.starts, down.indices, sets.starts, sets.indices, seen, out
    call(DEGREES, 2 * SETS + "i8* i8*", n, *given)
    return out


def order_of(sets: Sets, down: Sets, name: str) -> Array:
    """The order in which columns are coloured."""
    n = len(down)
    if name == "natural":
        return np.arange(n)
    degree = _degrees(sets, down)
    if name == "largest-first":
        return np.argsort(-degree, kind="stable")
    head = np.full(int(degree.max(initial=0)) + 1, -1, np.int64)
    order, seen = np.empty(n, np.int64), np.zeros(n, np.int64)
    links = np.empty(n, np.int64), np.empty(n, np.int64)
    given = down.starts, down.indices, sets.starts, sets.indices, seen, degree, head
    call(SMALLEST_LAST, 2 * SETS + "i8* " * 6, n, *given, *links, order)
    return order


def columns(sets: Sets, down: Sets, order: str) -> tuple[Array, int]:
    """A colour for each column, two that share a row having different ones; and how many there are.

    *down* is the transpose of *sets*. The order "auto" is the natural one, and if that needs more colours
    than the longest row has columns, the best of all, and what arithmetic gives of a stencil's.
    """
    least = int(np.diff(sets.starts).max(initial=0))
    found = _best(lambda name: _columns(sets, down, name), sets, order, least)
    if order == "auto" and least < found[1]:
        found = lattice(sets, len(down), least, found[1]) or found
    return found


def _best(
    colored: Callable[[str], tuple[Array, int]], sets: Sets, order: str, least: int
) -> tuple[Array, int]:
    """The colouring in an order, or, of "auto", the first with so few colours or the best of all."""
    if order != "auto":
        return colored(order)
    best = colored("natural")
    if best[1] > least and float(np.sum(np.diff(sets.starts).astype(float) ** 2)) < MUCH:
        others = [colored(name) for name in ORDERS[2:]]
        best = min([best, *others], key=lambda found: found[1])
    return best


def _columns(sets: Sets, down: Sets, order: str) -> tuple[Array, int]:
    n = len(down)
    colors, taken = np.full(n, -1, np.int64), np.zeros(n + 1, np.int64)
    found = np.zeros(1, np.int64)
    given = down.starts, down.indices, sets.starts, sets.indices, taken, colors, found
    call(DISTANCE_2, "i8* " + 2 * SETS + "i8* i8* i8*", n, order_of(sets, down, order), *given)
    return colors, int(found[0])


def star(sets: Sets, order: str) -> tuple[Array, int]:
    """A colour for each vertex of a symmetric pattern, each path of four having three or more.

    Columns that share no row are such, and of a stencil there may be fewer colours for these.
    """
    found = _best(lambda name: _star(sets, name), sets, order, 2)
    least = int(np.diff(sets.starts).max(initial=0))
    if order == "auto" and least < found[1]:
        found = min(lattice(sets, len(sets), least, found[1]) or found, found, key=lambda f: f[1])
    return found


def _star(sets: Sets, order: str) -> tuple[Array, int]:
    n = len(sets)
    colors, taken = np.full(n, -1, np.int64), np.zeros(n + 1, np.int64)
    found = np.zeros(1, np.int64)
    places = order_of(sets, sets, order)
    given = sets.starts, sets.indices, taken, colors, found
    call(STAR, "i8* " + SETS + "i8* i8* i8*", n, places, *given)
    return colors, int(found[0])


def acyclic(sets: Sets, order: str) -> tuple[Array, int]:
    """A colour for each vertex of a symmetric pattern, neighbours and cycles having two and three or more.

    The algorithm is 3.1 of Gebremedhin, Tarafdar, Manne and Pothen, "New acyclic and star coloring
    algorithms with application to computing Hessians", SIAM J. Sci. Comput. 29 (2007).
    """
    return _best(lambda name: _acyclic(sets, name), sets, order, 2)


def _acyclic(sets: Sets, order: str) -> tuple[Array, int]:
    n, count = len(sets), sets.count
    colors, taken = np.full(n, -1, np.int64), np.zeros(n + 1, np.int64)
    edges = np.minimum(twins(sets), np.arange(count))
    above, found = np.arange(count), np.zeros(1, np.int64)
    visit, first = np.zeros(2 * count, np.int64), np.zeros(2 * n + 2, np.int64)
    given = sets.starts, sets.indices, edges, above, taken, visit, first, colors, found
    call(ACYCLIC, "i8* " + SETS + "i8* " * 7, n, order_of(sets, sets, order), *given)
    return colors, int(found[0])


def twins(sets: Sets) -> Array:
    """For each entry (i, j) of a symmetric pattern the number of the entry (j, i)."""
    out = np.empty(sets.count, np.int64)
    to = np.empty(len(sets), np.int64)
    call(TWINS, SETS + "i8* i8*", len(sets), sets.starts, sets.indices, to, out)
    return out


def eliminated(sets: Sets, colors: Array, count: int) -> Array:
    """In which order the entries off the diagonal follow from products with an acyclic colouring.

    Each step is the number of a product, that of the one it is taken off, and those of two entries.
    """
    n = len(sets)
    degree, gone = np.zeros(count * n, np.int64), np.zeros(sets.count, np.int8)
    queue = np.empty(2 * sets.count + 1, np.int64)
    steps, found = np.empty((sets.count // 2 + 1, 4), np.int64), np.zeros(1, np.int64)
    given = sets.starts, sets.indices, twins(sets), colors, degree, queue, gone, steps, found
    call(ELIMINATE, SETS + "i8* i8* i8* i8* i1* i8* i8*", n, *given)
    return steps[: int(found[0])].copy()


def substituted(steps: Array, values: Array, out: Array) -> None:
    """Write entries to *out*, of products *values*, which are changed."""
    call(SUBSTITUTE, "i8* f8* f8*", len(steps), steps, values, out)
