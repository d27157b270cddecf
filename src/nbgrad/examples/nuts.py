"""The No-U-Turn Sampler, wholly in compiled code: the gradient is a function of ``nbgrad.compile``.

Run ``python -m nbgrad.examples.nuts``. The sampler is that of Hoffman and Gelman, "The No-U-Turn Sampler", JMLR
15 (2014), with the multinomial choice of states and the criterion of Betancourt, "A Conceptual Introduction to
Hamiltonian Monte Carlo", arXiv:1701.02434 (2017). Trees grow without recursion, as in Phan, Pradhan and
Jankowiak, arXiv:1912.11554 (2019). The step is found by dual averaging (section 3.2 of the first); the
masses are from windows of the warm-up that double, as in Stan's reference manual: the roots of the variances of
draws over those of gradients, as nutpie has them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numba import njit

import nbgrad as ng

Function = TypeVar("Function", bound=Callable[..., Any])
# No tests for divisions by zero, sums in any order, and other threads of Python go on.
fast: Callable[[Function], Function] = njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"}
)
DIVERGED = 1000.0  # an error in the energy that ends a trajectory
LIKELIEST = 300.0
MAX_DEPTH = 10
# Rows of the memory of a tree.
(LEFT_X, LEFT_R, LEFT_G, RIGHT_X, RIGHT_R, RIGHT_G, CHOSEN_X, CHOSEN_G, SUM, NEW_X, NEW_G, PART, X, R, G, ZERO, VALUE) = range(17)  # fmt: skip


class Draws(NamedTuple):
    """What a chain gives: draws, its step and masses, gradients of the draws' trajectories, divergences."""

    draws: Any
    step: float
    variance: Any
    gradients: int
    diverged: int
    accepted: float


@fast
def kinetic(r: Any, variance: Any) -> Any:
    total = 0.0
    for i in range(r.size):
        total += r[i] * r[i] * variance[i]
    return 0.5 * total


@fast
def copy(w: Any, source: int, target: int, rows: int) -> None:
    """Copy rows of the memory of a tree: loops, as slices cost more than short rows."""
    for k in range(rows):
        for i in range(w.shape[1]):
            w[target + k, i] = w[source + k, i]


@fast
def add(w: Any, source: int, target: int) -> None:
    for i in range(w.shape[1]):
        w[target, i] += w[source, i]


@fast
def leapfrog(density: Any, x: Any, r: Any, g: Any, step: float, variance: Any) -> Any:
    """One step, in place; the log-density where it ends."""
    for i in range(x.size):
        r[i] += 0.5 * step * g[i]
        x[i] += step * variance[i] * r[i]
    value = density(x, g)[0]
    for i in range(x.size):
        r[i] += 0.5 * step * g[i]
    return value


@fast
def turns(one: Any, other: Any, total: Any, before: Any, variance: Any) -> bool:
    """Whether a trajectory between two momenta turns back, of sums of momenta to its end, and before it."""
    a = b = 0.0
    for i in range(one.size):
        middle = variance[i] * (total[i] - before[i] - 0.5 * (one[i] + other[i]))
        a += one[i] * middle
        b += other[i] * middle
    return a <= 0.0 or b <= 0.0


@fast
def ends_a_turn(n: int, r: Any, total: Any, kept: Any, sums: Any, variance: Any) -> bool:
    """Whether a part of a tree that leaf *n* ends turns back; even leaves are kept to be asked."""
    place, m = 0, n >> 1
    while m:
        place += m & 1
        m >>= 1
    if n % 2 == 0:
        for i in range(r.size):
            kept[place, i], sums[place, i] = r[i], total[i] - r[i]
        return False
    while n & 1:
        if turns(kept[place], r, total, sums[place], variance):
            return True
        n >>= 1
        place -= 1
    return False


@fast
def grow(rng: Any, density: Any, depth: int, step: float, energy: float, variance: Any, w: Any, kept: Any, sums: Any) -> Any:  # fmt: skip
    """A tree of 2**depth leaves from ``w[X], w[R], w[G]``: weight, accepted, leaves, whether it ends well.

    Its sum of momenta is ``w[PART]``, its choice ``w[NEW_X]``.
    """
    weight, accepted, leaves = 0.0, 0.0, 0
    w[PART] = 0.0
    for n in range(1 << depth):
        value = leapfrog(density, w[X], w[R], w[G], step, variance)
        error = kinetic(w[R], variance) - value - energy
        leaves += 1
        if not error < DIVERGED:
            return weight, accepted, leaves, 2
        # Of states that are likelier by far than the first, all count the same: it is a bad start.
        likelier = np.exp(min(-error, LIKELIEST))
        accepted += min(1.0, likelier)
        before = weight
        weight += likelier
        if rng.random() * weight < likelier:
            copy(w, X, NEW_X, 1)
            copy(w, G, NEW_G, 1)
            w[VALUE, 0] = value
        add(w, R, PART)
        if ends_a_turn(n, w[R], w[PART], kept, sums, variance):
            return before, accepted, leaves, 1
    return weight, accepted, leaves, 0


@fast
def transition(rng: Any, density: Any, value: float, step: float, variance: Any, w: Any, kept: Any, sums: Any) -> Any:  # fmt: skip
    """One draw from ``w[CHOSEN_X], w[CHOSEN_G]``: its value, accepted, leaves, whether it diverged."""
    for i in range(variance.size):
        w[R, i] = rng.standard_normal() / np.sqrt(variance[i])
    energy = kinetic(w[R], variance) - value
    for first in (LEFT_X, RIGHT_X):
        copy(w, CHOSEN_X, first, 1)
        copy(w, R, first + 1, 1)
        copy(w, CHOSEN_G, first + 2, 1)
    copy(w, R, SUM, 1)
    w[ZERO] = 0.0
    weight, accepted, leaves = 1.0, 0.0, 0
    for depth in range(MAX_DEPTH):
        forward = rng.random() < 0.5
        first = RIGHT_X if forward else LEFT_X
        copy(w, first, X, 3)
        signed = step if forward else -step
        more, a, count, ended = grow(rng, density, depth, signed, energy, variance, w, kept, sums)
        accepted += a
        leaves += count
        if ended:
            return value, accepted, leaves, ended == 2
        copy(w, X, first, 3)
        if rng.random() * weight < more:
            copy(w, NEW_X, CHOSEN_X, 2)
            value = w[VALUE, 0]
        weight += more
        add(w, PART, SUM)
        if turns(w[LEFT_R], w[RIGHT_R], w[SUM], w[ZERO], variance):
            break
    return value, accepted, leaves, False


@fast
def first_step(rng: Any, density: Any, value: float, variance: Any, w: Any) -> Any:
    """A step that is accepted by about a half."""
    step, direction = 1.0, 0
    for _ in range(50):
        w[X], w[G] = w[CHOSEN_X], w[CHOSEN_G]
        for i in range(variance.size):
            w[R, i] = rng.standard_normal() / np.sqrt(variance[i])
        energy = kinetic(w[R], variance) - value
        found = leapfrog(density, w[X], w[R], w[G], step, variance)
        error = kinetic(w[R], variance) - found - energy
        now = 1 if error < 0.2231 else -1  # log(0.8)
        if direction != 0 and now != direction:
            break
        direction = now
        step *= 2.0**direction
    return step


@fast
def window_ends(warmup: int) -> Any:
    """After how many draws of the warm-up the masses are set: windows that double."""
    start, last, size = 75, 150, 25
    if warmup < 300:
        start, last = int(0.15 * warmup), int(0.1 * warmup)
        size = warmup - start - last
    ends = []
    at = start
    while at < warmup - last:
        at += size
        size *= 2
        if at + size > warmup - last:
            at = warmup - last
        ends.append(at)
    return start, ends


@fast
def learn(w: Any, means: Any, spreads: Any, seen: int) -> None:
    """Add the chosen draw to the variances of draws and of gradients."""
    for k in range(2):
        for i in range(w.shape[1]):
            delta = w[CHOSEN_X + k, i] - means[k, i]
            means[k, i] += delta / seen
            spreads[k, i] += delta * (w[CHOSEN_X + k, i] - means[k, i])


@fast
def averaged(state: Any, accepted: float, target: float) -> Any:
    """The next step of dual averaging: *state* is where it shrinks to, the error, the mean, how many."""
    state[3] += 1
    k = state[3]
    state[1] += (target - accepted - state[1]) / (k + 10)
    found = state[0] - np.sqrt(k) / 0.05 * state[1]
    state[2] += k**-0.75 * (found - state[2])
    return np.exp(found)


@fast
def restarted(rng: Any, density: Any, value: float, variance: Any, w: Any, state: Any) -> Any:
    """The first step in a new variance."""
    step = first_step(rng, density, value, variance, w)
    state[0], state[1:] = np.log(10 * step), 0.0
    return step


@fast
def warm(rng: Any, density: Any, w: Any, warmup: int, target: float, kept: Any, sums: Any) -> Any:
    """Find the step and the masses: the value of the chosen draw, the step, the variances."""
    variance, state = np.ones(w.shape[1]), np.zeros(4)
    means, spreads, seen = np.zeros((2, w.shape[1])), np.zeros((2, w.shape[1])), 0
    value = density(w[CHOSEN_X], w[CHOSEN_G])[0]
    step = restarted(rng, density, value, variance, w, state)
    begun, ends = window_ends(warmup)
    which = 0
    for t in range(warmup):
        value, accepted, leaves, _ = transition(rng, density, value, step, variance, w, kept, sums)
        step = averaged(state, accepted / leaves, target)
        if begun <= t < ends[-1]:
            seen += 1
            learn(w, means, spreads, seen)
        if which < len(ends) and t + 1 == ends[which]:
            which += 1
            variance = np.sqrt((spreads[0] + 1e-10) / (spreads[1] + 1e-10))
            means[:], spreads[:], seen = 0.0, 0.0, 0
            step = restarted(rng, density, value, variance, w, state)
    return value, np.exp(state[2]), variance


@fast
def chain(rng: Any, density: Any, start: Any, warmup: int, count: int, target: float) -> Any:
    """Draws from *density*, which writes the gradient to its second argument, from *start* on."""
    n = start.size
    w, kept, sums = np.zeros((17, n)), np.zeros((MAX_DEPTH + 1, n)), np.zeros((MAX_DEPTH + 1, n))
    w[CHOSEN_X] = start
    value, step, variance = warm(rng, density, w, warmup, target, kept, sums)
    draws = np.empty((count, n))
    gradients, diverged, rate = 0, 0, 0.0
    for t in range(count):
        value, accepted, leaves, broke = transition(
            rng, density, value, step, variance, w, kept, sums
        )
        draws[t] = w[CHOSEN_X]
        gradients += leaves
        diverged += broke
        rate += accepted / leaves / count
    return draws, step, variance, gradients, diverged, rate


def sample(density: Any, start: Any, warmup: int = 1000, count: int = 1000, chains: int = 4, seed: int = 0, target: float = 0.8, threads: int = 1) -> list[Draws]:  # fmt: skip
    """Chains of draws: *density* is the ``value_and_grad`` of a log-density of a vector."""
    starts = start + np.random.default_rng(seed).uniform(-2, 2, (chains, len(start)))

    def run(k: int) -> Draws:
        return Draws(
            *chain(np.random.default_rng((seed, k)), density, starts[k], warmup, count, target)
        )

    if threads == 1:
        return [run(k) for k in range(chains)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(chains)))


SCHOOLS = (
    np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0]),
    np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]),
)


def eight_schools(x: Any) -> Any:
    """Rubin's eight schools, not centred: x is the mean, the log of the spread, and eight effects."""
    effects, errors = SCHOOLS
    mean, log_spread, raw = x[0], x[1], x[2:]
    spread = np.exp(log_spread)
    found = -0.5 * (((effects - mean - spread * raw) / errors) ** 2).sum() - 0.5 * (raw**2).sum()
    # N(0, 5) for the mean, a half-Cauchy of scale 5 for the spread, of which the log is x[1].
    return found - 0.5 * (mean / 5) ** 2 - np.log(1 + (spread / 5) ** 2) + log_spread


def regression(n: int = 200, dimensions: int = 100, seed: int = 0) -> tuple[Callable[..., Any], Any, Any]:  # fmt: skip
    """A log-density of *dimensions* coefficients, and the posterior's mean and covariance."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dimensions))
    y = x @ rng.normal(size=dimensions) + rng.normal(size=n)
    covariance = np.linalg.inv(x.T @ x + np.eye(dimensions))

    def density(w: Any) -> Any:
        return -0.5 * ((y - x @ w) ** 2).sum() - 0.5 * (w**2).sum()

    return density, covariance @ (x.T @ y), covariance


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Draw from both posteriors."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--plot", help="write a picture of the schools' draws to this file")
    options = parser.parse_args(arguments)
    models: Any = {"eight schools": (eight_schools, 10), "regression": (regression()[0], 100)}
    results = {}
    for name, (density, n) in models.items():
        c = ng.compile(density, np.zeros(n))
        sample(c.value_and_grad, np.zeros(n), 10, 10, 1)  # compiled, or read from disk
        began = time.perf_counter()
        chains = sample(c.value_and_grad, np.zeros(n), options.draws, options.draws)
        took = time.perf_counter() - began
        draws = np.array([each.draws for each in chains])
        gradients = sum(each.gradients for each in chains)
        print(f"{name}: {draws.shape[0]} chains of {options.draws} draws in {took:.3f} s, {gradients} gradients, {sum(c.diverged for c in chains)} diverged")  # fmt: skip
        results[name] = draws
    if options.plot:
        picture(results["eight schools"], options.plot)
    return results


def picture(draws: Any, path: str) -> None:
    """The mean against the spread of the schools."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    _, axes = plt.subplots()
    axes.plot(draws[:, :, 0].ravel(), np.exp(draws[:, :, 1]).ravel(), ".", markersize=2)
    axes.set(xlabel="mean", ylabel="spread", yscale="log")
    plt.savefig(path)


if __name__ == "__main__":
    main()
