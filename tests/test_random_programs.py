"""2,000 random programs agree with NumPy in value and with finite differences in gradient.

All of them run on the block tier. Compiling takes the fused tier about 0.1 s a program, so it
runs every eighth; ``NBGRAD_FUSED_SHARE=1`` makes it run all.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from random_programs import NAMES, OPERATIONS, Program, Step, build

import nbgrad as ng

COUNT = 2000
FUSED_SHARE = int(os.environ.get("NBGRAD_FUSED_SHARE", "8"))

steps = st.tuples(
    st.sampled_from(NAMES), st.integers(0, 7), st.integers(0, 9), st.integers(0, 63)
)
ran: Counter[str] = Counter()


def loss_and_gradients(program: Program, partly: bool) -> tuple[Any, list[Any]]:
    """The loss, and the gradient in each input; if *partly*, a value in between is read first."""
    leaves = [ng.tensor(x, requires_grad=True) for x in program.inputs]
    watch = (lambda value: value.tolist()) if partly else None
    loss = program(*leaves, watch=watch)
    if loss.requires_grad:
        loss.backward()
    gradients = [None if x.grad is None else x.grad.numpy() for x in leaves]
    return loss.detach().numpy(), gradients


@settings(max_examples=COUNT)
@given(st.lists(steps, min_size=5, max_size=40), st.integers(0, 2**32 - 1))
@example([("sin", 0, 0, 0)] * 5, 0)
def test_program_agrees_with_numpy_and_with_finite_differences(
    choices: list[Step], seed: int
) -> None:
    program = build(choices, seed)
    expected, slope = program(*program.inputs), program.slope(1e-4)
    # Where two steps disagree the function is too curved to be differenced.
    scale = 1 + abs(slope) + abs(float(expected))
    assume(abs(slope - program.slope(2e-4)) < 1e-7 * scale)
    tiers = ["block"] if ran["block"] % FUSED_SHARE else ["block", "fused"]
    for tier in tiers:
        with ng.configure(tier=tier):
            loss, gradients = loss_and_gradients(program, partly=seed % 3 == 0)
        assert_allclose(loss, expected, rtol=1e-11, atol=1e-11)
        terms = [np.sum(g * v) for g, v in zip(gradients, program.direction, strict=True)
                 if g is not None]
        size = scale + float(np.sum(np.abs(terms)))
        assert_allclose(np.sum(terms), slope, rtol=0, atol=1e-6 * size)
        ran[tier] += 1
    ran.update(name for name, *_ in program.steps)


def test_the_programs_were_many_and_used_every_operation() -> None:
    """Runs after the test above, in the same process."""
    if not ran:
        return
    assert ran["block"] >= COUNT and ran["fused"] >= COUNT // FUSED_SHARE
    assert {name for name in OPERATIONS if ran[name] < 20} == set()
