"""One jitted function called with odd arguments, at random, against NumPy on the same memory."""

from __future__ import annotations

import pytest
from attacking import LIMIT, attack, trials

pytestmark = pytest.mark.timeout(LIMIT)
PARTS = 2

SCRIPT = """
import pathlib, tempfile
from odd import *
np.seterr(all="ignore")
rng = np.random.default_rng(PART)
SHAPES = [(), (1,), (3,), (5,), (2, 3), (3, 2), (4, 1, 2), (0,), (2, 0)]
DTYPES = ["f8"] * 4 + ["f4", "f4", "f2", "i8", "i4", "i2", "u1", "?", "c16", "c8", "q"]
NUMBERS = [1.5, -0.0, 1e308, Float(0.1), Double(2.5), np.float64(0.1), np.float32(0.1), 1 + 2j,
           np.int16(3), np.bool_(True), np.array(0.1), np.array(3), np.array(0.1, "f4"), 2, True,
           Integer(3)]

def one(folder):
    kinds = forms(folder)
    if rng.random() < 0.25:
        return NUMBERS[rng.integers(len(NUMBERS))]
    shape, dtype = SHAPES[rng.integers(len(SHAPES))], np.dtype(DTYPES[rng.integers(len(DTYPES))])
    a = np.asarray(rng.normal(size=shape) * 2).astype(dtype)
    return list(kinds.values())[rng.integers(len(kinds))](a)

def value(x):
    if isinstance(x, ng.Tensor):
        return x.numpy()
    return np.asarray(x) if isinstance(x, np.ndarray) else x

def f(p, q):
    x, y = p["x"], q[0]
    return x * y + x, np.where(x == y, x, y), np.sqrt(abs(x)) * y

def outcome(call):
    try:
        return call()
    except (TypeError, ValueError, OverflowError) as error:
        return error

def compare(found, wanted):
    if isinstance(wanted, Exception):
        return isinstance(found, Exception) or "nbgrad computed what NumPy refused"
    if isinstance(found, Exception):
        return f"{type(found).__name__}: {found}"
    for r, w in zip(found, wanted):
        r, w = np.asarray(r.numpy() if isinstance(r, ng.Tensor) else r), np.asarray(w)
        eps = 8 * np.finfo(w.dtype).eps if w.dtype.kind in "fc" else 0
        scale = np.abs(w).max(initial=0, where=np.isfinite(w)) if w.size else 0
        if r.shape != w.shape or r.dtype != w.dtype:
            return f"{r.dtype}{r.shape}, not {w.dtype}{w.shape}"
        if not np.allclose(r, w, rtol=eps, atol=eps * float(scale), equal_nan=True):
            return f"{r}, not {w}"
    return True

wrong = 0
with tempfile.TemporaryDirectory() as name:
    compiled = ng.jit(f)
    hot = {"x": np.arange(3.0)}, [np.arange(3.0)]
    for k in range(TRIALS):
        if k % 50 == 0:
            for _ in range(60):
                compiled(*hot)
        x, y = one(pathlib.Path(name)), one(pathlib.Path(name))
        if not any(isinstance(v, (np.ndarray, np.generic, ng.Tensor, float, complex)) for v in (x, y)):
            continue
        if any(isinstance(v, Float) for v in (x, y)):
            y = np.arange(3.0) if isinstance(x, Float) else y
        wanted = outcome(lambda: f({"x": value(x)}, [value(y)]))
        for _ in range(1 if k % 7 else 55):
            found = outcome(lambda: compiled({"x": x}, [y]))
        said = compare(found, wanted)
        if said is not True:
            wrong += 1
            print(type(x), getattr(x, "dtype", x), np.shape(value(x)), type(y), getattr(y, "dtype", y),
                  np.shape(value(y)), said)
print("survived" if not wrong else f"{wrong} wrong")
"""


@pytest.mark.parametrize("part", range(PARTS))
def test_odd_arguments_at_random(part: int) -> None:
    count = trials(80) // PARTS
    attack(SCRIPT.replace("PART", str(part)).replace("TRIALS", str(count)))
