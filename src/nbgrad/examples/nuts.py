"""The No-U-Turn Sampler, wholly in compiled code: the gradient is a function of ``nbgrad.compile``.

Run ``python -m nbgrad.examples.nuts``. The sampler is that of Hoffman and Gelman, "The No-U-Turn Sampler", JMLR
15 (2014), with the multinomial choice of states and the criterion of Betancourt, "A Conceptual Introduction to
Hamiltonian Monte Carlo", arXiv:1701.02434 (2017). Trees grow without recursion, as in Phan, Pradhan and
Jankowiak, arXiv:1912.11554 (2019). The step is found by dual averaging (section 3.2 of the first). It samples z of
``x = scale @ z`` with masses of one: the scale, a diagonal or a triangle, is found in windows of the warm-up that
double, as in Stan's reference manual, of draws and gradients both, as nutpie does (Seyboldt, Carlson and Carpenter,
"Preconditioning Hamiltonian Monte Carlo by Minimizing Fisher Divergence", 2026).
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
from nbgrad.examples.posteriors import eight_schools, regression

Function = TypeVar("Function", bound=Callable[..., Any])
# No tests for divisions by zero, sums in any order, and other threads of Python go on.
fast: Callable[[Function], Function] = njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc"}
)
DIVERGED = 1000.0  # an error in the energy that ends a trajectory
LIKELIEST = 300.0
MAX_DEPTH = 10
# Rows of the memory of a tree.
(LEFT_Z, LEFT_R, LEFT_G, RIGHT_Z, RIGHT_R, RIGHT_G, CHOSEN_Z, CHOSEN_G, CHOSEN_X, SUM, NEW_Z, NEW_G, NEW_X, PART, Z, R, G, X, SLOPE, ZERO, VALUE) = range(21)  # fmt: skip


class Draws(NamedTuple):
    """What a chain gives: draws, its step and scale, gradients of all trajectories, divergences."""

    draws: Any
    step: float
    scale: Any
    gradients: int
    diverged: int
    accepted: float


@fast
def kinetic(r: Any) -> Any:
    total = 0.0
    for i in range(r.size):
        total += r[i] * r[i]
    return 0.5 * total


@fast
def stretch(scale: Any, z: Any, x: Any) -> None:
    """``x = scale @ z``, of a triangle or a diagonal: loops, as BLAS would go through the other triangle, too."""
    for i in range(z.size):
        if scale.ndim == 1:
            x[i] = scale[i] * z[i]
        else:
            total = 0.0
            for j in range(i + 1):
                total += scale[i, j] * z[j]
            x[i] = total


@fast
def pull(scale: Any, slope: Any, g: Any) -> None:
    """``g = scale.T @ slope``: the gradient by z."""
    for i in range(g.size):
        if scale.ndim == 1:
            g[i] = scale[i] * slope[i]
        else:
            g[i] = 0.0
            a = slope[i]
            for j in range(i + 1):
                g[j] += scale[i, j] * a


@fast
def seen(density: Any, scale: Any, w: Any) -> Any:
    """The log-density at ``w[X] = scale @ w[Z]``; its gradient by z is ``w[G]``."""
    stretch(scale, w[Z], w[X])
    value = density(w[X], w[SLOPE])[0]
    pull(scale, w[SLOPE], w[G])
    return value


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
def leapfrog(density: Any, scale: Any, w: Any, step: float) -> Any:
    """One step, in place; the log-density where it ends."""
    for i in range(w.shape[1]):
        w[R, i] += 0.5 * step * w[G, i]
        w[Z, i] += step * w[R, i]
    value = seen(density, scale, w)
    for i in range(w.shape[1]):
        w[R, i] += 0.5 * step * w[G, i]
    return value


@fast
def turns(one: Any, other: Any, total: Any, before: Any) -> bool:
    """Whether a trajectory between two momenta turns back, of sums of momenta to its end, and before it."""
    a = b = 0.0
    for i in range(one.size):
        middle = total[i] - before[i] - 0.5 * (one[i] + other[i])
        a += one[i] * middle
        b += other[i] * middle
    return a <= 0.0 or b <= 0.0


@fast
def ends_a_turn(n: int, r: Any, total: Any, kept: Any, sums: Any) -> bool:
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
        if turns(kept[place], r, total, sums[place]):
            return True
        n >>= 1
        place -= 1
    return False


@fast
def grow(rng: Any, density: Any, depth: int, step: float, energy: float, scale: Any, w: Any, kept: Any, sums: Any) -> Any:  # fmt: skip
    """A tree of 2**depth leaves from ``w[Z], w[R], w[G]``: weight, accepted, leaves, whether it ends well.

    Its sum of momenta is ``w[PART]``, its choice ``w[NEW_Z]``.
    """
    weight, accepted, leaves = 0.0, 0.0, 0
    w[PART] = 0.0
    for n in range(1 << depth):
        value = leapfrog(density, scale, w, step)
        error = kinetic(w[R]) - value - energy
        leaves += 1
        if not error < DIVERGED:
            return weight, accepted, leaves, 2
        # Of states that are likelier by far than the first, all count the same: it is a bad start.
        likelier = np.exp(min(-error, LIKELIEST))
        accepted += min(1.0, likelier)
        before = weight
        weight += likelier
        if rng.random() * weight < likelier:
            copy(w, Z, NEW_Z, 1)
            copy(w, G, NEW_G, 2)
            w[VALUE, 0] = value
        add(w, R, PART)
        if ends_a_turn(n, w[R], w[PART], kept, sums):
            return before, accepted, leaves, 1
    return weight, accepted, leaves, 0


@fast
def transition(rng: Any, density: Any, value: float, step: float, scale: Any, w: Any, kept: Any, sums: Any) -> Any:  # fmt: skip
    """One draw from ``w[CHOSEN_Z], w[CHOSEN_G]``: its value, accepted, leaves, whether it diverged."""
    for i in range(w.shape[1]):
        w[R, i] = rng.standard_normal()
    energy = kinetic(w[R]) - value
    for first in (LEFT_Z, RIGHT_Z):
        copy(w, CHOSEN_Z, first, 1)
        copy(w, R, first + 1, 1)
        copy(w, CHOSEN_G, first + 2, 1)
    copy(w, R, SUM, 1)
    w[ZERO] = 0.0
    weight, accepted, leaves = 1.0, 0.0, 0
    for depth in range(MAX_DEPTH):
        forward = rng.random() < 0.5
        first = RIGHT_Z if forward else LEFT_Z
        copy(w, first, Z, 3)
        signed = step if forward else -step
        more, a, count, ended = grow(rng, density, depth, signed, energy, scale, w, kept, sums)
        accepted += a
        leaves += count
        if ended:
            return value, accepted, leaves, ended == 2
        copy(w, Z, first, 3)
        if rng.random() * weight < more:
            copy(w, NEW_Z, CHOSEN_Z, 3)
            value = w[VALUE, 0]
        weight += more
        add(w, PART, SUM)
        if turns(w[LEFT_R], w[RIGHT_R], w[SUM], w[ZERO]):
            break
    return value, accepted, leaves, False


@fast
def first_step(rng: Any, density: Any, value: float, scale: Any, w: Any) -> Any:
    """A step that is accepted by about a half."""
    step, direction = 1.0, 0
    for _ in range(50):
        w[Z], w[G] = w[CHOSEN_Z], w[CHOSEN_G]
        for i in range(w.shape[1]):
            w[R, i] = rng.standard_normal()
        energy = kinetic(w[R]) - value
        found = leapfrog(density, scale, w, step)
        error = kinetic(w[R]) - found - energy
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
def moments(x: Any) -> Any:
    """The covariance of rows, and of one more that says that it is the identity."""
    n, size = x.shape
    means = np.zeros(size)
    for k in range(n):
        means += x[k] / n
    centred = x - means
    return (np.dot(centred.T, centred) + np.eye(size)) / (n + 1)


@fast
def improve(scale: Any, w: Any, draws: Any, slopes: Any) -> None:
    """Set the scale by a window's draws and gradients, both by z.

    The gradients of a normal posterior are ``S @ z``, S the inverse of its covariance. If C is the covariance of
    some draws, and G that of their gradients, then ``G = S @ C @ S``: there is one S that says so, which is exact
    for more draws than dimensions. A diagonal comes first, so that what few draws do not tell is of its scale.
    """
    root = np.empty(w.shape[1])
    for i in range(root.size):
        root[i] = ((np.var(draws[:, i]) + 1e-10) / (np.var(slopes[:, i]) + 1e-10)) ** 0.25
    w[CHOSEN_Z] /= root
    w[CHOSEN_G] *= root
    scale *= root
    if scale.ndim == 2:
        half = np.linalg.cholesky(moments(slopes * root))
        values, vectors = np.linalg.eigh(np.dot(half.T, np.dot(moments(draws / root), half)))
        wide = np.linalg.solve(half.T, vectors * values**0.25)  # wide @ wide.T is 1 / S
        lower = np.linalg.cholesky(np.dot(wide, wide.T))
        scale[:] = np.dot(scale, lower)
        w[CHOSEN_Z] = np.linalg.solve(lower, w[CHOSEN_Z])
        w[CHOSEN_G] = np.dot(lower.T, w[CHOSEN_G])


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
def warm(rng: Any, density: Any, scale: Any, w: Any, warmup: int, target: float, kept: Any, sums: Any) -> Any:  # fmt: skip
    """Find the step and the scale: the value of the chosen draw, the step, how many gradients it took."""
    draws, slopes = np.zeros((warmup, w.shape[1])), np.zeros((warmup, w.shape[1]))
    copy(w, CHOSEN_Z, Z, 1)
    value = seen(density, scale, w)
    copy(w, G, CHOSEN_G, 2)
    step = first_step(rng, density, value, scale, w)
    state = np.array([np.log(10 * step), 0.0, 0.0, 0.0])
    begun, ends = window_ends(warmup)
    which, gradients = 0, 0
    for t in range(warmup):
        value, accepted, leaves, _ = transition(rng, density, value, step, scale, w, kept, sums)
        gradients += leaves
        step = averaged(state, accepted / leaves, target)
        draws[t], slopes[t] = w[CHOSEN_Z], w[CHOSEN_G]
        if which < len(ends) and t + 1 == ends[which]:
            improve(scale, w, draws[begun : t + 1], slopes[begun : t + 1])
            begun = t + 1
            which += 1
    return value, np.exp(state[2]), gradients


@fast
def chain(rng: Any, density: Any, start: Any, scale: Any, warmup: int, count: int, target: float) -> Any:  # fmt: skip
    """Draws from *density*, which writes the gradient to its second argument, from *start* on."""
    n = start.size
    w, kept, sums = np.zeros((21, n)), np.zeros((MAX_DEPTH + 1, n)), np.zeros((MAX_DEPTH + 1, n))
    w[CHOSEN_Z] = start
    value, step, gradients = warm(rng, density, scale, w, warmup, target, kept, sums)
    draws = np.empty((count, n))
    diverged, rate = 0, 0.0
    for t in range(count):
        value, accepted, leaves, broke = transition(
            rng, density, value, step, scale, w, kept, sums
        )
        draws[t] = w[CHOSEN_X]
        gradients += leaves
        diverged += broke
        rate += accepted / leaves / count
    return draws, step, scale, gradients, diverged, rate


def sample(density: Any, start: Any, warmup: int = 1000, count: int = 1000, chains: int = 4, seed: int = 0, target: float = 0.8, threads: int = 1, dense: bool = False) -> list[Draws]:  # fmt: skip
    """Chains of draws: *density* is the ``value_and_grad`` of a log-density of a vector.

    *target* is the share of steps that is accepted: 0.8, as Stan has it, is careful. Of a posterior that is nearly
    normal and has many dimensions 0.65 is best (Beskos et al., Bernoulli 19, 2013). A *dense* scale learns
    correlations: it costs two products of a triangle and a vector a step.
    """
    n = len(start)
    starts = start + np.random.default_rng(seed).uniform(-2, 2, (chains, n))

    def run(k: int) -> Draws:
        scale = np.eye(n) if dense else np.ones(n)
        rng = np.random.default_rng((seed, k))
        return Draws(*chain(rng, density, starts[k], scale, warmup, count, target))

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
    models: Any = {
        "eight schools": (eight_schools, 10, {}),
        "regression": (regression()[0], 100, {"dense": True, "target": 0.7}),
    }
    results = {}
    for name, (density, n, how) in models.items():
        c = ng.compile(density, np.zeros(n))
        sample(c.value_and_grad, np.zeros(n), 10, 10, 1, **how)  # compiled, or read from disk
        began = time.perf_counter()
        chains = sample(c.value_and_grad, np.zeros(n), options.draws, options.draws, **how)
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
