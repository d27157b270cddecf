"""Functions composed of transforms at random, and what they are in 80 digits, by differences alone.

A step maps a function of vectors of two numbers to another one, so that steps nest in any order. Each
has two forms: nbgrad's, and one of mpmath's numbers, in which derivatives are central differences and
a map is a loop. Another transform is one more entry of a table of steps.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from composed import DIGITS, Expression, Func, Transform, expression
from composed_steps import BASIC
from wider_steps import WIDER

STEPS: dict[str, Transform] = BASIC | WIDER
MAX_ORDER = 3
# Results of these require grad, as in PyTorch, if it is by a copy that nobody else has.
REFUSED = {("jvp", "ruled"), ("vjp", "ruled"), ("backward", "ruled")}


@dataclass(frozen=True)
class Composition:
    """An expression with transforms around it, the innermost first."""

    inner: Expression
    steps: tuple[tuple[str, int], ...]

    def ours(self) -> Func:
        f: Func = self.inner
        for name, choice in self.steps:
            f = STEPS[name].ours(f, choice)
        return f

    def exact(self, x: Any) -> Any:
        f: Func = lambda y: self.inner(y, True)
        for name, choice in self.steps:
            f = STEPS[name].theirs(f, choice)
        with mpmath.workdps(DIGITS):
            return np.array(f(np.array([mpmath.mpf(float(v)) for v in x])), float)


def accepted(inside: list[tuple[str, int]], name: str) -> bool:
    """Whether *name* may stand around these."""
    return all((other, name) not in REFUSED for other, _ in inside)


def composition(source: random.Random, names: tuple[str, ...], depth: int) -> Composition:
    steps: list[tuple[str, int]] = []
    order = 0
    for _ in range(depth):
        name = source.choice(names)
        if order + STEPS[name].order <= MAX_ORDER and accepted(steps, name):
            order += STEPS[name].order
            steps.append((name, source.randrange(6)))
    return Composition(expression(source, source.randint(1, 3)), tuple(steps))
