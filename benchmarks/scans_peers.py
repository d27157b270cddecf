"""Loops by ``scan`` beside PyTensor and Equinox: ``python -m benchmarks.scans_peers``.

Each as its users write it, float64, paired in one process; for one thread set OMP_NUM_THREADS,
OPENBLAS_NUM_THREADS and NUMBA_NUM_THREADS to 1, and XLA_FLAGS to
``--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1``. JAX is in ``benchmarks.scans``. PyTensor
declares an older Numba than nbgrad needs, and runs with the newer one: install it with ``--no-deps``.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.paired import compare
from benchmarks.scans import BODIES, CASES, ROUNDS, STEP, Case, ours, runge_kutta

Step = Callable[[], Any]


def by_pytensor(case: Case, mode: str) -> Step:
    """Sixteen bodies by PyTensor's scan, compiled for *mode*."""
    pytensor = importlib.import_module("pytensor")
    pt = pytensor.tensor
    p, v, m = pt.dmatrix("p"), pt.dmatrix("v"), pt.dvector("m")

    def pull(p: Any, m: Any) -> Any:
        d = p[None, :, :] - p[:, None, :]
        r2 = (d * d).sum(axis=2) + 0.01
        w = m[None, :] / (r2 * pt.sqrt(r2))
        return (d * w[:, :, None]).sum(axis=1)

    def step(p: Any, v: Any, m: Any) -> Any:
        v = v + STEP / 2 * pull(p, m)
        p = p + STEP * v
        return p, v + STEP / 2 * pull(p, m)

    ps, vs = pytensor.scan(
        step, outputs_info=[p, v], non_sequences=[m], n_steps=ROUNDS, return_updates=False
    )
    loss = (ps[-1] ** 2).sum() + (vs[-1] ** 2).sum()
    compiled = pytensor.function(
        [p, v, m], pytensor.grad(loss, [p, v, m]), mode=mode, trust_input=True
    )
    return lambda: compiled(*case.args)


def bodies_by_jax(case: Case, carried: bool) -> Step:
    """Sixteen bodies by ``lax.scan``; *carried*: whoever wrote it hands the forces on."""
    jax = importlib.import_module("jax")
    jnp = jax.numpy

    def pull(p: Any, m: Any) -> Any:
        d = p[None, :, :] - p[:, None, :]
        r2 = (d * d).sum(axis=2) + 0.01
        w = m[None, :] / (r2 * jnp.sqrt(r2))
        return (d * w[:, :, None]).sum(axis=1)

    def step(state: Any, _: Any) -> Any:
        p, v, a, m = state
        v = v + STEP / 2 * (a if carried else pull(p, m))
        p = p + STEP * v
        a = pull(p, m)
        return (p, v + STEP / 2 * a, a, m), None

    def loss(p: Any, v: Any, m: Any) -> Any:
        (p, v, _, _), _ = jax.lax.scan(step, (p, v, pull(p, m), m), None, ROUNDS)
        return (p * p).sum() + (v * v).sum()

    compiled = jax.jit(jax.grad(loss, (0, 1, 2)))
    args = [jnp.asarray(a) for a in case.args]
    return lambda: jax.block_until_ready(compiled(*args))


def by_equinox(case: Case, checkpoints: int | None) -> Step:
    """Runge and Kutta's method by Equinox's ``while_loop``, its states kept at so many places."""
    jax = importlib.import_module("jax")
    while_loop = importlib.import_module("equinox.internal").while_loop
    count = case.steps

    def loss(*args: Any) -> Any:
        rates, start = args[:4], args[4:]
        going = lambda state: state[0] < count
        step = lambda state: (state[0] + 1, *runge_kutta(state[1:], rates))
        options = {"max_steps": count, "kind": "checkpointed", "checkpoints": checkpoints}
        return sum(while_loop(going, step, (0, *start), **options)[1:])

    compiled = jax.jit(jax.grad(loss, case.wanted))
    args = [jax.numpy.asarray(a) for a in case.args]
    return lambda: jax.block_until_ready(compiled(*args))


SIXTEEN, RK4 = f"{BODIES} bodies, 1,000 leapfrog steps", next(iter(CASES))
PEERS: Sequence[tuple[str, str, Callable[[Case], Step]]] = (
    (SIXTEEN, "JAX, lax.scan", lambda case: bodies_by_jax(case, False)),
    (SIXTEEN, "JAX, lax.scan, forces carried", lambda case: bodies_by_jax(case, True)),
    (SIXTEEN, "PyTensor, Numba", lambda case: by_pytensor(case, "NUMBA")),
    (SIXTEEN, "PyTensor, C", lambda case: by_pytensor(case, "CVM")),
    (RK4, "Equinox, checkpointed, checkpoints of its choice", lambda case: by_equinox(case, None)),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scans_peers", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="rows with this in them")
    only = parser.parse_args().only
    print("| loop | rival | nbgrad, ns a step | rival, ns a step | rival / nbgrad |")
    print("|---|---|---|---|---|")
    for name, rival, make in PEERS:
        if only not in f"{name} {rival}":
            continue
        case = CASES[name]
        mine, its = ours(case), make(case)
        for a, b in zip(mine(), its(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
        pair, each = compare(mine, its), 1e3 / case.steps
        times = f"{pair.ours * each:.4g} | {pair.theirs * each:.4g} | {1 / pair.ratio:.1f}"
        print(f"| {name} | {rival} | {times} |", flush=True)


if __name__ == "__main__":
    main()
