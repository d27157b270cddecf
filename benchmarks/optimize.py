"""SciPy's solvers with nbgrad's derivatives, by one command: ``python -m benchmarks.optimize``.

``counts``: the 35 problems of Moré, Garbow and Hillstrom and 20 of CUTEst's from the published starts, by
SciPy's methods with exact derivatives by nbgrad and by hand: evaluations of each. ``nist``: NIST's 27 datasets by
``curve_fit``, digits of parameters and standard deviations. ``solves``: whole solves, paired, beside JAX's and
autograd's derivatives where these are installed; for one thread set OMP_NUM_THREADS, OPENBLAS_NUM_THREADS and
NUMBA_NUM_THREADS to 1, and XLA_FLAGS to ``--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1``.
"""

from __future__ import annotations

import argparse
import importlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.optimize as so

import nbgrad as ng
from benchmarks.more_garbow_hillstrom import CUTEST, PROBLEMS, Objective, SumOfSquares
from benchmarks.paired import compare
from benchmarks.rounding import spread

Row = tuple[str, str, int, int, int, int, float, float, str]
MINIMIZERS = ("BFGS", "L-BFGS-B", "CG", "TNC", "SLSQP")
SQUARES = ("lm", "trf", "dogbox")


def counts(problem: SumOfSquares | Objective) -> Iterator[Row]:
    """Evaluations of function and derivative, ours and by hand, what was reached, and by hand with other rounding."""
    x0 = problem.x0
    if isinstance(problem, SumOfSquares):
        for method in SQUARES:
            if method == "lm" and len(problem.residual(x0)) < len(x0):
                continue
            f, jac, words = problem.residual, problem.jacobian, {"max_nfev": 2000}
            by_hand = lambda other, f=f, jac=jac, method=method, words=words: so.least_squares(
                f, x0, other(jac), method=method, **words
            )
            ours = ng.optimize.least_squares(f, x0, method=method, **words)
            hand = by_hand(lambda jac: jac)
            yield row(problem.name, method, ours, hand, 2 * ours.cost, 2 * hand.cost, by_hand)
        if problem.square:
            by_hand = lambda other: so.root(problem.residual, x0, jac=other(problem.jacobian))
            ours = ng.optimize.root(problem.residual, x0)
            hand = by_hand(lambda jac: jac)
            sums = (ours.fun**2).sum(), (hand.fun**2).sum()
            yield row(problem.name, "hybr", ours, hand, *sums, by_hand)
    for method in MINIMIZERS:
        by_hand = lambda other, method=method: so.minimize(
            problem.fun, x0, jac=other(problem.grad), method=method
        )
        ours = ng.optimize.minimize(problem.fun, x0, method=method)
        hand = by_hand(lambda grad: grad)
        yield row(problem.name, method, ours, hand, ours.fun, hand.fun, by_hand)


def row(name: str, method: str, ours: Any, hand: Any, f: Any, g: Any, by_hand: Any) -> Row:
    first = (ours.nfev, ours.get("njev") or 0, hand.nfev, hand.get("njev") or 0)
    more = spread(by_hand, ours.nfev) if first[0] > first[2] or first[1] > first[3] else ""
    return (name, method, *first, float(f), float(g), more)


def print_counts(only: str) -> None:
    """A table, and the sums by method; where we take more, what SciPy takes if derivatives are rounded otherwise."""
    print(
        "| problem | method | f, J by nbgrad | f, J by hand | reached | by hand | changed by an ulp |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    sums: dict[str, Any] = {}
    for problem in [*PROBLEMS, *CUTEST]:
        if only and only.lower() not in problem.name.lower():
            continue
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, method, a, b, c, d, f, g, more in counts(problem):
                print(
                    f"| {name} | {method} | {a}, {b} | {c}, {d} | {f:.6g} | {g:.6g} | {more} |",
                    flush=True,
                )
                held = sums.setdefault(method, np.zeros(7, int))
                held += [1, a, b, c, d, a > c, a < c]
    print("\n| method | problems | f, J by nbgrad | f, J by hand | more f | fewer f |")
    print("| --- | --- | --- | --- | --- | --- |")
    for method, (many, a, b, c, d, more, fewer) in sums.items():
        print(f"| {method} | {many} | {a}, {b} | {c}, {d} | {more} | {fewer} |")


def print_nist() -> None:
    """Digits from both starts, by one setting."""
    data, digits = (
        importlib.import_module("nbgrad.examples.nist_data"),
        importlib.import_module("nbgrad.examples.nist").digits,
    )
    models = importlib.import_module("nbgrad.examples.nist_models")
    print("| dataset | start | parameters, digits | standard deviations | evaluations |")
    print("| --- | --- | --- | --- | --- |")
    setting = {"method": "trf", "x_scale": "jac", "ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
    for name in data.names():
        held = data.load(name)
        model, y = models.MODELS[name], models.response(held)
        for k, start in enumerate(held.starts, 1):
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit = ng.optimize.curve_fit(
                    lambda x, *b, f=model: f(b, x), held.x, y, start, max_nfev=5000, **setting
                )
            found = digits(fit.popt, held.certified), digits(fit.stderr, held.standard_deviations)
            print(
                f"| {name} | {k} | {found[0]:.1f} | {found[1]:.1f} | {fit.result.nfev} |",
                flush=True,
            )


# ------------------------------------------------------------------------------------- whole solves


def rosenbrock(x: Any) -> Any:
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def start(n: int) -> Any:
    return np.where(np.arange(n) % 2, 1.0, -1.2)


def by_jax(f: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, Any]]:
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    both = jax.jit(jax.value_and_grad(f))

    def value(x: Any) -> tuple[Any, Any]:
        v, g = both(x)
        return float(v), np.asarray(g)

    return value


def by_autograd(f: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, Any]]:
    both: Any = importlib.import_module("autograd").value_and_grad(f)
    return both  # type: ignore[no-any-return]


PEERS = {"JAX": by_jax, "autograd": by_autograd}


def alone(p: Any, x0: Any, method: str) -> Callable[[], Any]:
    """The solve with answers that cost nothing, those of an earlier one: what SciPy itself takes."""
    told: list[Any] = []

    def value(x: Any) -> Any:
        told.append(p.value_and_grad(x))
        return told[-1][0]

    so.minimize(value, x0, jac=p.grad, method=method)
    at = [0]

    def again(x: Any) -> Any:
        at[0] += 1
        return told[at[0] - 1][0]

    def replayed() -> Any:
        at[0] = 0
        return so.minimize(again, x0, jac=lambda x: told[at[0] - 1][1], method=method)

    return replayed


def print_solves() -> None:
    """Rosenbrock's function by BFGS and L-BFGS-B; the last column is the largest ratio that there can be."""
    print("| solve | n | nbgrad, µs | rival | rival, µs | rival / nbgrad | rival / SciPy alone |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for method in ("L-BFGS-B", "BFGS", "SLSQP"):
        for n in (2, 10, 100):
            x0 = start(n)
            p = ng.problem(rosenbrock, x0)
            ours = lambda x0=x0, p=p, m=method: so.minimize(p.fun, x0, jac=p.grad, method=m)
            by_word = lambda p=p, m=method: ng.optimize.minimize(p, method=m)
            free = alone(p, x0, method)
            for name, make in PEERS.items():
                try:
                    both = make(rosenbrock)
                except ImportError:
                    continue
                theirs = lambda x0=x0, f=both, m=method: so.minimize(f, x0, jac=True, method=m)
                most = 1 / compare(free, theirs, 3.0).ratio
                for label, mine in (("problem", ours), ("minimize", by_word)):
                    pair = compare(mine, theirs, 3.0)
                    print(
                        f"| {method}, {label} | {n} | {pair.ours:.0f} | {name} | {pair.theirs:.0f} "
                        f"| {1 / pair.ratio:.2f} | {most:.2f} |",
                        flush=True,
                    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimize", description=__doc__)
    parser.add_argument("parts", nargs="*", default=["counts", "nist", "solves"])
    parser.add_argument("--only", default="", help="part of the name of a problem")
    options = parser.parse_args()
    for part in options.parts:
        {"counts": lambda: print_counts(options.only), "nist": print_nist, "solves": print_solves}[
            part
        ]()
        print()


if __name__ == "__main__":
    main()
