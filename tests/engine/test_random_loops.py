"""Random Python loops against NumPy, folded at several places: values to the bit, derivatives by differences.

Odd steps, constants that change on the way, values that somebody holds, writes in place and casts among them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.engine import flushing

Step = Callable[[Any, Any, Any, int, Any], Any]


def in_place(a: Any, b: Any, c: Any, k: int, rows: Any) -> Any:
    t = a * 1.0
    t *= 0.9
    t += b * 0.1
    if t.shape:
        t[0] = t[0] * 0.5 + 0.1
    return t


def narrow(a: Any, b: Any, c: Any, k: int, rows: Any) -> Any:
    return a.astype(np.float32).astype(np.float64) * 0.9


STEPS: list[Step] = [
    lambda a, b, c, k, rows: a * 0.7 + b * 0.2,
    lambda a, b, c, k, rows: np.sin(a) * b,
    lambda a, b, c, k, rows: a * 0.5 + c,
    lambda a, b, c, k, rows: np.tanh(a + b) * 0.9,
    lambda a, b, c, k, rows: a * (0.01 * k),
    lambda a, b, c, k, rows: b * [0.3, -0.7, 0.5][k % 3],
    lambda a, b, c, k, rows: b * rows[k],
    lambda a, b, c, k, rows: np.where(a > b, a, b * 0.5),
    lambda a, b, c, k, rows: np.exp(-a * a) * 0.5 + b,
    lambda a, b, c, k, rows: a / (1.5 + b * b) - c,
    in_place,
    narrow,
]


class Program:
    """A loop over three values, told by its seed."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.count = int(rng.integers(60, 140))
        lines = rng.integers(0, len(STEPS), int(rng.integers(2, 7))).tolist()
        self.lines = [(STEPS[n], rng.permutation(3).tolist()) for n in lines]
        self.narrow = STEPS.index(narrow) in lines
        self.odd = set(rng.integers(0, self.count, int(rng.integers(0, 4))).tolist())
        self.change = int(rng.integers(0, 2 * self.count))  # from then on another constant
        self.held = int(rng.integers(13, 300))  # steps after which one is held each time
        shape = [(), (3,), (2, 2)][int(rng.integers(3))]
        self.start = rng.normal(size=(3, *shape)) * 0.5
        self.rows = rng.normal(size=(self.count, *shape))

    def run(self, x: Any) -> Any:
        v, held = [x[0] * 1.0, x[1] * 1.0, x[2] * 1.0], []
        for k in range(self.count):
            if k in self.odd:
                v[0] = v[0] * 0.5 + v[1]
                continue
            for step, (a, b, c) in self.lines:
                v[a] = step(v[a], v[b], v[c], k, self.rows) * (0.9 if k < self.change else 0.8)
            if k % self.held == self.held - 1:
                held.append(v[1])
        out = v[0] + v[1] * 0.5 + v[2] * 0.25
        for t in held:
            out = out + t * 0.1
        return out.sum()


@pytest.mark.parametrize("seed", range(int(os.environ.get("NBGRAD_RANDOM_LOOPS", "5"))))
def test_a_random_loop(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    program, found = Program(seed), []
    wanted = program.run(program.start)
    monkeypatch.setattr(flushing, "expect_recording", lambda recorded: None)
    for limit in (10**9, 64, 200):
        with ng.configure(tier="reference", max_pending=limit):
            x = ng.tensor(program.start, requires_grad=True)
            y = program.run(x)
            y.backward()
            found.append((y.item(), x.grad.numpy()))
    whole, *folded = found
    assert_allclose(whole[0], wanted, rtol=1e-6 if program.narrow else 1e-12)
    for value, gradient in folded:
        assert value == whole[0]
        assert_allclose(gradient, whole[1], rtol=1e-5 if program.narrow else 1e-9, atol=1e-12)
    if not program.narrow:
        d, e = np.random.default_rng(1).normal(size=program.start.shape), 1e-6
        slope = (program.run(program.start + e * d) - program.run(program.start - e * d)) / (2 * e)
        assert_allclose((whole[1] * d).sum(), slope, rtol=1e-5, atol=1e-7)
