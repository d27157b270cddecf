"""Python integers among the arguments of ``jit``: settings at first, then numbers of the trace."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.core.registry import primitives
from nbgrad.ops.kinds.elementwise import arity

X = np.array([1.0, 2.0])


def _adam(x: Any, g: Any, t: int) -> Any:
    return x - 0.1 * g / (1 - 0.9**t) / np.sqrt(1 - 0.999 ** (t + 1))


def test_an_integer_that_counts_is_traced_as_a_number_after_some_values() -> None:
    traces = []

    @ng.jit
    def step(x: Any, g: Any, t: int) -> Any:
        traces.append(t)
        return _adam(x, g, t)

    for t in range(1, 200):
        assert_allclose(step(X, X, t), _adam(X, X, t), 1e-12, 1e-12)
    assert len(traces) == 5
    for t in (1 << 24, 1 << 40, 1 << 62, 3):
        assert_allclose(step(X, 0 * X, t), X)
    assert_allclose(step(X, X, 1), _adam(X, X, 1))
    x = ng.tensor(X, requires_grad=True)
    for t in range(50, 60):
        step(x, x, t).sum().backward()
        y = ng.tensor(X, requires_grad=True)
        _adam(y, y, t).sum().backward()
        assert_allclose(x.grad, y.grad)
        x.grad = None


VALUE_NEEDED: dict[str, Callable[[Any, Any], Any]] = {
    "index": lambda x, n: x[n % 2],
    "index out of bounds": lambda x, n: x[n],
    "take": lambda x, n: np.take(x, n),
    "length": lambda x, n: np.ones(n % 9 + 1) * x[0],
    "range": lambda x, n: sum((x * k for k in range(n % 7)), start=x),
    "slice": lambda x, n: x[: n % 3].sum(),
    "axis": lambda x, n: np.ones((2, 2, 3)).sum(axis=n % 3) * x[0],
    "branch": lambda x, n: x * 2 if n > 5 else x,
    "branch on the class": lambda x, n: x * (2 if isinstance(n, int) else 3),
    "key": lambda x, n: x * {5: 7.0}.get(n, 1.0),
    "membership": lambda x, n: x * (n in (3, 7)),
    "text": lambda x, n: x * len(f"{n}{n!r}"),
    "repetition": lambda x, n: x * len([1] * (n % 5)),
    "power of two": lambda x, n: x * 2 ** (n % 60),
    "cube": lambda x, n: x * (n * n * n),
    "small integers": lambda x, n: np.array([1, 2], np.uint8) * n + x,
    "small integers compared": lambda x, n: (np.array([1, 2], np.uint8) > n * 100) + x,
    "divided by it": lambda x, n: x * (100 // (n + 1)) + 7 % (n + 1),
    "negative power": lambda x, n: x * (n + 1) ** -1,
    "shifted by it": lambda x, n: x * (1 << n),
    "float()": lambda x, n: x * float(n),
    "round": lambda x, n: x * round(n),
}
NUMBER: dict[str, Callable[[Any, Any], Any]] = {
    "weak beside float32": lambda x, n: x.astype(np.float32) * n,
    "quotient": lambda x, n: x / (n + 1) + 1 / (2 * n + 1),
    "square": lambda x, n: x * (n * n - n),
    "comparison": lambda x, n: np.where(n > 5, x, -x) * (n == 7),
    "function": lambda x, n: x * np.sqrt(n) + np.exp(-n),
    "negative": lambda x, n: x * -n,
    "result": lambda x, n: n * x.sum() + n,
    "powers": lambda x, n: x * n**2 + (n % 7) ** 5,
    "divided": lambda x, n: x * (n // 3) + n // -4 + n % 7 + n % -3,
    "rest": lambda x, n: x * divmod(n, 5)[1] + np.fmod(n - 5, 3),
    "size": lambda x, n: x * abs(n - 5) + np.sign(n - 4) * np.square(n),
    "extremes": lambda x, n: x * np.maximum(n, 3) + np.minimum(4, n) + np.clip(n, 2, 5),
    "bits": lambda x, n: x * (n & 3) + (n | 5) * (n ^ 6) + ~n + (n << 2) + (n >> 1),
    "divisors": lambda x, n: x * np.gcd(n, 6) + np.lcm(n, 4),
    "chosen": lambda x, n: np.where((n % 3 == 1) & (n > 4), x, -x) + np.where(n > 5, n, 3),
    "arrays": lambda x, n: (np.array([7, -8]) * n + np.arange(2) // 3) % 5 * x,
    "results": lambda x, n: (x * n).sum() + np.maximum(n, 5) // 2,
}


@pytest.mark.parametrize("name", VALUE_NEEDED | NUMBER)
def test_each_integer_gives_what_it_gives_without_jit(name: str) -> None:
    """What needs the value is traced anew for each: that needs no kernels."""
    with ng.configure(tier="reference" if name in VALUE_NEEDED else "auto"):
        _each_integer(name)


def _each_integer(name: str) -> None:
    f = (VALUE_NEEDED | NUMBER)[name]
    traces = []

    @ng.jit
    def compiled(x: Any, n: int) -> Any:
        traces.append(n)
        return f(x, n)

    for n in range(12):
        try:
            wanted = f(ng.tensor(X), n)
        except Exception as error:
            with pytest.raises(type(error)):
                compiled(X, n)
            continue
        found = compiled(X, n)
        assert_allclose(found, wanted.numpy(), 1e-6 if wanted.dtype == np.float32 else 1e-14)
        assert found.dtype == wanted.dtype
    assert len(traces) < 7 if name in NUMBER else len(traces) > 11


def test_declared_bounds_hold_for_all_integers_within() -> None:
    pairs = [(-7, -2), (-5, 4), (0, 3), (1, 1), (2, 9), (-1, 0)]
    declared = [p for p in primitives.values() if p.bounds is not None]
    assert len(declared) > 25
    for prim in declared:
        count = 3 if prim.name in ("where", "clip") else arity(prim)
        for params in prim.cases or ({},):
            for given in itertools.islice(itertools.product(pairs, repeat=count), 100):
                bounds = prim.bounds(*given, **params)
                if bounds is None:
                    continue
                grid = np.meshgrid(*[np.arange(lo, hi + 1) for lo, hi in given])
                found = np.asarray(prim.evaluate(*grid, **params))
                assert bounds[0] <= found.min() <= found.max() <= bounds[1], (prim.name, given)


def test_several_integers_are_told_apart() -> None:
    traces = []

    @ng.jit
    def f(x: Any, n: int, t: int, *, k: int = 0) -> Any:
        traces.append(n)
        return x.reshape((n, -1)).sum(axis=0) * t + k

    x = np.arange(12.0)
    for t in range(40):
        n = (1, 2, 3, 4, 6, 12)[t % 6]
        assert_allclose(f(x, n, t, k=t + 1), x.reshape((n, -1)).sum(axis=0) * t + t + 1)
    before = len(traces)
    for t in range(40, 80):
        n = (1, 2, 3, 4, 6, 12)[t % 6]
        f(x, n, t, k=t)
    assert len(traces) == before
