"""What Numba keeps on disk of code that calls compiled functions, in another process."""

from __future__ import annotations

from pathlib import Path

from subprocesses import finish, start

MODEL = """
import numpy as np
import nbgrad as ng

FACTOR = {factor}

def f(x):
    return FACTOR * (x * x).sum()

c = ng.compile(f, np.ones(3))
"""
USER = """
from numba import njit
import model

c = model.c

@njit(cache=True)
def direct(x):
    return c.value_and_grad(x)

@njit
def inner(x):
    return c.grad(x)

@njit(cache=True)
def through(x):
    return inner(x)

@njit(cache=True)
def given(f, x):
    return f(x)
"""
RUN = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np
import user
x = np.array([1.0, 2.0, 3.0])
print(user.direct(x)[0], user.direct(x)[1][2], user.through(x)[1], user.given(user.c.hess, x)[0, 0])
for f in (user.direct, user.through, user.given):
    print(sum(f.stats.cache_hits.values()), sum(f.stats.cache_misses.values()))
"""


def test_another_process_finds_them_again(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL.format(factor=1.0))
    (tmp_path / "user.py").write_text(USER)
    run = RUN.format(folder=str(tmp_path))
    first = finish(start(run)).split("\n")
    assert first[0] == "14.0 6.0 4.0 2.0"
    assert first[1:4] == ["0 1"] * 3
    again = finish(start(run)).split("\n")
    assert again[0] == first[0]
    assert again[1:4] == ["1 0"] * 3
    # Another function in the same place: what was kept is not called, nor taken for it.
    (tmp_path / "model.py").write_text(MODEL.format(factor=10.0))
    other = finish(start(run)).split("\n")
    assert other[0] == "140.0 60.0 40.0 20.0"
    assert other[1:4] == ["0 1", "0 1", "1 0"]


LOST = """
import pickle
import nbgrad as ng
def f(x):
    return x, x
f.__module__, f.__qualname__ = "model", "f"
vector = ng.compile(f, np.ones(2))  # of that name, and without a gradient
from nbgrad.native.published import Anchor
try:
    pickle.loads(pickle.dumps(Anchor("nbgrad_grad_0", "model.f", "grad")))
except FileNotFoundError as error:
    print(error)
"""


def test_what_nobody_has_made_is_a_file_that_is_gone() -> None:
    assert "model.f.grad is not what it was" in finish(start(LOST))
