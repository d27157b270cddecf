"""The No-U-Turn Sampler, its steps in compiled code: the gradient is a function of ``nbgrad.compile``.

Run ``python -m nbgrad.examples.nuts``. The sampler is that of Hoffman and Gelman, "The No-U-Turn Sampler", JMLR
15 (2014), with the multinomial choice of states and the criterion of Betancourt, "A Conceptual Introduction to
Hamiltonian Monte Carlo", arXiv:1701.02434 (2017). Trees grow without recursion, as in Phan, Pradhan and
Jankowiak, arXiv:1912.11554 (2019). ``nuts_scale.py`` is what the warm-up learns, in windows that double, as in Stan's
reference manual: where a posterior is nearly normal by that, steps are split as in Shahbaba, Lan, Johnson and Neal, "Split
Hamiltonian Monte Carlo", Statistics and Computing 24 (2014), and trajectories end at a quarter of a turn.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

import nbgrad as ng
from nbgrad.examples.nuts_scale import (
    CENTRE,
    CHOSEN_G,
    CHOSEN_X,
    CHOSEN_Z,
    FLAT,
    KEPT,
    LEFT_G,
    LEFT_R,
    LEFT_Z,
    MAX_DEPTH,
    NEW_G,
    NEW_X,
    NEW_Z,
    PART,
    QUARTER,
    RIGHT_R,
    RIGHT_Z,
    SIZE,
    SUM,
    SUMS,
    ZERO,
    add,
    averaged,
    copy,
    fast,
    improve,
    memory,
    pull,
    stretch,
    uncounted,
    window_ends,
    within,
)  # fmt: skip
from nbgrad.examples.posteriors import eight_schools, regression

DIVERGED = 1000.0  # an error in the energy that ends a trajectory
LIKELIEST = 300.0


class Draws(NamedTuple):
    """What a chain gives: draws, its step and scale, gradients of all trajectories, divergences."""

    draws: Any
    step: float
    scale: Any
    gradients: int
    diverged: int
    accepted: float


@within
def started(rng: Any, w: Any, r: int) -> Any:
    """Draw a momentum to row *r*; its kinetic energy."""
    total = 0.0
    for i in range(w.shape[1]):
        w[r, i] = rng.standard_normal()
        total += w[r, i] * w[r, i]
    return 0.5 * total


@within
def drift(scale: Any, w: Any, x: Any, z: int, step: float, split: bool) -> None:
    """Half a step of the momentum ``w[z + 1]`` and one of the point ``w[z]``, which is *x*.

    It is *split* where the posterior is nearly a round normal one: what that does is a rotation, exactly, and only the rest of
    the gradient ``w[z + 2]`` is a force.
    """
    half, normal, c, s, ahead = 0.5 * step, 0.0, 1.0, 0.0, step
    if split:
        normal, c, s, ahead = half, np.cos(step), np.sin(step), np.sin(step)
    for i in range(x.size):
        at = w[z, i]
        moving = w[z + 1, i] + half * w[z + 2, i] + normal * at
        w[z + 1, i] = c * moving - s * at
        at = c * at + ahead * moving
        w[z, i], x[i] = at, w[CENTRE, i] + w[SIZE, i] * at
    if w[FLAT, 0] == 0.0:
        stretch(scale, w, z, x)


@within
def kick(scale: Any, w: Any, slope: Any, z: int, step: float, split: bool) -> Any:
    """The other half of a step of the momentum, by the *slope* at x: its kinetic energy. It is added to ``w[PART]``."""
    half, normal, energy = 0.5 * step, 0.5 * step if split else 0.0, 0.0
    if w[FLAT, 0] == 0.0:
        pull(scale, slope)
    for i in range(slope.size):
        g = w[SIZE, i] * slope[i]
        moving = w[z + 1, i] + half * g + normal * w[z, i]
        w[z + 1, i], w[z + 2, i] = moving, g
        w[PART, i] += moving
        energy += moving * moving
    return 0.5 * energy


@fast
def valued(density: Any, x: Any, slope: Any) -> Any:
    """The log-density at x: it gives the *slope* that it writes, too, which must be counted once more, and then no longer."""
    return density(x, slope)[0]


@within
def leapfrog(density: Any, scale: Any, w: Any, x: Any, slope: Any, z: int, step: float, split: bool) -> Any:  # fmt: skip
    """One step of rows ``z, z + 1, z + 2``, in place; the log-density where it ends, and the kinetic energy."""
    drift(scale, w, x, z, step, split)
    value = valued(density, x, slope)
    return value, kick(scale, w, slope, z, step, split)


@within
def turns(w: Any, one: int, other: int, total: int, before: int, split: bool) -> bool:
    """Whether a trajectory between two momenta turns back, of sums of momenta to its end, and before it: all are rows.

    In a round posterior all directions turn alike: there it ends where the momenta are at right angles, and draws are
    independent. Half a turn would lead to the opposite point, which is the same one for variances.
    """
    a = b = 0.0
    if split:
        for i in range(w.shape[1]):
            a += w[one, i] * w[other, i]
        return a <= 0.0
    for i in range(w.shape[1]):
        middle = w[total, i] - w[before, i] - 0.5 * (w[one, i] + w[other, i])
        a += w[one, i] * middle
        b += w[other, i] * middle
    return a <= 0.0 or b <= 0.0


@within
def ends_a_turn(n: int, w: Any, r: int, split: bool) -> bool:
    """Whether a part of a tree that leaf *n* ends turns back; even leaves are kept to be asked."""
    place, m = 0, n >> 1
    while m:
        place += m & 1
        m >>= 1
    if n % 2 == 0:
        for i in range(w.shape[1]):
            w[KEPT + place, i], w[SUMS + place, i] = w[r, i], w[PART, i] - w[r, i]
        return False
    while n & 1:
        if turns(w, KEPT + place, r, PART, SUMS + place, split):
            return True
        n >>= 1
        place -= 1
    return False


@uncounted
def grow(rng: Any, density: Any, depth: int, step: float, energy: float, scale: Any, w: Any, x: Any, slope: Any, z: int, split: bool) -> Any:  # fmt: skip
    """A tree of 2**depth leaves from rows *z* on: weight, accepted, leaves, whether it ends well, the choice's value.

    Its sum of momenta is ``w[PART]``, its choice ``w[NEW_Z]``.
    """
    weight, accepted, leaves, chosen = 0.0, 0.0, 0, 0.0
    for i in range(w.shape[1]):
        w[PART, i] = 0.0
    for n in range(1 << depth):
        value, moving = leapfrog(density, scale, w, x, slope, z, step, split)
        error = moving - value - energy
        leaves += 1
        if not error < DIVERGED:
            return weight, accepted, leaves, 2, chosen
        # Of states that are likelier by far than the first, all count the same: it is a bad start.
        likelier = np.exp(min(-error, LIKELIEST))
        accepted += min(1.0, likelier)
        before = weight
        weight += likelier
        if rng.random() * weight < likelier:
            for i in range(w.shape[1]):
                w[NEW_Z, i], w[NEW_G, i], w[NEW_X, i] = w[z, i], w[z + 2, i], x[i]
            chosen = value
        if ends_a_turn(n, w, z + 1, split):
            return before, accepted, leaves, 1, chosen
    return weight, accepted, leaves, 0, chosen


@within
def transition(rng: Any, density: Any, value: float, step: float, scale: Any, w: Any, x: Any, slope: Any, split: bool) -> Any:  # fmt: skip
    """One draw from ``w[CHOSEN_Z], w[CHOSEN_G]``: its value, accepted, leaves, whether it diverged."""
    energy = started(rng, w, SUM) - value
    for z in (LEFT_Z, RIGHT_Z):
        copy(w, CHOSEN_Z, z, 1)
        copy(w, SUM, z + 1, 1)
        copy(w, CHOSEN_G, z + 2, 1)
    weight, accepted, leaves = 1.0, 0.0, 0
    for depth in range(MAX_DEPTH):
        forward = rng.random() < 0.5
        z, signed = (RIGHT_Z, step) if forward else (LEFT_Z, -step)
        more, a, count, ended, chosen = grow(
            rng, density, depth, signed, energy, scale, w, x, slope, z, split
        )
        accepted += a
        leaves += count
        if ended:
            return value, accepted, leaves, ended == 2
        if rng.random() * weight < more:
            copy(w, NEW_Z, CHOSEN_Z, 3)
            value = chosen
        weight += more
        add(w, PART, SUM)
        if turns(w, LEFT_R, RIGHT_R, SUM, ZERO, split):
            break
    return value, accepted, leaves, False


@uncounted
def first_step(rng: Any, density: Any, scale: Any, w: Any, x: Any, slope: Any, split: bool) -> Any:  # fmt: skip
    """The value and the gradient of the chosen draw, and a step that is accepted by about a half."""
    value, step, direction = 0.0, 0.0, 0
    for k in range(51):
        copy(w, CHOSEN_Z, LEFT_Z, 1)
        copy(w, CHOSEN_G, LEFT_G, 1)
        energy = started(rng, w, LEFT_R) - value
        found, moving = leapfrog(density, scale, w, x, slope, LEFT_Z, step, split)
        if k == 0:  # a step of no length
            copy(w, LEFT_G, CHOSEN_G, 1)
            value, step = found, 1.0
            continue
        error = moving - found - energy
        now = 1 if error < 0.2231 else -1  # log(0.8)
        if direction != 0 and now != direction:
            break
        direction = now
        step *= 2.0**direction
        if split and step > QUARTER:
            return value, QUARTER
    return value, step


@uncounted
def several(rng: Any, density: Any, value: float, step: float, split: bool, scale: Any, w: Any, x: Any, slope: Any, state: Any, target: float, draws: Any, slopes: Any) -> Any:  # fmt: skip
    """Fill *draws*: the last value, the step, and of all trajectories gradients, divergences and the share accepted.

    Where *slopes* are asked for, too, both are by z, and the step is found and learnt, by *state*.
    """
    learning, gradients, diverged, rate = slopes.shape[1] > 0, 0, 0, 0.0
    rows = CHOSEN_Z if learning else CHOSEN_X
    if learning:
        value, step = first_step(rng, density, scale, w, x, slope, split)
        state[0], state[1], state[2], state[3] = np.log(10 * step), 0.0, np.log(step), 0.0
    for t in range(draws.shape[0]):
        value, accepted, leaves, broke = transition(
            rng, density, value, step, scale, w, x, slope, split
        )
        for i in range(x.size):
            draws[t, i] = w[rows, i]
        if learning:
            step = averaged(state, accepted / leaves, target, split)
            for i in range(x.size):
                slopes[t, i] = w[CHOSEN_G, i]
        gradients += leaves
        diverged += broke
        rate += accepted / leaves / draws.shape[0]
    return value, np.exp(state[2]), gradients, diverged, rate


def chain(rng: Any, density: Any, start: Any, scale: Any, warmup: int, count: int, target: float) -> Draws:  # fmt: skip
    """Draws from *density*, which writes the gradient to its second argument, from *start* on.

    Python goes through the windows of the warm-up: Numba optimises a function with all that it calls, which is then optimised
    once more for each function that is between it and the outermost.
    """
    n, value, step, split, gradients, begun = start.size, 0.0, 0.0, False, 0, 0
    w, x, slope, state = memory(n), np.zeros(n), np.zeros(n), np.zeros(4)
    w[CHOSEN_Z] = start
    for end in (*window_ends(warmup), warmup):
        draws, slopes = np.empty((2, end - begun, n))
        value, step, leaves, _, _ = several(
            rng, density, value, step, split, scale, w, x, slope, state, target, draws, slopes
        )
        gradients += leaves
        if end < warmup:
            split = improve(scale, w, draws, slopes)
        begun = end
    draws = np.empty((count, n))
    _, _, leaves, diverged, rate = several(
        rng, density, value, step, split, scale, w, x, slope, state, target, draws, slopes[:, :0]
    )
    learnt = scale if len(scale) else w[SIZE]
    return Draws(draws, step, learnt, gradients + leaves, diverged, rate)


def sample(density: Any, start: Any, warmup: int = 1000, count: int = 1000, chains: int = 4, seed: int = 0, target: float = 0.8, threads: int = 1, dense: bool | None = None) -> list[Draws]:  # fmt: skip
    """Chains of draws: *density* is the ``value_and_grad`` of a log-density of a vector.

    *target* is the share of steps that is accepted: 0.8, as Stan has it, is careful. A *dense* scale learns correlations: it
    costs two products of a triangle and a vector a step, but where correlations turn out to be weak. If not said, it is for
    at most 200 dimensions, and a warm-up of five draws for each. It is where steps may be split.
    """
    n = len(start)
    if dense is None:
        dense = n <= 200 and warmup >= 5 * n
    starts = start + np.random.default_rng(seed).uniform(-2, 2, (chains, n))

    def run(k: int) -> Draws:
        scale = np.eye(n) if dense else np.empty((0, n))
        rng = np.random.default_rng((seed, k))
        return chain(rng, density, starts[k], scale, warmup, count, target)

    if threads == 1:
        return [run(k) for k in range(chains)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(chains)))


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
        sample(c.value_and_grad, np.zeros(n), 40, 10, 1, dense=True)  # compiled, or read from disk
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
