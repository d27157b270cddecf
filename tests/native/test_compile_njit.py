"""Functions of Numba's, differentiated by ``nbgrad.njit``, as functions for Numba again."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

import nbgrad as ng


@ng.njit
def chained(x: Any) -> Any:
    s = 0.0
    for i in range(x.size - 1):
        if x[i] > 0:
            s += x[i] * x[i + 1]
        else:
            s += np.sin(x[i])
    return s


@ng.njit
def other(x: Any) -> Any:
    s = 0.0
    for i in range(x.size):
        s += x[i] ** 3
    return s


@ng.njit
def positive(x: Any) -> Any:
    if x[0] < 0:
        raise ValueError("negative")
    return x[0] * x[1]


X = np.array([1.0, -2.0, 3.0])


def test_there_and_back() -> None:
    c = ng.compile(chained, X)
    d = ng.compile(other, X)

    @njit(nogil=True)  # type: ignore[untyped-decorator]
    def call(x: Any) -> Any:
        return c.value_and_grad(x), d.value_and_grad(x), c.hess(x)

    (value, g), (cube, h), hess = call(X)
    assert value == pytest.approx(-2 + np.sin(-2))
    np.testing.assert_allclose(g, [-2, 1 + np.cos(-2), 0])
    assert cube == 20.0
    np.testing.assert_allclose(h, 3 * X**2)
    np.testing.assert_allclose(hess, [[0, 1, 0], [1, np.sin(2), 0], [0, 0, 0]], atol=1e-12)
    # Functions alike in all but the code they call are told apart.
    assert c.grad.publish() != d.grad.publish()
    wrong: list[Any] = []

    def spin() -> None:
        for k in range(200):
            (_, slope), _, _ = call(X + k)
            wrong.extend([k] * (not np.array_equal(slope, c.grad(X + k))))

    threads = [threading.Thread(target=spin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_it_raises_is_an_error_here() -> None:
    c = ng.compile(positive, X)

    @njit  # type: ignore[untyped-decorator]
    def call(x: Any) -> Any:
        return c.grad(x)

    np.testing.assert_array_equal(call(X), [-2, 1, 0])
    with pytest.raises(RuntimeError, match="a step of the program failed"):
        call(-X)
    with pytest.raises((RuntimeError, ValueError)):
        c.grad(-X)


def test_a_library_runs_no_code_of_numbas(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"save_library: .* without Python"):
        ng.compile(other, X).save_library(tmp_path / "libother", ["grad"])
