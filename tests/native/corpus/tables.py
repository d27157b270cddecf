"""Tables of codes, hash maps, sorting, heaps, searching."""

import math

import numba
import numpy as np

from corpus.table import case, draw, spread

TEXT = np.frombuffer(b"12.5 3 0.25 -7 1e1", np.uint8).copy()


@case(draw(1, 5), TEXT)
def numbers_of_a_text(weight, text):
    """Reads numbers, each of which weighs a float."""
    total, k, i = 0.0, 0, 0
    n = len(text)
    while i < n:
        if text[i] == 32:
            i += 1
            continue
        sign, value, scale = 1.0, 0.0, 0.0
        while i < n and text[i] != 32:
            c = text[i]
            if c == 45:
                sign = -1.0
            elif c == 46:
                scale = 1.0
            elif c == 101:
                i += 1
                value *= 10.0 ** (text[i] - 48)
            else:
                value = 10.0 * value + (c - 48)
                if scale > 0:
                    scale *= 10.0
            i += 1
        if scale > 0:
            value /= scale
        total += weight[k] * sign * value + weight[k] ** 2
        k += 1
    return total


@case(np.array([1.1, 0.7, -0.4]), np.array([0, 1, 3, 2, 4, 0, 5]))
def stack_machine(x, program):
    """A calculator: codes push, add, multiply, take the sine."""
    stack = np.zeros(8)
    top = 0
    for code in program:
        if code < 3:
            stack[top] = x[code]
            top += 1
        elif code == 3:
            top -= 1
            stack[top - 1] += stack[top]
        elif code == 4:
            top -= 1
            stack[top - 1] *= stack[top]
        else:
            top -= 1
            stack[top - 1] = math.sin(stack[top - 1]) - stack[top]
    return stack[0]


@case(draw(2, 8), np.array([17, 5, 17, 90, 33, 5, 17, 64]))
def hash_map(value, key):
    """Sums by key, open addressing."""
    keys = np.full(11, -1)
    sums = np.zeros(11)
    for i in range(len(key)):
        slot = (key[i] * 7 + 3) % 11
        while keys[slot] != -1 and keys[slot] != key[i]:
            slot = (slot + 1) % 11
        keys[slot] = key[i]
        sums[slot] += value[i]
    total = 0.0
    for s in range(11):
        if keys[s] >= 0:
            total += sums[s] ** 3 * math.log(1.0 + keys[s])
    return total


@case(spread(3, 8), step=1e-3, order2=False)
def sorting_network(x):
    y = x.copy()
    n = y.shape[0]
    for step in range(n):
        for i in range(step % 2, n - 1, 2):
            low, high = min(y[i], y[i + 1]), max(y[i], y[i + 1])
            y[i], y[i + 1] = low, high
    return y


@case(spread(4, 9), step=1e-3)
def heap_order(x):
    """A heap by sifting; its three least, weighed."""
    heap = np.empty(x.shape[0])
    size = 0
    for v in x:
        i = size
        heap[i] = v
        size += 1
        while i > 0 and heap[(i - 1) // 2] > heap[i]:
            heap[i], heap[(i - 1) // 2] = heap[(i - 1) // 2], heap[i]
            i = (i - 1) // 2
    total = 0.0
    for k in range(3):
        total += (k + 1) * heap[0] ** 2
        size -= 1
        heap[0] = heap[size]
        i = 0
        while 2 * i + 1 < size:
            child = 2 * i + 1
            if child + 1 < size and heap[child + 1] < heap[child]:
                child += 1
            if heap[i] <= heap[child]:
                break
            heap[i], heap[child] = heap[child], heap[i]
            i = child
    return total


@case(spread(5, 10), step=1e-3)
def insertion_sort(x):
    y = x.copy()
    for i in range(1, y.size):
        v = y[i]
        j = i - 1
        while j >= 0 and y[j] > v:
            y[j + 1] = y[j]
            j -= 1
        y[j + 1] = v
    total = 0.0
    for i in range(y.size):
        total += math.exp(y[i]) * i
    return total


@case(spread(6, 9), step=1e-3)
def median_of_quickselect(x):
    y = x.copy()
    low, high, k = 0, y.shape[0] - 1, y.shape[0] // 2
    while low < high:
        pivot = y[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while y[i] < pivot:
                i += 1
            while y[j] > pivot:
                j -= 1
            if i <= j:
                y[i], y[j] = y[j], y[i]
                i, j = i + 1, j - 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return y[k] ** 2


@case(spread(7, 9), step=1e-3)
def ordered_by_argsort(x):
    order = np.argsort(x)
    total = 0.0
    for rank in range(len(order)):
        total += (rank + 1) * x[order[rank]] ** 2
    return total


@case(draw(8, 6), np.array([0, 2, 1, 2, 0, 1, 1]), np.array([1, 5, 3, 4, 2, 0, 5]), 3)
def groups(values, group, item, n):
    """Sums and counts by an index array; a mean of each."""
    sums = np.zeros(n)
    counts = np.zeros(n, dtype=np.int64)
    for k in range(len(group)):
        sums[group[k]] += values[item[k]]
        counts[group[k]] += 1
    return sums / counts


@case(draw(9, 7), np.array([0, 2, 3, 3, 5]), np.array([1, 3, 0, 2, 3]), draw(10, 5), wrt=(0, 3))
def sparse_product(x, start, column, data):
    out = np.zeros(len(start) - 1)
    for i in range(out.shape[0]):
        for k in range(start[i], start[i + 1]):
            out[i] += data[k] * x[column[k]]
    return out


@case(np.array([0.5, 1.5]), np.array([5, 0, 3, 8]), wrt=0)
def by_dictionary(w, keys):
    """A typed dictionary of integers beside floats."""
    places = {0: 1, 3: 2, 5: 4}
    total = 0.0
    for k in keys:
        if k in places:
            total += w[0] * places[k] + w[1] ** places[k]
    return total


@numba.njit
def swap(x, i, j):
    x[i], x[j] = x[j], x[i]


@case(spread(11, 4), step=1e-3)
def permanent(x):
    """All permutations, by Heap's algorithm; the callee writes into its argument."""
    y = x.copy()
    n = y.shape[0]
    c = np.zeros(n, np.int64)
    total = y[0] * 2.0 + y[1] ** 2 + y[2] * y[3]
    i = 0
    while i < n:
        if c[i] < i:
            if i % 2 == 0:
                swap(y, 0, i)
            else:
                swap(y, c[i], i)
            total += (y[0] * 2.0 + y[1] ** 2 + y[2] * y[3]) ** 2
            c[i] += 1
            i = 0
        else:
            c[i] = 0
            i += 1
    return total
