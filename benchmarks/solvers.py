"""The compiled solvers beside SciPy's: calls on published problems, NIST's fits, whole solves, many fits.

    python -m benchmarks.solvers counts nist times many

``counts``: the problems of Moré, Garbow and Hillstrom, and those of CUTEst, from the published starts. SciPy has
derivatives by hand (Hessians by nbgrad: there are none by hand). A solve is as good as another if it ends at a
value as small, or at one of the published minima.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.optimize

import nbgrad as ng
from benchmarks.more_garbow_hillstrom import CUTEST, PROBLEMS
from benchmarks.paired import compare
from benchmarks.rounding import spread
from nbgrad.examples import nist, nist_data
from nbgrad.examples.nist_models import MODELS
from nbgrad.solvers import minimize, solve

METHODS = {
    "nb-bfgs": "BFGS",
    "nb-lbfgs": "L-BFGS-B",
    "nb-newton-cg": "Newton-CG",
    "nb-trust": "trust-exact",
}
CLOSE = 1e-5


def same(f: Any) -> Any:
    return f


def by_scipy(method: str, fun: Any, grad: Any, x0: Any, other: Any = same) -> Any:
    more = {}
    if method in ("Newton-CG", "trust-exact"):
        more = {"hess": other(ng.jit(ng.hessian(fun)))}
    return scipy.optimize.minimize(fun, x0, jac=other(grad), method=method, **more)


def counted(name: str, fun: Any, grad: Any, x0: Any) -> Iterator[tuple[Any, ...]]:
    """A row for each minimiser: problem, method, and value and calls of both."""
    for ours, theirs in METHODS.items():
        found = minimize(fun, x0, method=ours)
        expected = by_scipy(theirs, fun, grad, x0)
        yield (
            name,
            ours,
            found.fun,
            found.nfev,
            found.njev,
            expected.fun,
            expected.nfev,
            expected.njev,
            lambda other, theirs=theirs: by_scipy(theirs, fun, grad, x0, other),
        )


def fitted(p: Any) -> Iterator[tuple[Any, ...]]:
    """The same of least squares; MINPACK takes no more parameters than residuals."""
    if len(p.residual(p.x0)) < len(p.x0):
        return
    found = solve("nb-lm", p.residual, np.asarray(p.x0, float))
    by_hand = lambda other: scipy.optimize.least_squares(
        p.residual, p.x0, other(p.jacobian), method="lm"
    )
    expected = by_hand(same)
    yield (
        p.name, "nb-lm", 2 * found.cost, found.nfev, found.njev, 2 * expected.cost, expected.nfev, expected.njev,
        by_hand,
    )  # fmt: skip


def rows() -> Iterator[tuple[Any, ...]]:
    for p in PROBLEMS:
        yield from fitted(p)
        yield from counted(p.name, p.fun, p.grad, p.x0)
    for q in CUTEST:
        yield from counted(q.name, q.fun, q.grad, q.x0)


def counts() -> None:
    """Print calls by problem and method, and by method; where ours are more, SciPy's with other rounding."""
    totals: dict[str, list[int]] = {}
    print(
        f"{'problem':34}{'method':14}{'value':>12}{'nfev':>6}{'njev':>6}{'SciPy':>14}{'nfev':>6}{'njev':>6}"
    )
    with np.errstate(all="ignore"):
        for name, method, value, nfev, njev, other, nfev0, njev0, by_hand in rows():
            worse = value > other + CLOSE * max(1.0, abs(other))
            better = other > value + CLOSE * max(1.0, abs(value))
            print(
                f"{name[:33]:34}{method:14}{value:12.5g}{nfev:6d}{njev:6d}{other:14.5g}{nfev0:6d}{njev0:6d}"
                + ("  worse" if worse else "  better" if better else "")
                + ("  changed by an ulp: " + spread(by_hand, nfev) if nfev > nfev0 else ""),
                flush=True,
            )
            total = totals.setdefault(method, [0, 0, 0, 0, 0, 0, 0, 0])
            same = not (worse or better)
            for k, add in enumerate((1, same, better, worse)):
                total[k] += add
            if same:
                for k, add in enumerate((nfev, njev, nfev0, njev0), 4):
                    total[k] += add
    for method, (count, same, better, worse, *calls) in totals.items():
        print(
            f"{method:14}{count} problems: {same} the same value ({better} better, {worse} worse); of these, nfev and "
            f"njev {calls[0]}, {calls[1]}; SciPy {calls[2]}, {calls[3]}"
        )


def nist_table() -> None:
    """Print certified digits of NIST's 27 datasets, from both starts."""
    print(f"{'dataset':12}{'start':>6}{'digits':>8}{'of s.d.':>9}{'nfev':>6}{'njev':>6}")
    least = 99.0
    for name in nist_data.names(None):
        data = nist_data.load(name)
        y, model = nist.response(data), MODELS[name]
        residual = lambda b, model=model, data=data, y=y: model(b, data.x) - y
        for k, start in enumerate(data.starts, 1):
            found = solve(
                "nb-lm",
                residual,
                np.array(start, float),
                ftol=1e-15,
                xtol=1e-15,
                gtol=1e-15,
                max_nfev=5000,
            )
            m, n = found.jac.shape
            deviations = np.sqrt(np.diag(found.cov) * 2 * found.cost / (m - n))
            digits = (
                nist.digits(found.x, data.certified),
                nist.digits(deviations, data.standard_deviations),
            )
            least = min(least, digits[0])
            print(f"{name:12}{k:6d}{digits[0]:8.1f}{digits[1]:9.1f}{found.nfev:6d}{found.njev:6d}")
    print(f"the least digits of parameters: {least:.1f}")


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def times() -> None:
    """Print whole solves, paired with SciPy's, and Thurber's fit beside one evaluation."""
    ng.set_num_threads(1)
    slope = ng.jit(ng.value_and_grad(rosenbrock))
    for n in (2, 10, 100):
        x0 = np.where(np.arange(n) % 2, 1.0, -1.2)
        for ours, theirs in (("nb-bfgs", "BFGS"), ("nb-lbfgs", "L-BFGS-B")):
            pair = compare(
                lambda x0=x0, ours=ours: minimize(rosenbrock, x0, method=ours),
                lambda x0=x0, theirs=theirs: scipy.optimize.minimize(
                    slope, x0, jac=True, method=theirs
                ),
            )
            print(
                f"Rosenbrock n={n:<4}{ours:10}{pair.ours:10.1f} us   SciPy {pair.theirs:10.1f} us"
            )
    data = nist_data.load("Thurber")
    model, y = MODELS["Thurber"], nist.response(data)
    residual = lambda b: model(b, data.x) - y
    both = ng.jit(lambda b: (residual(b), ng.jacfwd(residual)(b)))
    start = np.array(data.starts[0], float)
    steps = solve("nb-lm", residual, start).njev
    pair = compare(lambda: solve("nb-lm", residual, start), lambda: both(start))
    print(
        f"Thurber by nb-lm {pair.ours:.1f} us, {steps} iterations; residual and Jacobian {pair.theirs:.2f} us: "
        f"{pair.ours / pair.theirs / steps:.1f}x an evaluation and iteration"
    )


def many() -> None:
    """Print the time of 100,000 fits of 5 parameters to 40 points, 1,000 of them without a number."""
    t, rng = np.linspace(0, 4, 40), np.random.default_rng(0)

    def model(p: Any) -> Any:
        return p[0] * np.exp(-p[1] * t) + p[2] * np.exp(-(((t - p[3]) / p[4]) ** 2))

    true = np.array([3, 1.0, 2, 2.0, 0.5]) * (1 + 0.2 * rng.standard_normal((100_000, 5)))
    y = np.stack([model(p) for p in true]) + 0.01 * rng.standard_normal((100_000, 40))
    bad = rng.choice(100_000, 1000, replace=False)
    y[bad, 3] = np.nan
    residual, start = lambda p, y: model(p) - y, np.array([2.0, 0.8, 1.5, 2.1, 0.6])
    ng.fit_many(residual, start, y[:300])
    seconds = {}
    for threads in (1, 2):
        ng.set_num_threads(threads)
        took = []
        for _ in range(3):
            began = time.perf_counter()
            found = ng.fit_many(residual, start, y)
            took.append(time.perf_counter() - began)
        seconds[threads] = min(took)
    marked = (~found.success[bad]).sum()
    alone = [k for k in range(0, 100_000, 10_007) if k not in bad]
    same = all(
        np.array_equal(solve("nb-lm", residual, start, args=(y[k],)).x, found.x[k]) for k in alone
    )
    print(
        f"100,000 fits: {seconds[1]:.2f} s on one thread, {seconds[2]:.2f} s on two; of 1,000 bad ones {marked} are "
        f"marked; {(~found.success).sum() - marked} others ended otherwise; those made alone have the same bits: {same}"
    )


TABLES: dict[str, Callable[[], None]] = {
    "counts": counts, "nist": nist_table, "times": times, "many": many,
}  # fmt: skip

if __name__ == "__main__":
    for each in sys.argv[1:] or TABLES:
        TABLES[each]()
