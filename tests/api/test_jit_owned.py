"""Results in the caller's memory: ``jit(f).into`` and donated arguments."""

from __future__ import annotations

import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import nbgrad as ng

N = 200_000
X = np.linspace(-1.0, 1.0, N)
SMALL = np.array([0.5, 1.5, 2.5])


def f(x: Any, y: Any) -> Any:
    return np.sin(x) * y, {"total": (x @ y)}


def traced_bytes(run: Any) -> int:
    """The most that Python and NumPy hold during a run beyond what they held before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("tier", ["auto", "reference", "block", "fused"])
def test_results_are_those_of_a_call_on_every_tier(tier: str) -> None:
    with ng.configure(tier=tier):
        g = ng.jit(f)
        wanted = g(X, X)
        out = (np.empty(N), {"total": np.empty(())})
        for _ in range(3):
            assert g.into(X, X, out=out) is out
        assert_array_equal(out[0], wanted[0])
        assert_array_equal(out[1]["total"], wanted[1]["total"])


def test_nothing_is_allocated() -> None:
    with ng.configure(deterministic=True):
        g = ng.jit(f)
        out = (np.empty(N), {"total": np.empty(())})
        g.into(X, X, out=out)
        assert traced_bytes(lambda: [g.into(X, X, out=out) for _ in range(20)]) < 20_000
        assert traced_bytes(lambda: g(X, X)) >= X.nbytes


CASES: dict[str, Any] = {
    "an argument": lambda x: x,
    "the same twice": lambda x: (x * 2, x * 2),
    "one result twice": lambda x: [x + 1] * 2,
    "a constant": lambda x: (3.0, x * 2, np.arange(3)),
    "a view": lambda x: x[::-1],
    "integers": lambda x: (x > 1, np.argmax(x)),
    "complex": lambda x: np.exp(1j * x),
    "nothing": lambda x: (),
    "library": lambda x: np.linalg.solve(np.eye(3) * x, x),
    "by NumPy": lambda x: np.linalg.svd(np.outer(x, x))[1],
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_result_can_be_written(name: str) -> None:
    g = ng.jit(CASES[name])
    wanted = g(SMALL)
    listed = wanted if isinstance(wanted, (tuple, list)) else [wanted]
    outs = [np.empty_like(y) for y in map(np.asarray, listed)]
    given: Any = type(wanted)(outs) if isinstance(wanted, (tuple, list)) else outs[0]
    for _ in range(2):
        g.into(SMALL, out=given)
        for y, out in zip(listed, outs, strict=True):
            assert_array_equal(out, y)


def test_numbers_settings_and_tensors_are_arguments_as_ever() -> None:
    g = ng.jit(lambda x, rate, n: x * rate + n, static_argnums=2)
    out = np.empty(3)
    for given in (SMALL, SMALL[::-1], ng.tensor(SMALL), SMALL.astype(">f8")):
        g.into(given, 0.5, 2, out=out)
        assert_array_equal(out, np.asarray(given) * 0.5 + 2)
    x = ng.tensor(SMALL, requires_grad=True)
    with pytest.raises(TypeError, match="the results require grad"):
        g.into(x, 0.5, 2, out=out)
    with ng.no_grad():
        assert_array_equal(g.into(x, 0.5, 2, out=out), SMALL * 0.5 + 2)
    gradient = ng.jit(ng.grad(lambda x: (x**3).sum()))
    assert_array_equal(gradient.into(SMALL, out=out), gradient(SMALL))


def test_arrays_that_do_not_fit_are_refused_and_nothing_is_written() -> None:
    g = ng.jit(lambda x: (x * 2, x.sum()))
    y, s = np.full(3, 7.0), np.full((), 7.0)
    row = np.zeros((3, 2))[:, 0]
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    refused: list[tuple[Any, Any, str]] = [
        ((y, np.empty(1)), ValueError, r"result 1 in out has shape \(1,\)"),
        ((y, np.empty((), np.float32)), TypeError, "result 1 in out is of dtype float32"),
        ((y, np.empty((), ">f8")), TypeError, "dtype >f8"),
        ((y, 3.0), TypeError, "must be a NumPy array"),
        ((y, ng.tensor(0.0)), TypeError, "not Tensor"),
        ((row, s), ValueError, "C-contiguous"),
        ((frozen, s), ValueError, "read-only"),
        ([y, s], TypeError, "nested as the results are"),
        (y, TypeError, "nested as the results are"),
        ((y, s, s), TypeError, r"\(float64\[3\], float64\[\]\)"),
    ]
    for out, error, message in refused:
        with pytest.raises(error, match=message):
            g.into(SMALL, out=out)
    assert_array_equal(y, 7.0)
    with pytest.raises(TypeError, match="out"):
        g.into(SMALL)  # type: ignore[call-arg]


def test_memory_that_is_read_is_refused() -> None:
    held = np.arange(12.0)
    weights = held[6:9]
    g = ng.jit(lambda x: x * weights)
    for out in (held[:3], held[2:5]):
        with pytest.raises(ValueError, match="shares memory"):
            g.into(held[:3], out=out)
    assert_array_equal(held, np.arange(12.0))
    assert_array_equal(g.into(held[:3], out=held[3:6]), held[:3] * weights)
    # What is read from outside was copied when it was traced, and is looked at at each call.
    for _ in range(3):
        wanted = held[:3] * weights
        assert_array_equal(g.into(held[:3], out=weights), wanted)
    both = ng.jit(lambda x: (x, x * 2))
    with pytest.raises(ValueError, match="another result"):
        both.into(SMALL, out=(held[:3], held[2:5]))


def test_inside_a_traced_function_there_is_no_memory() -> None:
    g = ng.jit(lambda x: x * 2)
    with pytest.raises(TypeError, match="there is none"):
        ng.jit(lambda x: g.into(x, out=np.empty(3)))(SMALL)


def test_while_anomalies_are_detected_results_are_written_all_the_same() -> None:
    g, out = ng.jit(lambda x: x * 2), np.empty(3)
    with ng.detect_anomaly():
        assert_array_equal(g.into(SMALL, out=out), 2 * SMALL)
    with ng.configure(nan_policy="raise"):
        h = ng.jit(ng.grad(lambda x: (x * x).sum()))
        assert_array_equal(h.into(SMALL, out=out), 2 * SMALL)


# ---------------------------------------------------------------------------- donated arguments


def step(x: Any, rate: float) -> Any:
    return x - rate * np.cos(x)


@pytest.mark.parametrize("options", [{"donate_argnums": 0}, {"donate_argnames": "x"}], ids=str)
def test_a_loop_stays_in_one_array(options: Any) -> None:
    with ng.configure(deterministic=True):
        plain, g = ng.jit(step), ng.jit(step, **options)
        x, wanted = X.copy(), X.copy()
        places = set()
        for _ in range(80):
            x, wanted = g(x, 0.1), plain(wanted, 0.1)
            places.add(x.ctypes.data)
        assert_array_equal(x, wanted)
        assert len(places) == 1

        def loop(x: Any) -> None:
            for _ in range(10):
                x = g(x, 0.1)

        assert traced_bytes(lambda: loop(x)) < 20_000


def test_nested_data_is_donated_as_a_whole() -> None:
    def update(p: Any, g: Any) -> Any:
        return {"w": p["w"] - 0.1 * g["w"], "b": [p["b"][0] - 0.1 * g["b"][0]]}, g["w"].sum()

    donating = ng.jit(donate_argnames="p")(update)
    p = {"w": X.copy(), "b": [SMALL.copy()]}
    gradient = {"w": X, "b": [SMALL]}
    places = set()
    for _ in range(6):
        p, total = donating(p, gradient)
        places |= {p["w"].ctypes.data, p["b"][0].ctypes.data}
        assert total.__class__ is np.float64
    assert len(places) == 2
    assert_array_equal(gradient["w"], X)


def test_what_was_donated_is_refused_afterwards() -> None:
    g = ng.jit(step, donate_argnums=0)
    x = SMALL.copy()
    y = g(x, 0.1)
    for again in (x, x[:2], x[::-1]):
        with pytest.raises(ValueError, match="was donated by an earlier call"):
            g(again, 0.1)
    assert_array_equal(y, step(SMALL, 0.1))
    wanted = step(y.copy(), 0.1)
    assert_array_equal(g(y, 0.1), wanted)


def test_what_is_read_elsewhere_too_is_refused() -> None:
    held = SMALL.copy()
    g = ng.jit(lambda x, y: x + y, donate_argnums=0)
    with pytest.raises(ValueError, match="shares memory with another argument"):
        g(held, held)
    assert_array_equal(held, SMALL)
    h = ng.jit(lambda x: x + held, donate_argnums=0)
    x = held
    for _ in range(4):  # its memory holds a result after the first two, and is looked at
        wanted = x + held
        x = h(x)
        assert_array_equal(x, wanted)


@pytest.mark.parametrize(
    "x",
    [
        np.broadcast_to(np.float64(2.0), (3,)),
        np.arange(6.0)[::2],
        SMALL.astype(">f8"),
        np.arange(3),
        2.5,
        np.float64(1.5),
        ng.tensor(SMALL),
        ng.tensor(SMALL, requires_grad=True),
    ],
    ids=lambda x: repr(x)[:40],
)
def test_what_cannot_be_donated_is_taken_as_ever(x: Any) -> None:
    g, plain = ng.jit(step, donate_argnums=(0,)), ng.jit(step)
    for _ in range(3):
        found, wanted = g(x, 0.1), plain(x, 0.1)
        assert type(found) is type(wanted)
        assert_array_equal(*[y.tolist() if hasattr(y, "tolist") else y for y in (found, wanted)])


def test_results_that_are_no_arrays_and_transforms_are_as_ever() -> None:
    g = ng.jit(lambda x: (x * x).sum(), donate_argnums=0)
    assert g(SMALL.copy()).__class__ is np.float64
    assert_array_equal(ng.grad(g)(SMALL), 2 * SMALL)
    assert_array_equal(ng.jit(lambda x: g(x))(SMALL), (SMALL * SMALL).sum())
    with ng.detect_anomaly():
        assert g(SMALL.copy()) == (SMALL * SMALL).sum()


def test_threads_may_donate_to_one_function() -> None:
    g = ng.jit(step, donate_argnums=0)
    wanted = SMALL
    for _ in range(200):
        wanted = step(wanted, 0.1)
    wrong: list[Any] = []

    def work() -> None:
        x = SMALL.copy()
        for _ in range(200):
            x = g(x, 0.1)
        if not np.allclose(x, wanted):
            wrong.append(x)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
