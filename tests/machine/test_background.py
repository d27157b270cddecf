"""Compiling in processes of our own, while the program goes on: nobody waits, nothing is lost."""

from __future__ import annotations

import os

import pytest
from subprocesses import run

from nbgrad.machine import bounds

BEGIN = """
import time
import nbgrad as ng
from nbgrad.machine import background
from nbgrad.engine.programs import programs

def step(x):
    for _ in range(5):
        x = np.sin(x) * 0.9 + 0.1
    return x.sum()

expected = ng.grad(step)(np.linspace(0, 1, 10))
leaf = ng.tensor(np.linspace(0, 1, 10), requires_grad=True)

def backward():
    leaf.grad = None
    step(leaf).backward()
    np.testing.assert_allclose(leaf.grad.detach().numpy(), expected, rtol=1e-12)

def swapped():
    entries = [slot.entry for slot in list(programs.slots.values())]
    return any(getattr(e, "exe", e).compiled is not None for e in entries)

def until(done, seconds=100):
    stop = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < stop, "it never came"
        backward()

def working():
    return bool(background._pool.workers)
"""


def ask(text: str, tmp_path: object) -> list[str]:
    return run(BEGIN + text, NBGRAD_DETERMINISTIC=0, NBGRAD_CACHE_DIR=tmp_path).split()


def test_a_hot_structure_is_compiled_elsewhere_and_swapped_in(tmp_path):
    text = """
until(working)
assert not swapped()
until(swapped)
backward()
print("nbgrad.machine.object_code" in sys.modules)
"""
    # The build that tests each load compiles the machine code for recording in this process.
    assert ask(text, tmp_path) == [str(bounds.ON)]


def test_deterministic_waits_instead(tmp_path):
    text = """
ng.configure(deterministic=True)
for _ in range(2000):
    backward()
print(swapped(), "nbgrad.machine.object_code" in sys.modules, working())
"""
    assert ask(text, tmp_path) == ["True", "True", "False"]


def test_a_process_that_dies_takes_nothing_along(tmp_path):
    text = """
until(working)
process = background._pool.workers[0].process
process.kill()
process.wait()
for _ in range(3000):
    backward()
print(swapped())
"""
    ask(text, tmp_path)


def test_a_forked_child_asks_for_itself(tmp_path):
    text = """
until(working)
child = os.fork()
if child == 0:
    try:
        assert not working()
        until(swapped)
        backward()
    except BaseException:
        os._exit(1)
    background._pool.close()
    os._exit(0)
until(swapped)
print(os.waitpid(child, 0)[1])
"""
    assert ask(text, tmp_path) == ["0"]


def test_a_program_that_ends_while_code_is_compiled_ends_at_once(tmp_path):
    text = """
until(working)
print(background._pool.workers[0].process.pid)
"""
    (pid,) = ask(text, tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_threads_share_one_pool(tmp_path):
    text = """
import threading
errors = []

def work():
    try:
        x = ng.tensor(np.linspace(0, 1, 10), requires_grad=True)
        stop = time.monotonic() + 100
        while not swapped() and time.monotonic() < stop:
            (g,) = ng.autograd.grad(step(x), x)
            np.testing.assert_allclose(g.numpy(), expected, rtol=1e-12)
    except BaseException as error:
        errors.append(error)

threads = [threading.Thread(target=work) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(errors, swapped())
"""
    assert ask(text, tmp_path) == ["[]", "True"]


def test_a_jit_function_becomes_machine_code_in_the_background(tmp_path):
    text = """
f = ng.jit(ng.grad(step))
x = np.linspace(0, 1, 10)
stop = time.monotonic() + 100
entry = None
while entry is None and time.monotonic() < stop:
    np.testing.assert_allclose(f(x), expected, rtol=1e-12)
    entry = f.quick[2]
np.testing.assert_allclose(f(x), expected, rtol=1e-12)
print(entry is not None)
"""
    assert ask(text, tmp_path) == ["True"]


def test_the_first_call_of_jit_waits_for_no_compiler(tmp_path):
    """Unless NumPy would take a good part of what compiling takes."""
    text = """
from nbgrad.engine import tiers
x = np.linspace(0, 1, 10)
f = ng.jit(ng.grad(step))
np.testing.assert_allclose(f(x), expected, rtol=1e-12)
print("nbgrad.machine.object_code" in sys.modules, working())
tiers.QUICK, waited, make = 0.0, [], tiers.Executable.compile
tiers.Executable.compile = lambda self: waited.append(self) or make(self)
g = ng.jit(lambda x: np.cos(x) * np.exp(x) + np.tanh(x) - np.sin(x * x))
np.testing.assert_allclose(g(x), np.cos(x) * np.exp(x) + np.tanh(x) - np.sin(x * x), rtol=1e-12)
print(bool(waited))
"""
    assert ask(text, tmp_path) == [str(bounds.ON), "True", "True"]


def test_runs_are_serial_while_numba_is_imported_for_its_threads(tmp_path):
    text = """
from nbgrad.machine import threads
x = np.linspace(0, 1, 1_000_000)
f = ng.jit(lambda x: np.sin(x) * x)  # which may import Numba itself
with threads.pool() as (first, count):
    pass
importer = threads._state.importer
if importer is not None:
    assert (first, count) == (0, 1) and importer.name != "MainThread"
    importer.join()
with threads.pool() as (address, count):
    print(address != 0, count, np.array_equal(f(x), f(x)))
"""
    assert ask(text, tmp_path) == ["True", "2", "True"]


SOON = """
from nbgrad.machine.compile import compile_kernel
import numpy as np

def kernel(n):
    name = f"times_{n}"
    text = f"def {name}(lo, hi, x):\\n    for i in range(lo, hi):\\n        x[i] *= {n}.0"
    return compile_kernel(text, name, ("f8*",))

def right(n):
    x = np.ones(3)
    kernel(n)(0, 3, np.array([x.ctypes.data]))
    return x.tolist() == [n] * 3

late = background.Wish(lambda: [kernel(n) for n in range(2, 100)])
late.get()
"""


def test_who_waits_is_served_by_the_process_that_compiles_and_first(tmp_path):
    text = """
background.PATIENCE_SECONDS = 60.0  # on a busy machine, too
until(background.loaded)
made = background.soon(lambda: (kernel(999), kernel(3)))
print(len(made), late.get() is None, right(999), right(3), "nbgrad.machine.object_code" in sys.modules)
"""
    assert ask(SOON + text, tmp_path) == ["2", "True", "True", "True", str(bounds.ON)]


def test_who_waits_for_a_process_that_dies_compiles_for_himself(tmp_path):
    text = """
until(background.loaded)
for worker in background._pool.workers:
    worker.process.kill()
    worker.process.wait()
background.limit = lambda: 0
print(background.soon(lambda: kernel(9)) is not None, right(9))
"""
    assert ask(SOON + text, tmp_path) == ["True", "True"]


def test_nobody_waits_for_a_process_to_start(tmp_path):
    text = """
print(background.soon(lambda: kernel(9)) is not None, right(9), working())
"""
    text = SOON.replace("late.get()", "") + text
    assert ask(text, tmp_path) == ["True", "True", "False"]


def test_nobody_waits_for_ever_for_a_process_that_stands_still(tmp_path):
    text = """
import signal
background.PATIENCE_SECONDS = 0.1
until(background.loaded)
for worker in background._pool.workers:
    worker.process.send_signal(signal.SIGSTOP)
print(background.soon(lambda: kernel(9)) is not None, right(9), working())
"""
    assert ask(SOON + text, tmp_path) == ["True", "True", "True"]
