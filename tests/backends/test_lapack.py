"""Programs that call LAPACK by pointer: what they find is what NumPy finds, to the sign of a vector."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from subprocesses import run

import nbgrad as ng

SHAPES = [(1, 1), (3, 3), (2, 4, 7), (2, 3, 5, 5), (40, 25), (25, 40), (90, 9), (9, 90)]
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "qr": np.linalg.qr,
    "svd": lambda a: np.linalg.svd(a, full_matrices=False),
    "svd full": np.linalg.svd,
    "svdvals": lambda a: np.linalg.svd(a, compute_uv=False),
    "eigh": lambda a: np.linalg.eigh(symmetric(a)),
    "eigvalsh": lambda a: np.linalg.eigvalsh(symmetric(a)),
    "inv": lambda a: np.linalg.inv(square(a)),
    "det": lambda a: np.linalg.det(square(a)),
    "slogdet": lambda a: np.linalg.slogdet(square(a)),
}


def square(a: Any) -> Any:
    n = min(a.shape[-2:])
    return a[..., :n, :n]


def symmetric(a: Any) -> Any:
    a = square(a)
    return a + np.swapaxes(a, -1, -2)


def layouts(a: np.ndarray) -> list[np.ndarray]:
    """The same elements in rows, in columns, backwards and with gaps."""
    columns = np.swapaxes(np.ascontiguousarray(np.swapaxes(a, -1, -2)), -1, -2)
    gaps = np.repeat(np.repeat(a, 2, -1), 3, -2)[..., ::3, ::2]
    backwards = np.ascontiguousarray(a[..., ::-1, ::-1])[..., ::-1, ::-1]
    return [a, columns, backwards, gaps]


def several(found: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_are_those_of_numpy(name: str, dtype: Any) -> None:
    function = FUNCTIONS[name]
    compiled = ng.jit(function)
    close = {"rtol": 1e-9, "atol": 1e-10} if dtype == np.float64 else {"rtol": 2e-3, "atol": 1e-3}
    for shape in SHAPES:
        a = np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype)
        for given in layouts(a):
            for found, expected in zip(
                several(compiled(given)), several(function(given)), strict=True
            ):
                assert found.dtype == expected.dtype and found.shape == expected.shape
                assert_allclose(found, expected, **close)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_call_of_numpy_is_left(name: str) -> None:
    for dtype in (np.float32, np.float64):
        tape = ng.make_tape(FUNCTIONS[name])(np.eye(3, dtype=dtype))
        assert tape.stats()["host_calls"] == 0


@pytest.mark.parametrize("name", ["qr", "svd", "svdvals", "inv", "det", "slogdet"])
def test_matrices_without_elements_are_as_in_numpy(name: str) -> None:
    for shape in ((0, 3, 3), (2, 0, 0), (3, 0), (0, 3)):
        if name in ("inv", "det", "slogdet") and shape[-1] != shape[-2]:
            continue
        a = np.zeros(shape)
        for found, expected in zip(
            several(ng.jit(FUNCTIONS[name])(a)), several(FUNCTIONS[name](a)), strict=True
        ):
            assert found.shape == expected.shape and (found == expected).all()


def test_failures_say_which_matrix() -> None:
    singular = np.stack([np.eye(2), np.zeros((2, 2)), np.eye(2)])
    with pytest.raises(np.linalg.LinAlgError, match=r"Singular matrix \(matrix \(1,\) of"):
        ng.jit(np.linalg.inv)(singular)
    unknown = np.stack([np.eye(2), np.eye(2), np.full((2, 2), np.nan)])
    for name in ("svd", "svd full", "svdvals"):
        with pytest.raises(np.linalg.LinAlgError, match=r"converge \(matrix \(2,\) of the batch"):
            ng.jit(FUNCTIONS[name])(unknown)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_determinants_at_the_edges(dtype: Any) -> None:
    edges = [
        np.zeros((2, 2)),
        np.array([[1.0, 2.0], [2.0, 4.0]]),
        np.array([[0.0, 1.0], [1.0, 0.0]]),
        np.diag([1e30, 1e30, 1e-30, 1e-30]),
        -np.eye(3),
        np.eye(4)[[1, 2, 3, 0]],
    ]
    for a in edges:
        a = a.astype(dtype)
        assert_allclose(np.asarray(ng.jit(np.linalg.det)(a)), np.linalg.det(a), rtol=1e-5)
        sign, log = ng.jit(np.linalg.slogdet)(a)
        expected = np.linalg.slogdet(a)
        assert np.asarray(sign) == expected[0]
        assert_allclose(np.asarray(log), expected[1], rtol=1e-5, atol=1e-5)


def test_steps_of_loops_factorize_without_numpy() -> None:
    """An eigenvalue iteration: each step was a call of Python's, 93 µs where it takes 1.4 now."""

    def step(a: Any, _: Any) -> tuple[Any, Any]:
        q, r = np.linalg.qr(a)
        s = np.linalg.svd(np.linalg.inv(r + np.eye(3)))[1]
        return r @ q, s[0] + np.linalg.slogdet(r)[1]

    a = symmetric(np.random.default_rng(0).normal(size=(3, 3)))
    tape = ng.make_tape(lambda a: ng.scan(step, a, None, length=60))(a)
    assert tape.stats()["host_calls"] == 0
    last, found = ng.jit(lambda a: ng.scan(step, a, None, length=60))(a)
    expected = []
    for _ in range(60):
        a, value = step(a, None)
        expected.append(value)
    assert_allclose(np.asarray(found), expected, rtol=1e-9)
    assert_allclose(np.asarray(last), a, rtol=1e-9, atol=1e-12)


AWAKE = '''
import os, time
import numpy as np, nbgrad as ng
def busy():
    """Nanoseconds that other threads ran."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        if int(task) != os.getpid():
            with open(f"/proc/self/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
    return total
rng = np.random.default_rng(0)
for n in (3, 8):
    a, b = rng.normal(size=(n, n)), rng.normal(size=(n, 3))
    a = a @ a.T + n * np.eye(n)
    def loss(a):
        return ng.linalg.solve(a, b).sum() + ng.linalg.slogdet(a)[1]
    def found(a):
        return (ng.linalg.qr(a)[1], ng.linalg.svd(a)[1], ng.linalg.eigh(a)[1], ng.linalg.inv(a),
            ng.linalg.cholesky(a), ng.linalg.solve(a.T, b))
    for f in (ng.jit(ng.value_and_grad(loss)), ng.jit(found)):
        f(a)
        time.sleep(0.3)  # threads that are idle go to sleep
        before = busy()
        for _ in range(500):
            f(a)
        print(busy() - before)
'''


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_small_matrices_wake_no_threads() -> None:
    """On a busy machine each thread of OpenBLAS's that is woken takes 10 ms to come: getrs woke them."""
    out = run(AWAKE, OPENBLAS_NUM_THREADS="2", NBGRAD_DETERMINISTIC="1")
    assert max(map(int, out.split())) < 100_000, out
