"""What may crash or lie: ends in the middle, stale code, threads, forks, Ctrl-C, odd arguments.

Each group runs in a process of its own, which has to end well.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import subprocesses

HEAD = """
import math, gc, threading, signal, time
import numba, numpy as np
import nbgrad as ng

def raises(kind, f, *args, says=""):
    try:
        f(*args)
    except kind as error:
        assert says in str(error), str(error)
    else:
        raise AssertionError(f"no {kind.__name__}")

def close(a, b, rtol=1e-9):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=1e-12)
"""

ENDS = """
@numba.njit(boundscheck=True)
def writes(x, k):
    y = np.zeros(3)
    y[k] = x[0] * x[1]
    return y.sum()

kept = np.zeros(2)

@numba.njit
def stops(x, k):
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i] ** 2
        if i == k:
            raise ValueError("in the middle")
    return total

@numba.njit
def callee(x, k):
    if k > 1:
        raise ArithmeticError("below")
    return x * x

@numba.njit
def bounded(x, k):
    if k > 2:
        raise ArithmeticError("below, values of the same types", k)
    return x

@numba.njit
def nested(x, k):
    if k > 3:
        raise ArithmeticError("below, with a value", k)
    return callee(x[0], k) + bounded(x[1], k)

x = np.array([0.5, 2.0])
for f, k, kind, says, slope in (
    (writes, 7, IndexError, "", [2.0, 0.5]),
    (stops, 1, ValueError, "in the middle", [1.0, 4.0]),
    (nested, 2, ArithmeticError, "below", [1.0, 1.0]),
):
    g = ng.njit(f)
    good = {"writes": 1, "stops": 5, "nested": 1}[f.__name__]
    calls = {
        "value": lambda x, k: g(x, k),
        "grad": lambda x, k: ng.grad(g)(x, k),
        "jvp": lambda x, k: ng.jvp(lambda x: g(x, k), (x,), (x,)),
        "hessian": lambda x, k: ng.hessian(g)(x, k),
    }
    for name, call in calls.items():
        for _ in range(3):
            raises(kind, call, x, k, says=says)
        call(x, good)
    raises(kind, ng.jit(ng.grad(g), static_argnums=1), x, k, says=says)
    t = ng.tensor(x, requires_grad=True)
    raises(kind, lambda: g(t, k).sum().backward(), says=says)
    assert t.grad is None
    close(ng.grad(g)(x, good), slope)
print("ended well")
"""

ODD = """
@ng.njit
def f(a, b):
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] ** 2 * b[i]
    return total

x = np.arange(6.0) + 1.0
wide = np.arange(24.0).reshape(4, 6)
frozen = x.copy()
frozen.setflags(write=False)
for a, b in (
    (x, x), (x[::-1], x), (x[::2], x[1::2]), (wide[:, 1], wide[:, 0]), (frozen, frozen), (wide.T[2], x[:4]),
    (x[:0], x[:0]), (np.broadcast_to(2.0, 6), x), (x.astype(">f8"), x), (np.asfortranarray(wide)[1], x),
    (np.lib.stride_tricks.as_strided(np.zeros(49, np.uint8)[1:].view(np.float64) + x, (6,), (8,)), x),
):
    a, b = np.asarray(a), np.asarray(b)
    before = a.copy(), b.copy()
    da, db = ng.grad(f, argnums=(0, 1))(a, b)
    close(da, 2 * a * b)
    close(db, a * a)
    close(a, before[0])
    close(b, before[1])
    close(ng.jvp(f, (a, b), (np.ones(a.shape), np.zeros(b.shape)))[1], (2 * a * b).sum())

@ng.njit
def empty(a):
    return a * 2.0, a.sum(), np.zeros((a.shape[0], 0))

y, back = ng.vjp(lambda a: empty(a)[0], np.zeros(0))
assert back(np.zeros(0))[0].shape == (0,)
y, back = ng.vjp(lambda a: empty(a)[:2], np.zeros((0, 3)))
assert back((np.zeros((0, 3)), 1.0))[0].shape == (0, 3)

for value in (np.nan, np.inf, -np.inf):
    bad = np.array([1.0, value, 2.0])
    da, db = ng.grad(f, argnums=(0, 1))(bad, bad)
    np.testing.assert_array_equal(np.isnan(da), np.isnan(2 * bad * bad))

@ng.njit
def writes(a, v):
    a[0] = v * v
    return a.sum()

a = np.ones(3)
for call in (lambda: ng.grad(writes, argnums=1)(a, 2.0), lambda: ng.grad(writes, argnums=0)(a, 2.0)):
    try:
        call()
    except Exception as error:
        assert "writ" in str(error) or "readonly" in str(error), repr(error)
        close(a, np.ones(3))
    else:
        raise AssertionError("a write into an argument is not told")

@ng.njit
def same(a):
    return a
close(ng.grad(lambda a: (same(a) ** 2).sum())(x), 2 * x)

@ng.njit
def passed(a, k):
    return a[k:], k, a[0]
close(ng.grad(lambda a: passed(a, 2)[0].sum() + 3 * passed(a, 2)[2])(x), [3, 0, 1, 1, 1, 1])

@ng.njit
def escapes(x):
    with numba.objmode(y="float64"):
        y = x * x
    return y * x
raises(TypeError, ng.grad(escapes), 2.0, says="objmode")

@ng.njit
def shows(x):
    print(x)
    return x * x
close(ng.grad(shows)(2.0), 4.0)

raises((TypeError, ValueError, numba.TypingError), f, "text", x)
raises((TypeError, ValueError, numba.TypingError), f, x, None)
raises(TypeError, f, x)
raises(TypeError, f, x, x, x)
raises((TypeError, ValueError), ng.njit, 3)
raises((TypeError, ValueError, numba.TypingError), f, np.array(["a"]), x)
print("ended well")
"""

STALE = '''
import importlib.util, os, pathlib, sys

folder = pathlib.Path(os.environ["FOLDER"])
sys.dont_write_bytecode = True  # Python's own goes by the time of the file

def module(name, text):
    """Written again under its name, at the same time: only the text differs."""
    stamp = 10**9 if "cache" not in text else None  # Numba's own files go by the time, too
    path = folder / f"{name}.py"
    path.write_text("import numba, math\\nimport numpy as np\\n" + text)
    if stamp:
        os.utime(path, (stamp, stamp))
    spec = importlib.util.spec_from_file_location(name, path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made

def slope(f, at=2.0):
    forward = float(ng.jvp(f, (at,), (1.0,))[1])
    back = float(ng.grad(f)(at))
    close(forward, back)
    return back

BODY = "{decorator}\\ndef f(x):\\n    return {c} * x * x\\n"
for decorator in ("@numba.njit", "@numba.njit(cache=True)"):
    for c in (2, 3, 2, 5):
        close(slope(ng.njit(module("again", BODY.format(decorator=decorator, c=c)).f)), 4 * c)
for c in (2.5, 7.5):
    close(slope(ng.njit(module("again", BODY.format(decorator="", c=c)).f)), 4 * c)

def captures(c):
    @numba.njit
    def f(x):
        return c * x * x
    return f

for c in (2.0, 3.0, 2, 3, 7.0):
    close(slope(ng.njit(captures(c))), 4 * c)
    close(slope(ng.njit(captures(c).py_func)), 4 * c)

def captures_an_array(v):
    @numba.njit
    def f(x):
        return v[0] * x * x + v[1] * x
    return f

for v in (np.array([1.0, 2.0]), np.array([1.0, 5.0]), np.array([4.0, 5.0]), np.array([1, 2])):
    close(slope(ng.njit(captures_an_array(v))), 4 * v[0] + v[1])

def captures_a_function(g):
    @numba.njit
    def f(x):
        return g(x) * x
    return f

for power in (2, 3, 4):
    inner = numba.njit(eval(f"lambda x: x ** {power}"))
    close(slope(ng.njit(captures_a_function(inner))), (power + 1) * 2.0**power)

# A callee that is defined again.
names = {}
exec("import numba\\n@numba.njit\\ndef callee(x):\\n    return x * x\\ndef f(x):\\n    return callee(x) * x\\n", names)
f = ng.njit(names["f"])
close(slope(f), 12.0)
exec("@numba.njit\\ndef callee(x):\\n    return x * x * x\\ndef f(x):\\n    return callee(x) * x\\n", names)
close(slope(ng.njit(names["f"])), 32.0)
value = float(f(2.0))
close(slope(f), {8.0: 12.0, 16.0: 32.0}[value])

# Default values, dtypes and options are no part of the text either.
def default(x, c=2.0):
    return c * x
close(slope(ng.njit(default)), 2.0)
default.__defaults__ = (3.0,)
close(slope(ng.njit(default)), 3.0)
for dtype in (np.float32, np.float64):
    close(ng.grad(ng.njit(lambda x: x[0] * x[0]))(np.ones(2, dtype)), [2, 0])
for k in (1, True, 3, 2.0):
    close(slope(lambda x, f=ng.njit(lambda x, k: x**3 * k): f(x, k)), 12.0 * k)
print("ended well")
'''

THREADS = """
def body(x, n):
    y = x.copy()
    for k in range(n):
        for i in range(y.shape[0]):
            y[i] = math.sin(y[i]) + 0.1 * y[i - 1] * x[i]
    return y.sum()

f = ng.njit(body)
x = [np.random.default_rng(k).normal(size=5 + k) for k in range(8)]
want = [np.asarray(ng.grad(ng.njit(body))(v, 40)) for v in x]
wrong = []

def work(k):
    for n in range(25):
        j = (k + n) % 8
        own = f if n or k % 4 else ng.njit(body)
        found = np.asarray(ng.grad(own)(x[j], 40))
        if not np.allclose(found, want[j], rtol=1e-12):
            wrong.append((k, n))

workers = [threading.Thread(target=work, args=(k,)) for k in range(8)]
for w in workers: w.start()
for w in workers: w.join()
assert not wrong, wrong

fresh = ng.njit(lambda x: x[0] ** 3 + x[-1])  # compiled by eight at once
def first(k):
    if not np.allclose(ng.grad(fresh)(x[k])[[0, -1]], [3 * x[k][0] ** 2, 1.0]):
        wrong.append(k)
workers = [threading.Thread(target=first, args=(k,)) for k in range(8)]
for w in workers: w.start()
for w in workers: w.join()
assert not wrong, wrong

@ng.njit
def ends(x):
    y = x[0]
    for k in range(2000):
        y = math.sin(y) + 0.1 * y
    if x[0] > 0:
        raise ValueError("above")
    if x[0] < 0:
        raise KeyError("below")
    return y

ng.grad(ends)(np.zeros(1))
def raised(k):
    kind, says = (ValueError, "above") if k % 2 else (KeyError, "below")
    for _ in range(300):
        try:
            ng.grad(ends)(np.array([k % 2 - 0.5]))
        except Exception as error:
            if type(error) is not kind or says not in str(error):
                wrong.append(repr(error))
workers = [threading.Thread(target=raised, args=(k,)) for k in range(8)]
for w in workers: w.start()
for w in workers: w.join()
assert not wrong, wrong

import os, warnings
warnings.simplefilter("ignore")
for fresh_one in (False, True):
    child = os.fork()
    if not child:
        g = ng.njit(lambda x, n: x[0] ** 4 * n) if fresh_one else f
        found = np.asarray(ng.grad(g)(x[0], 40))
        ok = np.allclose(found, [160 * x[0][0] ** 3, 0, 0, 0, 0] if fresh_one else want[0])
        os._exit(0 if ok else 3)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
assert np.allclose(ng.grad(f)(x[0], 40), want[0])
print("ended well")
"""

CTRL_C = """
import _thread

@ng.njit
def long(x, n):
    y = x
    for k in range(n):
        y = math.sin(y) + 0.1 * y
    return y

ng.grad(long)(0.5, 10), ng.jvp(lambda x: long(x, 10), (0.5,), (1.0,)), long(0.5, 10)
stopped = 0
for call in (lambda: ng.jvp(lambda x: long(x, 2 * 10**7), (0.5,), (1.0,)), lambda: ng.grad(long)(0.5, 2 * 10**7)):
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    began = time.perf_counter()
    timer.start()
    try:
        call()
    except KeyboardInterrupt:
        stopped += 1
    except MemoryError:
        stopped += 1
    timer.cancel()
    print(time.perf_counter() - began, file=sys.stderr)
close(ng.grad(long)(0.5, 1), math.cos(0.5) + 0.1)
print("ended well", stopped)
"""

TEXTS = {"ends": ENDS, "odd": ODD, "stale": STALE, "threads": THREADS}


@pytest.mark.parametrize("name", TEXTS)
def test_survives(name: str, tmp_path: Path) -> None:
    said = subprocesses.run(HEAD + textwrap.dedent(TEXTS[name]), FOLDER=tmp_path)
    assert said.endswith("ended well\n")


def test_ctrl_c_ends_it() -> None:
    assert subprocesses.run(HEAD + CTRL_C) == "ended well 2\n"
