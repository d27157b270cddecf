"""Random programs, and their gradients, in the simulator. ``NBGRAD_CUDA_PROGRAMS=500`` for more."""

from __future__ import annotations

import os
import random

import pytest
from cuda_device import agree, marks
from random_programs import NAMES, Program, build

import nbgrad as ng

pytestmark = marks
COUNT = int(os.environ.get("NBGRAD_CUDA_PROGRAMS", "40"))


def drawn(number: int) -> Program:
    source = random.Random(number)
    steps = [
        (source.choice(NAMES), source.randrange(8), source.randrange(10), source.randrange(64))
        for _ in range(source.randrange(5, 25))
    ]
    return build(steps, number)


@pytest.mark.parametrize("number", range(COUNT))
def test_value_and_gradients(number: int) -> None:
    program = drawn(number)
    every = tuple(range(len(program.inputs)))

    def both(*xs: ng.Tensor) -> list[ng.Tensor]:
        value, slopes = ng.value_and_grad(program, argnums=every)(*xs)
        return [value, *slopes]

    agree(both, *program.inputs)
