"""Exact first and second derivatives over the whole range, and how far from them nbgrad may be.

``python tests/support/accuracy.py`` computes them in mpmath, measures every tier, and writes both to
``data/accuracy.json``, from which docs/operations.md has its table. Tests measure again.

The error is relative to the derivative, at every point where that is a normal number. Those in
``SPECIAL`` are allowed beyond that what one rounding of the operand changes, without which
none could pass next to a zero of its derivative.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np

import nbgrad as ng
from nbgrad.core.lookup import load_vocabulary
from nbgrad.core.primitive import bind
from nbgrad.core.registry import primitives
from nbgrad.tensors.tensor import Tensor

DATA = Path(__file__).parent / "data" / "accuracy.json"
TIERS = ("reference", "block", "fused")
DIGITS = 60
TINY, HUGE = 2.3e-308, 1e308
Exact = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One function between *low* and *high*, by its operand number *by*; the others are *rest*."""

    low: float
    high: float
    first: Exact
    second: Exact
    by: int = 0
    rest: tuple[float, ...] = ()
    params: tuple[tuple[str, Any], ...] = ()


def _sech2(x: Any) -> Any:
    return mp.sech(x) ** 2


def _sigma(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def _bump(x: Any) -> Any:
    return 1 / ((1 + mp.exp(-x)) * (1 + mp.exp(x)))


def _mills(x: Any) -> Any:
    with mp.workdps(DIGITS + 300):
        return +(2 * mp.npdf(x) / mp.erfc(-x / mp.sqrt(2)))


def _gauss(x: Any) -> Any:
    return 2 / mp.sqrt(mp.pi) * mp.exp(-x * x)


def _erfinv(y: Any) -> Any:
    with mp.workdps(DIGITS + 20):
        return mp.erfinv(y)


def _numeric(f: Exact, order: int, digits: int = 400) -> Exact:
    def derivative(x: Any) -> Any:
        with mp.workdps(digits):
            return +mp.diff(f, x, order)

    return derivative


def _both(f: Exact, digits: int = 400) -> tuple[Exact, Exact]:
    return _numeric(f, 1, digits), _numeric(f, 2, digits)


def _exprel(x: Any) -> Any:
    return mp.expm1(x) / x if x else mp.mpf(1)


def _huber(d: Any) -> Any:
    with mp.workdps(DIGITS + 700):
        return +mp.sqrt(1 + (mp.mpf(1.5) / d) ** 2)


def _beta_density(x: Any) -> Any:
    return _power(x, mp.mpf(1.5)) * (1 - x) ** 2 / mp.beta(2.5, 3)


def _power(x: Any, n: Any) -> Any:
    return mp.power(x, n)


WIDE = 1e300
ELEMENTARY: dict[str, Case] = {
    "exp": Case(-700, 700, mp.exp, mp.exp),
    "exp2": Case(
        -1000, 1000,
        lambda x: mp.log(2) * mp.power(2, x), lambda x: mp.log(2) ** 2 * mp.power(2, x),
    ),
    "expm1": Case(-700, 700, mp.exp, mp.exp),
    "log": Case(0, WIDE, lambda x: 1 / x, lambda x: -1 / x**2),
    "log1p": Case(-1, WIDE, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2),
    "log2": Case(0, WIDE, lambda x: 1 / (x * mp.log(2)), lambda x: -1 / (x * x * mp.log(2))),
    "log10": Case(0, WIDE, lambda x: 1 / (x * mp.log(10)), lambda x: -1 / (x * x * mp.log(10))),
    "sqrt": Case(0, WIDE, lambda x: 0.5 / mp.sqrt(x), lambda x: -0.25 / (x * mp.sqrt(x))),
    "cbrt": Case(
        0, WIDE, lambda x: mp.cbrt(x) / (3 * x), lambda x: -2 * mp.cbrt(x) / (9 * x * x)
    ),
    "reciprocal": Case(-WIDE, WIDE, lambda x: -1 / x**2, lambda x: 2 / x**3),
    "sin": Case(-1e5, 1e5, mp.cos, lambda x: -mp.sin(x)),
    "cos": Case(-1e5, 1e5, lambda x: -mp.sin(x), lambda x: -mp.cos(x)),
    "tan": Case(-1.57, 1.57, lambda x: mp.sec(x) ** 2, lambda x: 2 * mp.tan(x) * mp.sec(x) ** 2),
    "sinh": Case(-700, 700, mp.cosh, mp.sinh),
    "cosh": Case(-700, 700, mp.sinh, mp.cosh),
    "tanh": Case(-354, 354, _sech2, lambda x: -2 * mp.tanh(x) * _sech2(x)),
    "arcsin": Case(
        -1, 1, lambda x: 1 / mp.sqrt(1 - x * x), lambda x: x / mp.sqrt(1 - x * x) ** 3
    ),
    "arccos": Case(
        -1, 1, lambda x: -1 / mp.sqrt(1 - x * x), lambda x: -x / mp.sqrt(1 - x * x) ** 3
    ),
    "arctan": Case(-1e154, 1e154, lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    "arcsinh": Case(
        -WIDE, WIDE, lambda x: 1 / mp.sqrt(1 + x * x), lambda x: -x / mp.sqrt(1 + x * x) ** 3
    ),
    "arccosh": Case(
        1, WIDE, lambda x: 1 / mp.sqrt(x * x - 1), lambda x: -x / mp.sqrt(x * x - 1) ** 3
    ),
    "arctanh": Case(-1, 1, lambda x: 1 / (1 - x * x), lambda x: 2 * x / (1 - x * x) ** 2),
    "arctan2": Case(
        -WIDE, WIDE,
        lambda y: mp.mpf(1.5) / (mp.mpf(2.25) + y * y),
        lambda y: -3 * y / (mp.mpf(2.25) + y * y) ** 2,
        rest=(1.5,),
    ),
    "hypot": Case(
        -WIDE, WIDE,
        lambda x: x / mp.sqrt(x * x + mp.mpf(2.25)),
        lambda x: mp.mpf(2.25) / mp.sqrt(x * x + mp.mpf(2.25)) ** 3,
        rest=(1.5,),
    ),
    "power": Case(
        0, 1e80,
        lambda x: 3.5 * _power(x, mp.mpf(2.5)), lambda x: 8.75 * _power(x, mp.mpf(1.5)),
        rest=(3.5,),
    ),
    "arctan2 by the second": Case(
        -WIDE, WIDE,
        lambda x: mp.mpf(-1.5) / (mp.mpf(2.25) + x * x),
        lambda x: 3 * x / (mp.mpf(2.25) + x * x) ** 2,
        by=1, rest=(1.5,),
    ),
    "power by the second": Case(
        -400, 400,
        lambda y: mp.log(3.5) * _power(mp.mpf(3.5), y), lambda y: mp.log(3.5) ** 2 * _power(mp.mpf(3.5), y),
        by=1, rest=(3.5,),
    ),
    "divide by the second": Case(
        -WIDE, WIDE, lambda x: mp.mpf(-1.5) / x**2, lambda x: 3 / x**3, by=1, rest=(1.5,)
    ),
}  # fmt: skip
SPECIAL: dict[str, Case] = {
    "logaddexp": Case(-700, 700, lambda x: _sigma(x - 0.5), lambda x: _bump(x - 0.5), rest=(0.5,)),
    "logaddexp2": Case(
        -1000, 1000,
        lambda x: _sigma((x - 0.5) * mp.log(2)),
        lambda x: mp.log(2) * _bump((x - 0.5) * mp.log(2)),
        rest=(0.5,),
    ),
    "sinc_derivative": Case(-1000, 1000, *_both(mp.sincpi), params=(("n", 0),)),
    "sigmoid": Case(-700, 700, _bump, lambda x: -mp.tanh(x / 2) * _bump(x)),
    "softplus": Case(-700, 700, _sigma, _bump),
    "log_expit": Case(-700, 700, lambda x: _sigma(-x), lambda x: -_bump(x)),
    "erf": Case(-26, 26, _gauss, lambda x: -2 * x * _gauss(x)),
    "erfc": Case(-26, 26, lambda x: -_gauss(x), lambda x: 2 * x * _gauss(x)),
    "erfinv": Case(
        -1, 1, lambda y: 1 / _gauss(_erfinv(y)), lambda y: 2 * _erfinv(y) / _gauss(_erfinv(y)) ** 2
    ),
    "ndtr": Case(-37, 37, mp.npdf, lambda x: -x * mp.npdf(x)),
    "log_ndtr": Case(-1e5, 37, _mills, lambda x: -_mills(x) * (x + _mills(x))),
    "ndtri": Case(
        0, 1,
        lambda y: 1 / mp.npdf(_ndtri(y)), lambda y: _ndtri(y) / mp.npdf(_ndtri(y)) ** 2,
    ),
    "exprel": Case(-500, 700, *_both(_exprel)),
    "gamma": Case(
        0, 170,
        lambda x: mp.gamma(x) * mp.digamma(x),
        lambda x: mp.gamma(x) * (mp.digamma(x) ** 2 + mp.psi(1, x)),
    ),
    "gammaln": Case(0, 1e15, mp.digamma, lambda x: mp.psi(1, x)),
    "digamma": Case(0, 1e15, lambda x: mp.psi(1, x), lambda x: mp.psi(2, x)),
    "rgamma": Case(-20.7, 160, *_both(mp.rgamma, 100)),
    "logit": Case(
        0, 1, lambda x: 1 / (x * (1 - x)), lambda x: (2 * x - 1) / (x * (1 - x)) ** 2
    ),
    "entr": Case(0, WIDE, lambda x: -1 - mp.log(x), lambda x: -1 / x),
    "pseudo_huber": Case(
        -WIDE, WIDE,
        lambda r: r / mp.sqrt(1 + (r / mp.mpf(1.5)) ** 2),
        lambda r: 1 / mp.sqrt(1 + (r / mp.mpf(1.5)) ** 2) ** 3,
        by=1, rest=(1.5,),
    ),
    "pseudo_huber by the first": Case(
        0, WIDE,
        lambda d: d * (_huber(d) - 1) ** 2 / _huber(d),
        lambda d: -(_huber(d) - 1) ** 2 * (2 * _huber(d) + 1) / _huber(d) ** 3,
        rest=(1.5,),
    ),
    "rel_entr": Case(0, WIDE, lambda x: mp.log(x / 1.5) + 1, lambda x: 1 / x, rest=(1.5,)),
    "rel_entr by the second": Case(
        0, WIDE, lambda y: mp.mpf(-1.5) / y, lambda y: 1.5 / y**2, by=1, rest=(1.5,)
    ),
    "kl_div": Case(0, WIDE, lambda x: mp.log(x / 1.5), lambda x: 1 / x, rest=(1.5,)),
    "xlog1py": Case(
        -1, WIDE, lambda y: 1.5 / (1 + y), lambda y: -1.5 / (1 + y) ** 2, by=1, rest=(1.5,)
    ),
    "xlogy": Case(0, WIDE, lambda y: 1.5 / y, lambda y: -1.5 / y**2, by=1, rest=(1.5,)),
    "gammainc": Case(
        0, 700,
        lambda x: mp.exp(-x) * _power(x, mp.mpf(1.5)) / mp.gamma(mp.mpf(2.5)),
        lambda x: (1.5 / x - 1) * mp.exp(-x) * _power(x, mp.mpf(1.5)) / mp.gamma(mp.mpf(2.5)),
        by=1, rest=(2.5,),
    ),
    "betainc": Case(
        0, 1,
        lambda x: _beta_density(x), lambda x: _beta_density(x) * (1.5 / x - 2 / (1 - x)),
        by=2, rest=(2.5, 3.0),
    ),
}  # fmt: skip
CASES = {**ELEMENTARY, **SPECIAL}  # by the first word of the key
PUBLIC = {"sinc_derivative": "sinc"}


def _ndtri(y: Any) -> Any:
    with mp.workdps(DIGITS + 20):
        y = mp.mpf(y)
        near = y > 1e-5
        start = mp.sqrt(2) * mp.erfinv(2 * y - 1) if near else -mp.sqrt(-2 * mp.log(y))
        if near:
            return +start
        return mp.findroot(lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2) - mp.log(y), start)


def points(case: Case) -> list[float]:
    """Dense over the exponents of both signs and over the range, without its ends."""
    found: set[float] = set()
    for sign, end in ((1, case.high), (-1, -case.low)):
        if end > 0:
            scale = np.exp(np.linspace(math.log(1e-300), math.log(end), 20))
            found |= {sign * float(v) for v in (*scale, *np.linspace(end / 9, end, 9))}
        fixed = (1e-5, 0.03, 0.3, 0.6, 0.9, 1.0, 1.5, 2.0, 3.0, 10.0, 18.0, 20.0, 23.0, 37.0)
        found |= {sign * v for v in fixed}
    if case.low > 0:
        found |= {case.low + v for v in (1e-12, 1e-5, 0.1)}
    return sorted(v for v in found if case.low < v < case.high)


def derivatives(name: str, xs: Sequence[float], tier: str) -> list[Any]:
    """The first and the second derivative at *xs*, by nbgrad."""
    case = CASES[name]
    with ng.configure(tier=tier, nan_policy="safe"):
        x = ng.tensor(np.array(xs), requires_grad=True)
        operands: list[Any] = list(case.rest)
        operands.insert(case.by, x._node)
        y = Tensor(bind(primitives[name.split()[0]], *operands, **dict(case.params)))
        (first,) = ng.autograd.grad(y.sum(), [x], create_graph=True)
        (second,) = ng.autograd.grad(first.sum(), [x])
        return [first.detach().numpy(), second.numpy()]


def error(found: float, exact: Any, spread: Any) -> float:
    """How far *found* is from *exact*, in units of *exact*, beyond *spread*."""
    if not TINY < abs(exact) < HUGE:
        return 0.0
    if not math.isfinite(found):
        return math.inf
    return float(max(0, abs(mp.mpf(found) - exact) - spread) / abs(exact))


def measured(name: str, row: dict[str, Any], tier: str) -> list[float]:
    """The largest error of each order."""
    exact = [[mp.mpf(v) for v in values] for values in row["exact"]]
    spreads = [[mp.mpf(v) for v in values] for values in row["spread"]]
    found = derivatives(name, row["at"], tier)
    return [
        max(error(float(f), e, s) for f, e, s in zip(*rows, strict=True))
        for rows in zip(found, exact, spreads, strict=True)
    ]


def bound(value: float) -> float:
    """A bound of one digit: twice what was measured, rounded up."""
    value = max(2 * value, 1e-15)
    unit = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.0e}")


def shown(name: str) -> str:
    """The function and its operands, as the page has them."""
    case = CASES[name]
    operands = [f"{v:g}" for v in case.rest]
    operands.insert(case.by, "x")
    name = name.split()[0]
    return f"{PUBLIC.get(name, name)}({', '.join(operands)})"


def computed(name: str) -> dict[str, Any]:
    """The row of the data file."""
    case = CASES[name]
    at = points(case)
    exact: list[list[Any]] = [[], []]
    spread: list[list[Any]] = [[], []]
    with mp.workdps(DIGITS):
        for x in at:
            for k, f in enumerate((case.first, case.second)):
                value = f(mp.mpf(x))
                step = mp.mpf(0)
                if name in SPECIAL:  # what one rounding of the operand changes
                    step = abs(f(mp.mpf(x) * (1 + mp.mpf(2) ** -53)) - value)
                exact[k].append(mp.nstr(value, 25))
                spread[k].append(mp.nstr(step, 5))
    row: dict[str, Any] = {"at": at, "exact": exact, "spread": spread}
    row |= {"range": [case.low, case.high], "shown": shown(name)}
    tiers = [measured(name, row, tier) for tier in TIERS]
    row["bound"] = [bound(max(one[k] for one in tiers)) for k in range(2)]
    return row


def main(names: Sequence[str]) -> None:
    load_vocabulary()
    data = json.loads(DATA.read_text()) if DATA.exists() else {}
    for name in names or CASES:
        data[name] = computed(name)
        print(name, data[name]["bound"], flush=True)
        DATA.write_text(json.dumps({n: data[n] for n in CASES if n in data}) + "\n")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
