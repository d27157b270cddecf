"""Effective samples a second: the sampler in ``@njit`` with ``nbgrad.compile`` beside NumPyro and nutpie.

    python -m benchmarks.samplers [schools] [regression] [nbgrad] [numpyro] [nutpie] [nutpie+nbgrad] ...

Four chains, one after the other on one core, of 1000 draws after 1000 of warm-up; the time is the processor's, of both, and
without what is compiled before. The effective sample size is that of the worst parameter, by one estimator for all:
split chains, Geyer's initial monotone sequence (Gelman et al., "Bayesian Data Analysis", 11.5); that of squares, which
variances are of, stands beside it: draws that lie opposite one another are good for means alone. nutpie samples a
model of PyMC's, compiled by PyTensor for Numba, or the density of nbgrad's. What is not installed is left out.

Each is as it comes (``plain``), and with the same setting as the others: ``diagonal`` is of ours what the peers have as they
come; ``tuned`` is of the peers a scale that learns correlations and a target of acceptance of 0.7, which is best for a
normal posterior. Ours learns correlations as it comes. The regression of 200 rows of normal numbers on 100 columns has a
normal posterior whose variances differ by a factor of 34 (of 29 where each is scaled by its own).
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import numpy as np

import nbgrad as ng
from nbgrad.examples import nuts, posteriors

WARMUP = COUNT = 1000
CHAINS = 4
ROUNDS = 9
PAUSE = 0.5  # seconds
TARGET = 0.7


def effective(draws: Any) -> float:
    """The effective sample size of *draws*, chains by draws by parameters: that of the worst parameter."""
    half = draws.shape[1] // 2
    split = np.concatenate([draws[:, :half], draws[:, half : 2 * half]])
    return min(_effective(split[:, :, k]) for k in range(draws.shape[2]))


def _effective(x: Any) -> float:
    chains, n = x.shape
    centred = x - x.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(centred, 2 * n, axis=1)) ** 2
    covariance = np.fft.irfft(spectrum, axis=1)[:, :n] / n
    within = covariance[:, 0].mean() * n / (n - 1)
    total = within * (n - 1) / n + x.mean(axis=1).var(ddof=1)
    rho = 1 - (within - covariance.mean(axis=0) * n / (n - 1)) / total
    pairs = rho[0 : n - n % 2 : 2] + rho[1::2][: n // 2]
    positive = np.minimum.accumulate(pairs[: np.argmax(np.append(pairs, -1.0) < 0)])
    return float(chains * n / max(-1 + 2 * positive.sum(), 1 / np.log10(chains * n)))


def spread(draws: Any) -> float:
    """The largest R-hat of split chains."""
    half = draws.shape[1] // 2
    split = np.concatenate([draws[:, :half], draws[:, half : 2 * half]])
    within = split.var(axis=1, ddof=1).mean(axis=0)
    between = half * split.mean(axis=1).var(axis=0, ddof=1)
    return float(np.sqrt(((half - 1) / half * within + between / half) / within).max())


Sampler = Callable[[int], Any]


def density_of(model: str) -> tuple[Any, int]:
    if model == "schools":
        return posteriors.eight_schools, 10
    return posteriors.regression()[0], 100


def by_nbgrad(model: str, how: str) -> Sampler:
    density, n = density_of(model)
    c = ng.compile(density, np.zeros(n))
    dense = False if how == "diagonal" else None

    def run(seed: int) -> Any:
        found = nuts.sample(
            c.value_and_grad, np.zeros(n), WARMUP, COUNT, CHAINS, seed, dense=dense
        )
        return np.array([each.draws for each in found])

    return run


def data() -> tuple[Any, Any]:
    """What :func:`posteriors.regression` is of."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 100))
    return x, x @ rng.normal(size=100) + rng.normal(size=200)


def by_numpyro(model: str, how: str) -> Sampler:
    import jax
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    jax.config.update("jax_enable_x64", True)
    effects, errors = posteriors.SCHOOLS
    x, y = data()

    def schools() -> None:
        mean = numpyro.sample("mean", dist.Normal(0, 5))
        tau = numpyro.sample("tau", dist.HalfCauchy(5))
        raw = numpyro.sample("raw", dist.Normal(0, 1).expand([8]).to_event(1))
        numpyro.sample("y", dist.Normal(mean + tau * raw, errors), obs=effects)

    def regression() -> None:
        w = numpyro.sample("w", dist.Normal(0, 1).expand([100]).to_event(1))
        numpyro.sample("y", dist.Normal(x @ w, 1.0), obs=y)

    dense = {"dense_mass": True, "target_accept_prob": TARGET}
    options: dict[str, Any] = dense if how == "tuned" else {}
    mcmc = MCMC(
        NUTS(schools if model == "schools" else regression, **options),
        num_warmup=WARMUP, num_samples=COUNT, num_chains=CHAINS,
        chain_method="sequential", progress_bar=False,
    )  # fmt: skip

    def run(seed: int) -> Any:
        mcmc.run(jax.random.PRNGKey(seed))
        found = {k: np.asarray(v) for k, v in mcmc.get_samples(group_by_chain=True).items()}
        return draws_of(found)

    return run


def by_nutpie(model: str, how: str) -> Sampler:
    import nutpie
    import pymc as pm

    effects, errors = posteriors.SCHOOLS
    x, y = data()
    with pm.Model() as made:
        if model == "schools":
            mean, tau = pm.Normal("mean", 0, 5), pm.HalfCauchy("tau", 5)
            raw = pm.Normal("raw", 0, 1, shape=8)
            pm.Normal("y", mean + tau * raw, errors, observed=effects)
        else:
            w = pm.Normal("w", 0, 1, shape=100)
            pm.Normal("y", pm.math.dot(x, w), 1.0, observed=y)
    compiled = nutpie.compile_pymc_model(made, backend="numba")

    def run(seed: int) -> Any:
        found = nutpie_draws(compiled, seed, how)
        return draws_of({k: found[k].values for k in found.data_vars})

    return run


def nutpie_draws(compiled: Any, seed: int, how: str) -> Any:
    import nutpie

    dense = {"low_rank_modified_mass_matrix": True, "target_accept": TARGET}
    options: dict[str, Any] = dense if how == "tuned" else {}
    return nutpie.sample(
        compiled, draws=COUNT, tune=WARMUP, chains=CHAINS, cores=1, seed=seed, progress_bar=False, **options
    ).posterior  # fmt: skip


def by_both(model: str, how: str) -> Sampler:
    from nbgrad.native.adapters import nutpie_model

    density, n = density_of(model)
    compiled = nutpie_model(ng.compile(density, np.zeros(n)))
    return lambda seed: nutpie_draws(compiled, seed, how)["x"].values


def draws_of(found: dict[str, Any]) -> Any:
    """Parameters as nbgrad's sampler has them."""
    if "w" in found:
        return found["w"]
    return np.concatenate(
        [found["mean"][..., None], np.log(found["tau"])[..., None], found["raw"]], axis=2
    )


SAMPLERS = {
    "nbgrad": by_nbgrad,
    "numpyro": by_numpyro,
    "nutpie": by_nutpie,
    "nutpie+nbgrad": by_both,
}
# The rows of a posterior.
OURS, PEERS = [("nbgrad", "plain"), ("nbgrad", "diagonal")], list(SAMPLERS)[1:]
ROWS = {
    "schools": [*OURS, *((name, "plain") for name in PEERS)],
    "regression": [*OURS, *((name, how) for name in PEERS for how in ("plain", "tuned"))],
}


def measure(model: str, names: list[str]) -> dict[str, float]:
    """Print a row for each sampler, in turn; return effective samples a second."""
    made, results = {}, {}
    for name, how in [row for row in ROWS[model] if row[0] in names]:
        row = f"{name} {how}"
        began = time.perf_counter()
        try:
            made[row] = SAMPLERS[name](model, how)
            made[row](0)
        except ImportError as error:
            made.pop(row, None)
            print(f"| {model} | {row} | not installed: {error.name} |")
            continue
        results[row] = [(time.perf_counter() - began, 0.0, 0.0, 0.0)]
    for seed in range(1, ROUNDS + 1):
        for name, run in made.items():
            run(
                -seed % 1000
            )  # what the one before has left in caches, and its threads, are not this one's
            began = time.process_time()
            draws = run(seed)
            took = time.process_time() - began
            squares = (draws - draws.mean(axis=(0, 1))) ** 2
            results[name].append((took, effective(draws), spread(draws), effective(squares)))
    rates, first_rates = {}, None
    for name, ((first, *_), *rows) in results.items():
        times, sizes, spreads, squares = map(np.array, zip(*rows, strict=True))
        rates[name] = float(np.median(sizes / times))
        first_rates = sizes / times if first_rates is None else first_rates
        ratio = np.median(first_rates * times / sizes)  # of rounds: a machine's pace is one there
        print(
            f"| {model} | {name} | {np.median(times):.3f} s | {np.median(sizes):.0f} | {np.median(squares):.0f} | {np.median(spreads):.3f} "
            f"| {rates[name]:.0f} | {ratio:.1f} | {np.median(squares / times):.0f} | {first:.1f} s |",
            flush=True,
        )
    return rates


def main(arguments: list[str]) -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    names = [name for name in SAMPLERS if name in arguments] or list(SAMPLERS)
    models = [m for m in ("schools", "regression") if m in arguments] or ["schools", "regression"]
    print(
        "| posterior | sampler | time | smallest ESS | of squares | R-hat | ESS a second | the first row's is | of squares a second | first run |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for model in models:
        measure(model, names)


if __name__ == "__main__":
    main(sys.argv[1:])
