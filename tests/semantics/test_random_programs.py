"""2,000 random programs agree with NumPy in value and with finite differences in gradient.

All of them run on the block tier. Compiling takes the fused tier about half a second a program,
so it runs every thirty-second; ``NBGRAD_FUSED_SHARE=1`` makes it run all. Machine code records and
walks them, each step compared with what Python does (``support/machine.py``); Python alone takes
every fourth.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, seed, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from random_programs import NAMES, Program, Step, build

import nbgrad as ng

BATCHES = 4  # so that the workers of pytest-xdist share them
COUNT = 2000 // BATCHES
FUSED_SHARE = int(os.environ.get("NBGRAD_FUSED_SHARE", "32"))
PYTHON_SHARE = 4

steps = st.tuples(st.sampled_from(NAMES), st.integers(0, 7), st.integers(0, 9), st.integers(0, 63))


def loss_and_gradients(program: Program, partly: bool) -> tuple[Any, list[Any]]:
    """The loss, and the gradient in each input; if *partly*, a value in between is read first."""
    leaves = [ng.tensor(x, requires_grad=True) for x in program.inputs]
    watch = (lambda value: value.tolist()) if partly else None
    loss = program(*leaves, watch=watch)
    if loss.requires_grad:
        loss.backward()
    gradients = [None if x.grad is None else x.grad.numpy() for x in leaves]
    return loss.detach().numpy(), gradients


def compare(program: Program, slope: float, partly: bool) -> None:
    """The loss is NumPy's; the gradient along the program's direction is *slope*."""
    expected = float(program(*program.inputs))
    loss, gradients = loss_and_gradients(program, partly)
    assert_allclose(loss, expected, rtol=1e-11, atol=1e-11)
    pairs = zip(gradients, program.direction, strict=True)
    terms = [float(np.sum(g * v)) for g, v in pairs if g is not None]
    scale = 1 + abs(expected) + sum(abs(t) for t in terms)
    assert_allclose(sum(terms), slope, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("recorded_by", ["machine code"], indirect=True)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_programs_agree_with_numpy_and_with_finite_differences(batch: int) -> None:
    ran: Counter[str] = Counter()

    @seed(batch)
    @settings(max_examples=COUNT)
    @given(st.lists(steps, min_size=5, max_size=40), st.integers(0, 2**32 - 1))
    def check(choices: list[Step], number: int) -> None:
        program = build(choices, number)
        slope = program.slope(1e-4)
        # Where two steps disagree the function is too curved to be differenced.
        assume(abs(slope - program.slope(2e-4)) < 1e-7 * (1 + abs(slope)))
        for tier in ["block"] if ran["block"] % FUSED_SHARE else ["block", "fused"]:
            with ng.configure(tier=tier):
                compare(program, slope, partly=number % 3 == 0)
            ran[tier] += 1
        if ran["block"] % PYTHON_SHARE == 1:
            with ng.configure(tier="block", twins="off"):
                compare(program, slope, partly=number % 3 == 0)
        ran.update(name for name, *_ in program.steps)

    check()
    assert ran["block"] >= COUNT and ran["fused"] >= COUNT // FUSED_SHARE
    assert {name for name in NAMES if ran[name] < 5} == set()
