"""Transforms composed at random to depth 4, against differences in 80 digits.

``NBGRAD_ATTACK=2000`` runs that many compositions instead of the few of every day.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from attacking import LIMIT, trials
from compositions import STEPS, accepted, composition
from numpy.testing import assert_allclose

import nbgrad as ng

pytestmark = pytest.mark.timeout(LIMIT)
BATCHES = 4


@pytest.mark.parametrize("batch", range(BATCHES))
def test_compositions_agree_with_differences(batch: int) -> None:
    names = tuple(STEPS)
    for number in range(batch, trials(60), BATCHES):
        source = random.Random(number)
        made = composition(source, names, source.randint(2, 4))
        x = np.array([source.uniform(-1, 1), source.uniform(-1, 1)])
        expected = made.exact(x)
        scale = np.abs(expected).max()
        if not np.isfinite(scale) or scale > 1e6:
            continue
        f = made.ours()
        with ng.configure(tier="auto" if number % 25 == 7 else "reference"):
            for call in range(2):
                found = ng.as_tensor(f(x)).detach().numpy()
                message = f"composition {number}, call {call}: {made}"
                assert_allclose(
                    found, expected, rtol=1e-8, atol=1e-9 * (1 + scale), err_msg=message
                )


@pytest.mark.parametrize("name", STEPS)
def test_each_with_each(name: str) -> None:
    """Every pair, one inside the other: what a random choice may miss."""
    source = random.Random(name)
    for other in STEPS:
        if not accepted([(name, 0)], other):
            continue
        made = composition(source, (name,), 1)
        made = type(made)(made.inner, ((name, source.randrange(6)), (other, source.randrange(6))))
        x = np.array([0.4, -0.7])
        with ng.configure(tier="reference"):
            found = ng.as_tensor(made.ours()(x)).detach().numpy()
        assert_allclose(found, made.exact(x), rtol=1e-8, atol=1e-8, err_msg=str(made))
