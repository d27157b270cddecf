"""Compiled functions from several threads at once, from ``prange``, and in children."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numba import njit
from subprocesses import finish, start

import nbgrad as ng

MATRIX = np.linspace(-1, 1, 6000).reshape(2000, 3)


def large(x: Any) -> Any:
    """It needs more memory than there is on the stack."""
    return np.tanh(MATRIX @ x).sum()


def small(x: Any) -> Any:
    return (np.sin(x) ** 2).sum()


@pytest.mark.parametrize("f", [large, small])
def test_threads_do_not_meet(f: Any) -> None:
    c = ng.compile(f, np.ones(3))

    @njit(nogil=True)  # type: ignore[untyped-decorator]
    def many(xs: Any, out: Any) -> None:
        for k in range(len(xs)):
            c.grad(xs[k], out[k])

    xs = np.random.default_rng(0).uniform(-1, 1, (400, 3))
    expected = np.array([c.grad(x) for x in xs])
    many(xs[:1], np.zeros((1, 3)))

    def work(_: int) -> bool:
        out = np.zeros_like(xs)
        many(xs, out)
        return bool(np.array_equal(out, expected))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))
    # Called from Python as well: ctypes lets go of the lock.
    with ThreadPoolExecutor(8) as pool:
        np.testing.assert_array_equal(list(pool.map(c.grad, xs)), expected)


PRANGE = """
import numpy as np, nbgrad as ng
from numba import njit, prange

matrix = np.linspace(-1, 1, 6000).reshape(2000, 3)
def f(x):
    return np.tanh(matrix @ x).sum() + ng.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x[0]), (0, x[1]))[1]
c = ng.compile(f, np.ones(3))

@njit(parallel=True)  # type: ignore[untyped-decorator]
def many(xs, out):
    for k in prange(len(xs)):
        out[k] = c.grad(xs[k])

xs = np.random.default_rng(0).uniform(-1, 1, (300, 3))
out = np.zeros_like(xs)
many(xs, out)
assert np.array_equal(out, np.array([c.grad(x) for x in xs]))
print("well")
"""


def test_in_prange() -> None:
    assert finish(start(PRANGE)).strip() == "well"


FORK = """
import os, threading, numpy as np, nbgrad as ng

matrix = np.linspace(-1, 1, 6000).reshape(2000, 3)
c = ng.compile(lambda x: np.tanh(matrix @ x).sum(), np.ones(3))
x = np.ones(3)
expected = c.grad(x)
stop = False
def spin():
    while not stop:
        c.grad(x)
threads = [threading.Thread(target=spin) for _ in range(3)]
for t in threads: t.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        ok = all(np.array_equal(c.grad(x), expected) for _ in range(20))
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
stop = True
for t in threads: t.join()
print("well")
"""


# OpenBLAS has a lock that a child would find taken for ever, had the other thread just taken it.
IN_BLAS = """
import os, threading, time, numpy as np, nbgrad as ng
from nbgrad.machine import gate

matrix = np.ones((300, 300))
c = ng.compile(lambda x: (x @ matrix).sum(), matrix)
expected = c.value(matrix)
stop = False
def spin():
    while not stop:
        c.value(matrix)
thread = threading.Thread(target=spin)
thread.start()
for _ in range(5):
    while not gate.inside():
        time.sleep(0)
    child = os.fork()
    if child == 0:
        os._exit(0 if gate.inside() == 0 and c.value(matrix) == expected else 1)
    assert os.waitpid(child, 0)[1] == 0
stop = True
thread.join()
assert gate.inside() == 0
print("well")
"""


# Who holds the lock of the interpreter there must let it go, or the thread that forks never does.
WAITING = """
import threading, numpy as np, nbgrad as ng
from numba import njit
from nbgrad.machine import gate

matrix = np.ones((30, 30))
c = ng.compile(lambda x: (x @ matrix).sum(), matrix)
value = c.value
called = njit(lambda x: value(x))
for f in (c.value, ng.jit(lambda x: (x @ matrix).sum()), called):
    expected = f(matrix)
    forking = gate.Gate()
    forking.acquire()
    timer = threading.Timer(0.1, forking.release)
    timer.start()
    assert f(matrix) == expected
    timer.join()
print("well")
"""


def test_waiting_for_a_fork_stops_nobody_else() -> None:
    assert finish(start(WAITING)).strip() == "well"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("program", [FORK, IN_BLAS], ids=["anywhere", "in BLAS"])
def test_in_children(program: str) -> None:
    assert finish(start(program)).strip() == "well"
