"""Fits of an adaptive integration, value and gradient: ``python -m benchmarks.odes``.

Lotka and Volterra's equations, 100 data points, tolerance 1e-8, by Dormand and Prince's method in all
libraries: paired with JAX's Diffrax and ``odeint``, and PyTorch's torchdiffeq, where they are installed.
Everything is compiled where the library can. The gradient is compared with central differences of SciPy's
solution at a tolerance of 1e-13.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

import nbgrad as ng
from benchmarks.paired import compare

try:
    import diffrax
    import jax
    from jax.experimental.ode import odeint as jax_odeint

    jax.config.update("jax_enable_x64", True)
except ImportError:
    jax = None
try:
    import torch
    import torchdiffeq

    torch.set_num_threads(1)
except ImportError:
    torch = None

P = np.array([1.1, 0.4, 0.1, 0.4])
Y0 = np.array([10.0, 5.0])
TIMES = np.linspace(0.0, 20.0, 101)
TOLERANCE = 1e-8
Run = Callable[[Any], Any]


def slope(y: Any, p: Any) -> list[Any]:
    return [p[0] * y[0] - p[1] * y[0] * y[1], p[2] * y[0] * y[1] - p[3] * y[1]]


@cache
def data() -> Any:
    """Of other parameters, with noise."""
    noise = 0.1 * np.random.default_rng(0).normal(size=(100, 2))
    return exact(np.array([1.0, 0.38, 0.11, 0.42])) + noise


def exact(p: Any) -> Any:
    span = TIMES[[0, -1]]
    f = lambda t, y: slope(y, p)
    return solve_ivp(f, span, Y0, "DOP853", TIMES, rtol=1e-13, atol=1e-13).y.T[1:]


def differences() -> Any:
    """The gradient of the loss, by central differences."""
    loss = lambda p: ((exact(p) - data()) ** 2).mean()
    steps = np.eye(4) * 1e-5
    return np.array([(loss(P + e) - loss(P - e)) / 2e-5 for e in steps])


def ours(adjoint: str) -> Run:
    def loss(p: Any) -> Any:
        y = ng.integrate.odeint(
            lambda y, t, p: slope(y, p), Y0, TIMES, p,
            rtol=TOLERANCE, atol=TOLERANCE, adjoint=adjoint,
        )  # fmt: skip
        return ((y[1:] - data()) ** 2).mean()

    return ng.jit(ng.value_and_grad(loss))  # type: ignore[no-any-return]


def by_diffrax(adjoint: Any) -> Run:
    numpy = jax.numpy
    term = diffrax.ODETerm(lambda t, y, p: numpy.stack(slope(y, p)))
    steps = diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE)

    def loss(p: Any) -> Any:
        found = diffrax.diffeqsolve(
            term, diffrax.Dopri5(), 0.0, 20.0, None, numpy.asarray(Y0), p,
            saveat=diffrax.SaveAt(ts=numpy.asarray(TIMES[1:])), stepsize_controller=steps,
            adjoint=adjoint,
        )  # fmt: skip
        return ((found.ys - data()) ** 2).mean()

    return _of_jax(loss)


def by_jax() -> Run:
    numpy = jax.numpy

    def loss(p: Any) -> Any:
        f = lambda y, t, p: numpy.stack(slope(y, p))
        y = jax_odeint(
            f, numpy.asarray(Y0), numpy.asarray(TIMES), p, rtol=TOLERANCE, atol=TOLERANCE
        )
        return ((y[1:] - data()) ** 2).mean()

    return _of_jax(loss)


def _of_jax(loss: Any) -> Run:
    compiled = jax.jit(jax.value_and_grad(loss))
    return lambda p: jax.block_until_ready(compiled(p))


def by_torch() -> Run:
    start, times, wanted = map(torch.from_numpy, (Y0, TIMES, data()))

    def run(p: Any) -> Any:
        given = torch.tensor(p, requires_grad=True)
        f = lambda t, y: torch.stack(slope(y, given))
        y = torchdiffeq.odeint(f, start, times, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5")
        loss = ((y[1:] - wanted) ** 2).mean()
        loss.backward()
        return loss.item(), given.grad.numpy()

    return run


def rivals() -> dict[str, Callable[[], Run]]:
    found: dict[str, Callable[[], Run]] = {}
    if jax:
        found |= {
            "Diffrax, through the steps": lambda: by_diffrax(diffrax.RecursiveCheckpointAdjoint()),
            "Diffrax, adjoint equation": lambda: by_diffrax(diffrax.BacksolveAdjoint()),
            "jax.experimental.ode.odeint, adjoint equation": by_jax,
        }
    if torch:
        found["torchdiffeq, through the steps"] = by_torch
    return found


def settled(run: Run, seconds: float) -> float:
    """Call it for so long, and return how long the first call took: machine code is made meanwhile."""
    begin = time.perf_counter()
    run(P)
    first = time.perf_counter() - begin
    while time.perf_counter() - begin < seconds:
        run(P)
        time.sleep(0.05)
    return first


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.odes", description=__doc__)
    parser.add_argument("--settle", type=float, default=60.0, help="seconds of calls beforehand")
    options = parser.parse_args()
    wanted = differences()
    for adjoint in ("discrete", "continuous"):
        mine = ours(adjoint)
        first = settled(mine, options.settle)
        apart = abs(mine(P)[1] / wanted - 1).max()
        print(f"nbgrad, {adjoint}: first call {first:.2f} s, from differences {apart:.1e}")
        print("| rival | nbgrad, µs | rival, µs | rival / nbgrad | from differences |")
        for name, make in rivals().items():
            its = make()
            apart = abs(np.asarray(its(P)[1]) / wanted - 1).max()
            pair = compare(lambda mine=mine: mine(P), lambda its=its: its(P))
            print(
                f"| {name} | {pair.ours:.4g} | {pair.theirs:.4g} | {1 / pair.ratio:.1f} | {apart:.1e} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
