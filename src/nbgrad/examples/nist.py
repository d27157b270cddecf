"""Fit NIST's 27 nonlinear regression datasets with SciPy and exact Jacobians.

Run ``python -m nbgrad.examples.nist``. Every dataset is fitted from both of NIST's starting
points by the same code with the same setting, and compared with the certified answer.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

import nbgrad as ng
from nbgrad.examples import nist_data, on_device, picture
from nbgrad.examples.nist_data import Dataset, FloatArray
from nbgrad.examples.nist_models import MODELS, Model, response

Function = Callable[[FloatArray], FloatArray]

# The one setting. The longest fit needs about 1,400 evaluations; SciPy's own limit is 300-900.
TOLERANCE = 1e-15
EVALUATION_LIMIT = 5000
REFINEMENT_LIMIT = 60

ENOUGH_DIGITS = 6.0
CERTIFIED_DIGITS = 11.0

HEADER = (
    "dataset   difficulty  start  parameters      RSS  f calls  J calls      time  remark\n"
    "                               (digits)  (digits)"
)


@dataclass(frozen=True)
class Fit:
    """What became of one dataset from one starting point."""

    data: Dataset
    start: int
    parameters: FloatArray
    residual_sum_of_squares: float
    function_calls: int
    jacobian_calls: int
    seconds: float
    trouble: str = ""

    @property
    def parameter_digits(self) -> float:
        """Agreement with the certified parameters: that of the worst of them."""
        return digits(self.parameters, self.data.certified)

    @property
    def rss_digits(self) -> float:
        """Agreement with the certified residual sum of squares."""
        return digits(self.residual_sum_of_squares, self.data.residual_sum_of_squares)

    @property
    def converged(self) -> bool:
        return self.parameter_digits >= ENOUGH_DIGITS


def digits(found: FloatArray | float, certified: FloatArray | float) -> float:
    """Return how many digits of `found` agree with `certified`, for the worst element.

    This is the log relative error, -log10(abs(found - certified) / abs(certified)), between 0
    and the 11 digits that NIST certifies.

    Examples
    --------
    >>> from nbgrad.examples.nist import digits
    >>> round(digits(1.001, 1.0), 6)
    3.0
    """
    error = np.max(np.abs(np.subtract(found, certified)) / np.abs(certified))
    if not np.isfinite(error):
        return 0.0
    return float(np.clip(-np.log10(max(error, 1e-300)), 0.0, CERTIFIED_DIGITS))


def make_problem(model: Model, x: FloatArray, y: FloatArray) -> tuple[Function, Function]:
    """Return the residuals of `model` and their Jacobian, as functions of the parameters."""

    def residuals(b: FloatArray) -> FloatArray:
        error: FloatArray = model(b, x) - y
        return error

    return residuals, ng.jit(ng.jacobian(residuals))


def fit(data: Dataset, start: int, residuals: Function, jacobian: Function) -> Fit:
    """Fit one dataset from its starting point 1 or 2."""
    began = time.perf_counter()
    first = data.starts[start - 1]
    # Trial steps may overflow in exp or leave the domain of a power; the solver rejects those.
    with np.errstate(all="ignore"):
        try:
            found = least_squares(
                residuals,
                first,
                jac=jacobian,
                method="trf",
                x_scale="jac",
                ftol=TOLERANCE,
                xtol=TOLERANCE,
                gtol=TOLERANCE,
                max_nfev=EVALUATION_LIMIT,
            )
        except (ValueError, np.linalg.LinAlgError) as error:
            return Fit(data, start, first, np.inf, 0, 0, time.perf_counter() - began, str(error))
        parameters, steps = refine(residuals, jacobian, found.x)
        squares = float(np.sum(residuals(parameters) ** 2))
    return Fit(
        data=data,
        start=start,
        parameters=parameters,
        residual_sum_of_squares=squares,
        function_calls=found.nfev + steps + 1,
        jacobian_calls=found.njev + steps,
        seconds=time.perf_counter() - began,
        trouble="" if found.status > 0 else f"no convergence in {EVALUATION_LIMIT} evaluations",
    )


def refine(
    residuals: Function, jacobian: Function, parameters: FloatArray
) -> tuple[FloatArray, int]:
    """Take Gauss-Newton steps as long as they shrink; return the result and how many were tried.

    A solver that compares sums of squares is blind below the square root of the rounding error:
    there the sum is flat, and the parameters have 7 or 8 digits. The step itself, computed with
    an exact Jacobian, still points to the minimum, and gives the other digits.
    """
    last = np.inf
    for tried in range(1, REFINEMENT_LIMIT + 1):
        matrix = jacobian(parameters)
        right = -residuals(parameters)
        if not (np.isfinite(matrix).all() and np.isfinite(right).all()):
            return parameters, tried
        scale = np.linalg.norm(matrix, axis=0)
        scale[scale == 0] = 1.0
        step = np.linalg.lstsq(matrix / scale, right, rcond=None)[0] / scale
        size = float(np.max(np.abs(step) / np.maximum(np.abs(parameters), 1e-300)))
        if not size < last:
            return parameters, tried
        parameters, last = parameters + step, size
    return parameters, REFINEMENT_LIMIT


def remark(result: Fit) -> str:
    """Say in words why a fit has fewer digits than it should, or nothing."""
    data = result.data
    if not result.converged:
        if result.trouble:
            return result.trouble
        if result.rss_digits >= ENOUGH_DIGITS:
            return "RSS agrees, but the data determine the parameters no better"
        ratio = result.residual_sum_of_squares / data.residual_sum_of_squares
        return f"stopped at another minimum, with {ratio:.3g} times the certified RSS"
    # Each residual is a difference of numbers as large as y, rounded like them.
    rounding = np.finfo(np.float64).eps * float(np.linalg.norm(response(data)))
    possible = -np.log10(2 * rounding / np.sqrt(data.residual_sum_of_squares))
    if result.rss_digits < ENOUGH_DIGITS and possible < ENOUGH_DIGITS:
        return f"rounding of y leaves about {max(possible, 0):.0f} digits of an RSS this small"
    return ""


def row(result: Fit) -> str:
    """Format one line of the table."""
    data = result.data
    return (
        f"{data.name:<10}{data.level:<10}{result.start:7d}{result.parameter_digits:12.1f}"
        f"{result.rss_digits:10.1f}{result.function_calls:9d}{result.jacobian_calls:9d}"
        f"{result.seconds:8.3f} s  {remark(result)}"
    ).rstrip()


def run(datasets: Sequence[str]) -> Iterator[tuple[Fit, float]]:
    """Fit each dataset from both starts; with each fit goes the time to compile its Jacobian."""
    for name in datasets:
        data = nist_data.load(name)
        began = time.perf_counter()
        residuals, jacobian = make_problem(MODELS[name], data.x, response(data))
        with np.errstate(all="ignore"):
            jacobian(data.starts[0])
        compiling = time.perf_counter() - began
        yield fit(data, 1, residuals, jacobian), compiling
        yield fit(data, 2, residuals, jacobian), 0.0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m nbgrad.examples.nist", description=(__doc__ or "").partition("\n")[0]
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--dataset", action="append", choices=sorted(MODELS), metavar="NAME",
        help="fit only this dataset; may be repeated",
    )  # fmt: skip
    choice.add_argument(
        "--quick", action="store_true", help="fit only the datasets of lower difficulty"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the first dataset and its fit")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 0 if every fit reached the certified parameters, else 1."""
    options = parse_arguments(arguments)
    datasets = options.dataset or nist_data.names("Lower" if options.quick else None)
    print(HEADER, flush=True)
    results = []
    compiling = 0.0
    for result, seconds in run(datasets):
        print(row(result), flush=True)
        results.append(result)
        compiling += seconds
    good = sum(result.converged for result in results)
    fitting = sum(result.seconds for result in results)
    print(
        f"\n{good} of {len(results)} fits agree with the certified parameters to "
        f"{ENOUGH_DIGITS:.0f} digits or more;\n"
        f"{fitting:.2f} s of fitting, {compiling:.2f} s to make the Jacobians."
    )
    if options.plot:
        draw(options.plot, results[0])
    return 0 if good == len(results) else 1


def draw(path: str, result: Fit) -> None:
    """The data, and the model with the parameters that were found."""
    data = result.data
    order = np.argsort(data.x)
    with picture(path) as axes:
        axes.plot(data.x[order], MODELS[data.name](result.parameters, data.x)[order])
        axes.plot(data.x, response(data), ".")
        axes.set(xlabel="x", ylabel="y", title=data.name)


if __name__ == "__main__":
    on_device()
    sys.exit(main())
