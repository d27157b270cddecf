"""What comes back to a function of Numba's may be of another dtype than its result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nbgrad as ng


@ng.njit
def square(x: Any) -> Any:
    return x * x


@ng.njit
def parts(a: Any) -> Any:
    return a[1:], a[0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("three", [3, 3.0, np.float32(3.0), np.int64(3), np.int8(3)], ids=repr)
def test_cotangents_may_be_of_another_dtype(three: Any, dtype: Any) -> None:
    """3 * y hands Python's 3 back, which was read as the bits of a float."""
    f, x = (lambda x: three * square(x)), dtype(2.0)
    for derive in (ng.grad, lambda g: ng.jit(ng.grad(g))):
        assert float(derive(f)(x)) == 12.0
        assert float(derive(derive(f))(x)) == 6.0
    assert float(ng.vjp(square, x)[1](three)[0]) == 12.0
    assert float(ng.jvp(square, (x,), (three,))[1]) == 12.0


def test_cotangents_of_several_results() -> None:
    found = ng.grad(lambda a: (2 * parts(a)[0]).sum() + 3 * parts(a)[1])(np.ones(3))
    np.testing.assert_array_equal(found, [3.0, 2.0, 2.0])
