"""What declarations say of sums and products is what the operations do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nbgrad.core.registry import primitives
from nbgrad.ops.kinds.algebra import MATRIX_PRODUCT, TOTAL, Product, signs_of, zeros_of

SAID = [prim for prim in primitives.values() if prim.algebra is not None]
X = np.array([[2.0, -3.0, 0.0], [0.0, 5.0, 7.0]])
BAD = np.array([[1.5, np.nan, np.inf], [-np.inf, 4.0, np.nan]])


@pytest.mark.parametrize("prim", SAID, ids=lambda prim: prim.name)
def test_an_operation_is_the_sum_or_product_it_is_declared_as(prim: Any) -> None:
    if prim.algebra is TOTAL:
        found, wanted = prim.evaluate(X, axis=(1,), keepdims=False), X.sum(1)
    elif prim.algebra is MATRIX_PRODUCT:
        found, wanted = prim.evaluate(X, X.T), X @ X.T
    elif signs := signs_of(prim):
        xs = [X + k for k in range(len(signs))]
        found, wanted = prim.evaluate(*xs), sum(s * x for s, x in zip(signs, xs, strict=True))
    else:
        assert isinstance(prim.algebra, Product)
        found, wanted = prim.evaluate(X, X + 1), X * (X + 1)
    np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("prim", [prim for prim in SAID if isinstance(prim.algebra, Product)], ids=lambda prim: prim.name)  # fmt: skip
def test_products_are_zero_where_they_say_and_only_there(prim: Any) -> None:
    for k in (0, 1):
        with np.errstate(invalid="ignore"):
            found = prim.evaluate(*((X, BAD), (BAD, X))[k])
        zero = (X == 0) & ~np.isfinite(BAD)
        assert bool((found[zero] == 0).all()) is (k in zeros_of(prim))
        assert np.isnan(found[0, 1])
