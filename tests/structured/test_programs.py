"""Random programs: their way back, run as plain Python, against dual numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from structured_programs import Program, expected, interpreted, made

# The last ones compute what they keep within a choice.
SEEDS = (*range(40), 2022, 9395, 9757, 10052)


def flat(x: Any) -> list[float]:
    return [float(v) for v in np.ravel(x)]


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_of_random_programs(seed: int) -> None:
    program, rng = Program(seed), np.random.default_rng(seed)
    args = (
        float(rng.normal()), float(rng.normal()), rng.normal(size=3), rng.normal(size=(3, 3)), int(rng.integers(0, 4)),
    )  # fmt: skip
    results = program.function()(*args)
    results = results if isinstance(results, tuple) else (results,)
    weights = [rng.normal(size=np.shape(y)) for y in results]
    _, grads = expected(program, args, weights)
    words: list[Any] = []
    for x in (*args[:4], *weights):
        words += [flat(x), *np.shape(x)]
    words.append(args[4])
    found = [[9.0] * np.size(a) for a in args[:4]]
    for a, held in zip(args[:4], found, strict=True):
        words += [held, *np.shape(a)]
    assert interpreted(made(program, 0, True))(*words) == 0
    for mine, theirs in zip(found, grads, strict=True):
        np.testing.assert_allclose(mine, np.ravel(theirs), rtol=1e-7, atol=1e-9)
