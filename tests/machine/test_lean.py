"""Numba's compiler without what it does in vain: what it gives is the same, and it is as it was afterwards."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numba
import numpy as np
import pytest

import nbgrad as ng
from nbgrad.machine import numba_inside, numba_whole
from nbgrad.machine.hashes import hash_of_integer
from nbgrad.machine.numba_inside import cpu_target
from nbgrad.machine.operators import Hash

LEAST, MOST = -(1 << 63), (1 << 63) - 1
KIND = numba_inside.postproc.PostProcessor
MODULUS = sys.hash_info.modulus
SIGNED = [0, 1, -1, -2, 7, MODULUS - 1, MODULUS, MODULUS + 1, -MODULUS, 1 - MODULUS, LEAST, MOST]
UNSIGNED = [0, 1, MODULUS, (1 << 64) - 1, (1 << 63) + 5]


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [(np.int64, SIGNED), (np.uint64, UNSIGNED), (np.int8, [-128, -1, 0, 5]), (np.uint32, [3])],
)
def test_the_hash_of_an_integer_is_pythons(kind: Any, numbers: list[int]) -> None:
    f = numba.njit(lambda x: hash_of_integer(x))
    assert [f(kind(x)) for x in numbers] == [hash(x) for x in numbers]


def test_sets_of_integers_hash_by_it() -> None:
    @ng.njit
    def f(x: Any, n: Any) -> Any:
        seen = set()
        for k in range(-n, n):
            seen.add(k * 2305843009213693951)
        return x * x * len(seen)

    assert float(ng.grad(f)(1.5, 9)) == 3.0 * 18
    with numba_whole.contexts():
        typing = cpu_target.typing_context
        assert isinstance(typing.resolve_value_type(hash), Hash)


def test_generators_are_compiled() -> None:
    @numba.njit
    def odd(n: Any) -> Any:
        for k in range(n):
            yield 2 * k + 1

    @ng.njit
    def f(x: Any, n: Any) -> Any:
        total = 0.0
        for k in odd(n):
            total += k * x
        return total

    assert float(ng.grad(f)(1.2, 4)) == 16.0


def test_numba_and_the_collector_are_as_they_were_afterwards() -> None:
    before = gc.get_threshold(), KIND.run
    with numba_whole.contexts():
        assert gc.get_threshold()[0] > before[0][0]
        with numba_whole.contexts():
            pass
        assert KIND.run is not before[1]
    assert (gc.get_threshold(), KIND.run) == before
    with pytest.raises(ZeroDivisionError), numba_whole.contexts():
        raise ZeroDivisionError
    assert (gc.get_threshold(), KIND.run) == before
