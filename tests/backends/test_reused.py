"""Memory of large results that is handed out again: only once nobody holds it, and only in a loop."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import nbgrad as ng
from nbgrad.backends.cpu import reused
from nbgrad.backends.cpu.reused import Results

N = 5000
F8 = np.dtype(np.float64)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(reused, "LARGE", 8 * 1000)
    monkeypatch.setattr(reused, "KEEP", 8 * N * 3)
    reused._last.clear()


def addresses(results, calls):
    """Where the results of so many calls lie, each dropped before the next."""
    found = []
    for _ in range(calls):
        (x,) = results.make()
        found.append(x.__array_interface__["data"][0])
        del x
    return found


def test_memory_that_is_dropped_again_and_again_is_kept():
    results = Results([((N,), F8)])
    addresses(results, 2)
    assert not results.kept
    found = addresses(results, 4)
    assert len(set(found[1:])) == 1 and len(results.kept[8 * N]) == 1


@pytest.mark.parametrize(
    "hold",
    [
        lambda x: x,
        lambda x: x[::7],
        lambda x: x.reshape(50, -1)[3:],
        lambda x: memoryview(x),
        lambda x: np.frombuffer(x),
        lambda x: x.view(np.int64),
        lambda x: np.asarray(memoryview(x))[2:],
    ],
    ids=["itself", "slice", "shape", "memoryview", "frombuffer", "dtype", "buffer of a buffer"],
)
def test_what_somebody_holds_is_never_written(hold):
    results = Results([((N,), F8)])
    held, numbers = [], []
    for k in range(9):
        (x,) = results.make()
        x[:] = k
        if k % 2:
            held.append(hold(x))
            numbers.append(k)
        del x
    gc.collect()
    assert results.kept
    for view, k in zip(held, numbers, strict=True):
        found = np.asarray(view)
        assert np.all(found.view(F8) == k)


def test_no_more_is_kept_than_fits_and_of_one_program():
    results = Results([((N,), F8)] * 5)
    for _ in range(5):
        results.make()
    assert len(results.kept[8 * N]) == 3
    other = Results([((2 * N,), F8)])
    addresses(other, 4)
    assert other.kept and not results.kept


def test_compiled_functions_and_tensors():
    x = np.arange(float(N))
    f = ng.jit(lambda x, k: (x * k, ng.numpy.sin(x) + k))
    held = []
    for k in range(12):
        a, b = f(x, float(k))
        assert a.flags.writeable and a.flags.c_contiguous
        if k % 3 == 0:
            held.append((k, a, b[1:]))
    for k, a, b in held:
        assert np.array_equal(a, x * k)
        np.testing.assert_allclose(b, np.sin(x)[1:] + k, rtol=1e-14)
    w = ng.tensor(x, requires_grad=True)
    grads = []
    for k in range(8):
        (w * w * float(k)).sum().backward()
        grads.append(w.grad.numpy())
        w.grad = None
    for k, g in enumerate(grads):
        assert np.array_equal(g, 2 * k * x)


def test_threads_get_memory_of_their_own():
    f, x = ng.jit(lambda x, k: x * k), np.arange(float(N))
    wrong = []

    def run(first):
        last = None
        for k in range(first, first + 40):
            y = f(x, float(k))
            if last is not None and not np.array_equal(last, x * (k - 1)):
                wrong.append(k)
            last = y

    threads = [threading.Thread(target=run, args=(100 * n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
