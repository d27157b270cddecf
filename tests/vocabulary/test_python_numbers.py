"""Python numbers among the operands of NumPy's functions, traced by jit: weak where NumPy's are (NEP 50)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from draws import Draw
from numpy.testing import assert_allclose

import nbgrad as ng
from nbgrad.core.ports import ports
from nbgrad.core.registry import functions
from nbgrad.core.tree import flatten, unflatten
from nbgrad.errors import ConcretizationError

ports.load()
# What they find depends on values that a trace has not.
VALUES = ("polymul", "take", "ravel_multi_index")
A = np.array([1.5, 2.25, 0.5], np.float32)
M = np.array([True, False, True])
USED: dict[str, Callable[[Any], Any]] = {
    "real": lambda s: np.real(s) * A + np.imag(s) * A,
    "parts": lambda s: s.real * A + s.imag.real * A,
    "function of the real part": lambda s: np.sin(np.real(s)) * A,
    "whole part": lambda s: np.modf(s)[0] * A,
    "clip": lambda s: np.clip(s, 0.0, 1.0) * A,
    "where": lambda s: np.where(True, s, 0.0) * A,
    "where of many": lambda s: np.where(M, s, A) + np.where(M, A, s),
    "dot": lambda s: np.dot(s, A),
    "quantile": lambda s: np.quantile(A, s) * A,
    "linspace": lambda s: np.linspace(s, A, 3),
    "stack": lambda s: np.stack([s, s]) * A[:2],
    "hstack": lambda s: np.hstack([s, A]),
    "append": lambda s: np.append(A, s),
    "flattened": lambda s: np.concatenate((s, A), axis=None),
    "choose": lambda s: np.choose([0, 1, 0], [s, A]),
    "select": lambda s: np.select([M], [s], A),
    "variance": lambda s: np.var(A, mean=s),
    "powers": lambda s: A**s * s**A * A ** (s / 2),
    "mixed": lambda s: (1 - s) * A + s * abs(A) * -s,
}


def is_leaf(x: Any) -> bool:
    return isinstance(x, (np.ndarray, np.generic, float, complex))


def calls() -> Iterator[tuple[str, Callable[..., Any], list[Any]]]:
    """NumPy's functions of the declared samples, of which one array or all are numbers."""
    for f in functions["numpy"].values():
        if f.cases is None or not callable(f.reference) or not f.traceable or f.name in VALUES:
            continue
        for args, kwargs in f.cases(Draw(f.name, np.float32)):
            try:
                leaves, structure = flatten((args, kwargs), is_leaf)
            except TypeError:
                continue  # settings that are not hashable
            arrays = [np.asarray(x) for x in leaves]
            places = [k for k, x in enumerate(arrays) if x.dtype.kind == "f" and x.size]
            for chosen in dict.fromkeys([*((k,) for k in places), tuple(places)]):
                given = [float(np.ravel(x)[0]) if k in chosen else x for k, x in enumerate(leaves)]
                if chosen:
                    yield f.name, _called(f.reference, structure), given


def _called(function: Callable[..., Any], structure: Any) -> Callable[..., Any]:
    def call(*leaves: Any) -> Any:
        args, kwargs = unflatten(structure, leaves)
        return function(*args, **kwargs)

    return call


def assert_same(found: Any, wanted: Any, name: str) -> None:
    if isinstance(wanted, (tuple, list)):
        assert len(found) == len(wanted), name
        for a, b in zip(found, wanted, strict=True):
            assert_same(a, b, name)
        return
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.dtype == wanted.dtype, name
    assert_allclose(found, wanted, 2e-5, 2e-5, err_msg=name)


@pytest.mark.filterwarnings("ignore")
def test_numbers_at_each_place_of_each_function_give_what_numpy_gives() -> None:
    compared = 0
    with ng.configure(tier="reference"):
        for name, f, given in calls():
            try:
                wanted = f(*given)
            except Exception:
                continue  # NumPy takes no number there
            if isinstance(wanted, np.dtype):
                continue
            try:
                found = ng.jit(f)(*given)
            except (ConcretizationError, np.exceptions.AxisError):
                continue  # refused, of a number that has no axis too
            assert_same(found, wanted, name)
            compared += 1
    assert compared > 300


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [float, complex, np.float64, np.float32])
def test_a_number_keeps_its_weakness_through_what_python_or_numpy_does(kind: Any) -> None:
    number = kind(1 / 3)
    for name, f in USED.items():
        try:
            wanted = f(number)
        except Exception:
            continue
        if name == "variance" and isinstance(number, complex):
            continue  # which has a real variance here
        # What a trace finds needs no kernels: weak and strong ones of either precision have theirs.
        with ng.configure(tier="auto" if kind in (float, np.float32) else "reference"):
            assert_same(ng.jit(f)(number), wanted, name)
