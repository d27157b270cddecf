"""Random functions as people write them for Numba: loops, branches, arrays, views, calls, early ends."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

N = 6  # elements of the arrays
SCALARS = ("x", "y", "z", "s", "t")
ARRAYS = ("a", "b", "c")
Function = Callable[..., Any]


@numba.njit
def pair(u, v):
    return math.sin(u) * v, u / (1.5 + v * v)


@numba.njit
def nested(u, n):
    if n <= 0:
        return u
    return math.tanh(nested(0.7 * u, n - 1) + 0.2)


@numba.njit
def fill(out, u):
    """Writes into its argument."""
    for i in range(out.shape[0]):
        out[i] = 0.5 * out[i] + u * i
    out[0] = u


class Writer:
    """Writes one function, statement by statement."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.lines: list[str] = []
        self.depth = 0
        self.loops: list[str] = []  # the variables of the loops around
        self.left = self.rng.randint(6, 18)

    def source(self) -> str:
        self.say("def program(x, y, a, b, n):")
        self.depth = 1
        self.say("c = a * 0.5 + b")
        self.say(self.rng.choice(("s = 0", "s = 0.0", "s = x * y", "s = 1")))
        self.say(self.rng.choice(("t = 1", "t = x", "t = a[1]")))
        self.say("z = x + 0.5")
        self.say("k = n")
        while self.left > 0:
            self.statement()
        self.say(self.rng.choice(RESULTS))
        return "\n".join(self.lines) + "\n"

    def say(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def body(self, least: int = 1) -> None:
        self.depth += 1
        for _ in range(self.rng.randint(least, 3)):
            self.statement()
        self.depth -= 1

    def index(self) -> str:
        choices = [str(self.rng.randrange(-N, N)), f"(k + {self.rng.randrange(N)}) % {N}"]
        choices += [f"({i} * {self.rng.randint(1, 3)} + 1) % {N}" for i in self.loops] * 3
        return self.rng.choice(choices)

    def atom(self) -> str:
        choices = [self.rng.choice(SCALARS)] * 3 + [
            f"{self.rng.choice(ARRAYS)}[{self.index()}]"
        ] * 3
        choices += [f"{self.rng.uniform(-1, 1):.2f}", str(self.rng.randint(1, 2)), *self.loops]
        return self.rng.choice(choices)

    def expression(self, depth: int = 2) -> str:
        if depth == 0 or self.rng.random() < 0.2:
            return self.atom()
        u, v = self.expression(depth - 1), self.expression(depth - 1)
        return self.rng.choice(EXPRESSIONS).format(u=u, v=v, c=f"{self.rng.uniform(0.2, 0.9):.2f}")

    def condition(self) -> str:
        found = f"{self.atom()} {self.rng.choice(('<', '>', '<=', '>='))} {self.expression(1)}"
        if self.loops and self.rng.random() < 0.4:
            found = f"{self.rng.choice(self.loops)} % 2 == {self.rng.randrange(2)}"
        if self.rng.random() < 0.2:
            found += f" {self.rng.choice(('and', 'or'))} k > 1"
        return found

    def statement(self) -> None:
        self.left -= 1
        choices = [
            self.assign,
            self.assign,
            self.store,
            self.store,
            self.arrays,
            self.call,
            self.integer,
        ]
        if self.depth < 4:
            choices += [self.branch, self.loop, self.loop, self.loop_while]
        if self.loops:
            choices += [self.leave]
        elif self.depth > 1:
            choices += [self.end]
        self.rng.choice(choices)()

    def assign(self) -> None:
        name = self.rng.choice(SCALARS)
        how = self.rng.choice(("{} = {}", "{} = {}", "{} += 0.3 * ({})", "{} *= 0.4 + 0.1 * ({})"))
        self.say(how.format(name, self.expression()))

    def store(self) -> None:
        how = self.rng.choice(
            ("{}[{}] = {}", "{}[{}] += 0.3 * ({})", "{}[{}] *= 0.1 + 0.2 * ({})")
        )
        self.say(how.format(self.rng.choice(ARRAYS), self.index(), self.expression()))

    def arrays(self) -> None:
        p, q, r = (self.rng.choice(ARRAYS) for _ in range(3))
        u, c = self.rng.choice(SCALARS), f"{self.rng.uniform(0.2, 0.9):.2f}"
        self.say(
            self.rng.choice(ON_ARRAYS).format(p=p, q=q, r=r, u=u, c=c, s=self.rng.choice(SCALARS))
        )

    def call(self) -> None:
        u, v = self.expression(1), self.expression(1)
        p, q = self.rng.sample(SCALARS, 2)
        line = self.rng.choice(
            (f"{p}, {q} = pair({u}, {v})", f"{p} = nested({u}, {self.rng.randint(0, 3)})")
        )
        if self.rng.random() < 0.3:
            line = f"fill({self.rng.choice(ARRAYS)}{self.rng.choice(('', '[1:4]', '[::2]'))}, {p})"
        self.say(line)

    def integer(self) -> None:
        self.say(self.rng.choice(("k = (k * 3 + 1) % 5", "k = int(abs(x) * 3.0) % 4", "k += 1")))

    def branch(self) -> None:
        self.say(f"if {self.condition()}:")
        self.body()
        if self.rng.random() < 0.4:
            self.say(f"elif {self.condition()}:")
            self.body()
        if self.rng.random() < 0.6:
            self.say("else:")
            self.body()

    def loop(self) -> None:
        i = f"i{len(self.loops)}"
        bound = self.rng.choice(
            ("n", str(self.rng.randint(0, 5)), "k % 4", "a.shape[0]", "1, n + 1", "4, -1, -1")
        )
        if self.rng.random() < 0.2:
            self.say(f"for {i}, w in enumerate({self.rng.choice(ARRAYS)}):")
            self.depth += 1
            self.say(f"{self.rng.choice(SCALARS)} += 0.1 * w * {self.atom()}")
            self.depth -= 1
        else:
            self.say(f"for {i} in range({bound}):")
        self.loops.append(i)
        self.body()
        self.loops.pop()

    def loop_while(self) -> None:
        i = f"i{len(self.loops)}"
        self.say(f"{i} = 0")
        self.say(f"while {i} < {self.rng.randint(1, 6)} and ({self.condition()}):")
        self.depth += 1
        self.say(f"{i} += 1")
        self.depth -= 1
        self.loops.append(i)
        self.body()
        self.loops.pop()

    def leave(self) -> None:
        self.say(f"if {self.condition()}:")
        self.depth += 1
        if self.rng.random() < 0.3:
            self.say(f"s += {self.expression(1)}")
        self.say(self.rng.choice(("break", "continue")))
        self.depth -= 1

    def end(self) -> None:
        self.say(f"if {self.condition()}:")
        self.say("    s = s * 0.5 + z")


EXPRESSIONS = (
    "({u} + {v})", "({u} - {v})", "({u} * {v} * {c})", "({u} / (1.5 + ({v}) * ({v})))", "math.sin({u})",
    "math.exp(-({u}) * ({u}))", "math.tanh({u})", "math.sqrt(1.0 + ({u}) * ({u}))", "abs({u})", "max({u}, {v})",
    "min({u}, {c})", "({u}) ** 2 * {c}", "-({u})", "({u} if {v} > {c} else {v})", "np.cos({u})",
    "math.atan2({u}, 2.0 + abs({v}))", "math.log(1.5 + ({u}) * ({v}) * ({u}) * ({v}))",
)  # fmt: skip
ON_ARRAYS = (
    "{p} = {q} * {c} + {r} * {u} * 0.3", "{p} = np.sin({q})", "{s} = ({p} * {q}).sum() * 0.2", "{p}[1:] += {p}[:-1] * {c}",
    "{p} = {q}.copy()", "{p} = {q}", "{p}, {q} = {q}, {p}", "{p} = {q}[::-1] * {c}", "{p}[2:5] = {q}[:3]", "{p}[:] = {u}",
    "{s} = np.dot({p}, {q}) * 0.1", "{p} = np.zeros_like({q}) + {u}", "{s} = {p}.mean() + {q}.max() * 0.1",
    "{p} = np.maximum({q}, {u})", "{p} = np.where({q} > {c}, {q}, {r} * {u})", "{p} = {q} / (1.5 + {r} * {r})",
    "{p}[{q}.shape[0] // 2] = {u}", "{p} *= {c}", "{p}[::2] -= {c} * {q}[1::2]",
)  # fmt: skip
RESULTS = (
    "return s + t + z", "return s * 0.5 + (a * b).sum() + c[2] + t", "return a + c * s", "return s + z, a * t, b",
    "return (c - b).sum() + t * z",
)  # fmt: skip


def source(seed: int) -> str:
    """The text of a function ``program(x, y, a, b, n)`` that leaves its arguments as they are."""
    lines = Writer(seed).source().splitlines()
    lines.insert(1, "    a = a.copy()")
    lines.insert(2, "    b = b.copy()")
    return "\n".join(lines) + "\n"


def arguments(seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    return (
        float(rng.uniform(0.2, 1.0)),
        float(rng.uniform(-1.0, 1.0)),
        rng.uniform(-1.0, 1.0, N),
        rng.uniform(-1.0, 1.0, N),
        int(rng.integers(0, 5)),
    )


NAMES = {"np": np, "math": math, "pair": pair, "nested": nested, "fill": fill}


def compiled(text: str, name: str) -> Any:
    """The function of a text, for Numba."""
    names = dict(NAMES)
    exec(compile(text, name, "exec"), names)
    return numba.njit(names["program"])
