"""What the gate compares between two commits: nbgrad's side of each workload, and hot paths of a few operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import nbgrad as ng
from benchmarks import libraries, problems
from benchmarks.libraries import Step

X = np.linspace(0.1, 1.0, 10)


def _tensor(array: Any = X, grad: bool = True) -> Any:
    return ng.tensor(array, requires_grad=grad)


def _calls() -> dict[str, Callable[[], Step]]:
    """Single operations on ten elements, recorded."""

    def of(operation: Callable[[Any], Any], array: Any = X) -> Callable[[], Step]:
        def build() -> Step:
            x = _tensor(array)
            return lambda: operation(x)

        return build

    square = np.ones((5, 5))
    return {
        "np.sin(x)": of(np.sin),
        "2 * x": of(lambda x: 2 * x),
        "x[1:]": of(lambda x: x[1:]),
        "x.T": of(lambda x: x.T, square),
        "x @ x": of(lambda x: x @ x, square),
        "np.sum(x)": of(np.sum),
        "x.std()": of(lambda x: x.std()),
        "np.concatenate": of(lambda x: np.concatenate([x, x])),
    }


def _backward() -> Step:
    x = _tensor()

    def step() -> None:
        x.grad = None
        (np.sin(x) * x).sum().backward()

    return step


def _written() -> Step:
    u, y = _tensor(grad=False), _tensor()

    def step() -> Any:
        z = u * 1.0
        z[0] = y[1]
        return z

    return step


def _compiled(f: Callable[..., Any], *args: Any) -> Callable[[], Step]:
    def build() -> Step:
        compiled = ng.jit(f)
        return lambda: compiled(*args)

    return build


def hot() -> Iterator[tuple[str, Callable[[], Step]]]:
    """Hot paths: what a call costs, recorded, differentiated and compiled."""
    yield from _calls().items()
    yield "backward of a small function", _backward
    yield "x[0] = y[1]", _written
    yield "grad of a small function", lambda: _gradient(ng.grad)
    yield "value_and_grad of a small function", lambda: _gradient(ng.value_and_grad)
    yield "jit of an array", _compiled(lambda x: np.sin(x) * 2 + x, X)
    yield "jit of an array and a number", _compiled(lambda x, c: np.sin(x) * c + x, X, 2.0)
    chain = problems.chain_input(10)
    yield "eager chain of 20", lambda: libraries.eager("nbgrad", problems.chain_sum, chain)
    yield "recording a chain of 20", lambda: libraries.recording(problems.chain, chain)
    for n in (10, 1000):
        x = (problems.rosenbrock_input(n),)
        yield (
            f"Rosenbrock, n = {n}",
            lambda x=x: libraries.compiled("nbgrad", problems.rosenbrock, x, 1),
        )  # type: ignore[misc]


def _gradient(transform: Callable[..., Any]) -> Step:
    derive = transform(lambda x: (np.sin(x) * x).sum())
    return lambda: derive(X)


def workloads() -> Iterator[tuple[str, Callable[[], Step]]]:
    """Nbgrad's side of every row of ``benchmarks.workloads``."""
    from benchmarks.workloads.__main__ import (
        workloads as rows,  # compiles for Numba: not for hot paths
    )

    for theme, row in rows():
        yield f"{theme}: {row.name}", lambda row=row: row.build().ours  # type: ignore[misc]


def tracked(quick: bool) -> dict[str, Callable[[], Step]]:
    """All by name; hot paths alone where it is to be *quick*."""
    return dict(hot()) | ({} if quick else dict(workloads()))
