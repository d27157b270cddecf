"""Threads, forks, signals and a damaged cache, while functions turn hot and are compiled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from attacking import FULL, LIMIT, attack, trials

pytestmark = pytest.mark.timeout(LIMIT)
MODES = [0, 1] if FULL else [0]  # NBGRAD_DETERMINISTIC

PROGRAM = """
import threading

def loss(w, x):
    h = np.tanh(x @ w) * 0.5 + np.exp(-(x * x)).sum(axis=1, keepdims=True)
    return (h / (1.1 + h * h)).mean()

def exact(w, x, step=1e-6):
    out = np.zeros_like(w)
    for at in np.ndindex(w.shape):
        d = np.zeros_like(w)
        d[at] = step
        out[at] = (loss(w + d, x) - loss(w - d, x)) / (2 * step)
    return loss(w, x), out

def close(found, wanted):
    return all(np.allclose(np.asarray(f), w, rtol=1e-5, atol=1e-8) for f, w in zip(found, wanted))

def problem(seed, rows=6):
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=(3, 2)), rng.normal(size=(rows, 3))
    return w, x, exact(w, x)

def eagerly(w, x):
    t = ng.tensor(w, requires_grad=True)
    y = loss(t, x)
    y.backward()
    return y.item(), t.grad.numpy()

PROBLEMS = [problem(k, rows) for k, rows in enumerate((6, 7, 6, 30))]
compiled = ng.jit(ng.value_and_grad(loss))
"""

THREADS = """
wrong = []
def work(k):
    own = ng.jit(ng.value_and_grad(loss))
    for n in range(TRIALS):
        w, x, wanted = PROBLEMS[(n + k) % 4]
        f = (compiled, own, eagerly)[n % 3]
        if not close(f(w, x), wanted):
            wrong.append((k, n))
        if n % 20 == 0:
            own = ng.jit(ng.value_and_grad(loss))  # the last one is dropped here
threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print("survived" if not wrong else wrong)
"""

FORKS = """
import faulthandler, warnings
warnings.simplefilter("ignore")  # that there are threads
stop = threading.Event()
def work(k):
    n = 0
    while not stop.is_set():
        w, x, wanted = PROBLEMS[(n + k) % 4]
        f = (compiled, ng.jit(ng.value_and_grad(loss)), eagerly)[n % 3]
        f(w, x)
        n += 1
big = np.ones(200_000)
(ng.tensor(big) * 2 + 1).sum().item()  # starts the pool of threads
threads = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(2)]
for t in threads: t.start()
failed = 0
for n in range(TRIALS):
    if (child := os.fork()) == 0:
        faulthandler.dump_traceback_later(40, exit=True)
        good = True
        for w, x, wanted in PROBLEMS:
            own = ng.jit(ng.value_and_grad(lambda w, x: loss(w, x) * (n + 2.0)))
            value, gradient = own(w, x)
            good &= close((value / (n + 2.0), gradient / (n + 2.0)), wanted)
            good &= close(compiled(w, x), wanted) and close(eagerly(w, x), wanted)
        good &= (ng.tensor(big) * 2 + 1).sum().item() == 600_000
        os._exit(0 if good else 3)
    failed += os.waitpid(child, 0)[1] != 0
stop.set()
for t in threads: t.join()
print("survived" if not failed else f"{failed} children failed")
"""

SIGNALS = """
import random, signal
class Interrupted(BaseException): pass
def interrupt(*_):
    raise Interrupted
signal.signal(signal.SIGALRM, interrupt)
random.seed(0)
wrong = caught = 0
for n in range(TRIALS):
    w, x, wanted = PROBLEMS[n % 4]
    own = ng.jit(ng.value_and_grad(loss)) if n % 5 == 0 else compiled
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 3e-2))
        for _ in range(30):
            own(w, x), eagerly(w, x)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupted:
        caught += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    wrong += not (close(own(w, x), wanted) and close(eagerly(w, x), wanted))
print("survived" if not wrong and caught else f"{wrong} wrong, {caught} caught")
"""


@pytest.mark.parametrize("deterministic", MODES)
def test_threads(deterministic: int) -> None:
    text = PROGRAM + THREADS.replace("TRIALS", str(trials(40)))
    attack(text, NBGRAD_DETERMINISTIC=deterministic)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_forks() -> None:
    attack(PROGRAM + FORKS.replace("TRIALS", str(trials(60) // 20)), NBGRAD_DETERMINISTIC=0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no timer here")
@pytest.mark.parametrize("deterministic", MODES)
def test_signals(deterministic: int) -> None:
    text = PROGRAM + SIGNALS.replace("TRIALS", str(trials(40)))
    attack(text, NBGRAD_DETERMINISTIC=deterministic)


ONCE = """
w, x, wanted = PROBLEMS[0]
assert close(ng.jit(ng.value_and_grad(loss))(w, x), wanted)
with ng.configure(tier="block"):
    assert abs(np.tanh(ng.tensor(x) * 2.0).sum().item() - np.tanh(x * 2).sum()) < 1e-12
print("survived")
"""


def damaged(cache: Path, seed: int) -> None:
    """Spoil every file of the cache, each in another way."""
    files = [file for file in sorted(cache.rglob("*.o")) if file.is_file()]
    assert files
    other = files[0].read_bytes()
    for k, file in enumerate(files, seed):
        data, way = bytearray(file.read_bytes()), k % 9
        if way == 0:
            data[(k * 7919) % len(data)] ^= 1 << k % 8
        elif way == 1:
            data = data[: len(data) // 2]
        elif way == 2:
            data = bytearray(other)  # another kernel's
        elif way == 3:
            data = bytearray()
        elif way == 4:
            data = data * 2
        file.unlink()
        if way == 5:
            os.mkfifo(file)
        elif way == 6:
            file.mkdir()
        elif way == 7:
            file.symlink_to("/dev/zero")
        elif way == 8:
            pass  # gone
        else:
            file.write_bytes(data)


@pytest.mark.skipif(os.name != "posix", reason="special files are a POSIX matter")
def test_a_damaged_cache(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for seed in range(trials(100) // 100):
        attack(PROGRAM + ONCE, NBGRAD_CACHE_DIR=cache)
        damaged(cache, seed)
    attack(PROGRAM + ONCE, NBGRAD_CACHE_DIR=cache)
