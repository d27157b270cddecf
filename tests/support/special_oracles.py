"""Oracles in mpmath for every special function, and the grid of its domain where tests compare.

Some take minutes, so ``python tests/support/special_oracles.py [name ...]`` writes what they give to
``data/special.json``; tests read that and compute a part of it again.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import mpmath as mp

Point = tuple[float, ...]
DATA = Path(__file__).parent / "data" / "special.json"
# Digits of mpmath where 50 would be too few, or where 30 are enough and the oracle is slow.
DIGITS = {"betainc": 90, "betaincc": 90, "betaincinv": 40, "gammainc": 200, "gammaincc": 200}
DIGITS |= {"pseudo_huber": 80, "kv": 30, "kve": 30, "k1e": 30, "k0e": 30, "k1": 30, "k0": 30}


@dataclass(frozen=True)
class Oracle:
    """A function of mpmath numbers, the points to compare at, and the operands it moves with."""

    exact: Callable[..., Any]
    points: tuple[Point, ...]
    fixed: tuple[int, ...] = ()
    complement: Callable[..., Any] | None = None


def on(
    exact: Callable[..., Any],
    *grids: Iterable[float],
    fixed: tuple[int, ...] = (),
    complement: Any = None,
) -> Oracle:
    return Oracle(exact, tuple(product(*grids)), fixed, complement)


def at(exact: Callable[..., Any], *points: Point, complement: Any = None) -> Oracle:
    return Oracle(exact, points, (), complement)


RIGHT = (1e-300, 1e-12, 1e-3, 0.3, 0.75, 1.0, 1.4616321449683623, 1.5, 2.0, 2.5, 3.75, 9.9, 10.5)
FAR = (33.3, 100.0, 170.5, 1234.5, 1e6)
LEFT = (-0.25, -0.5, -1.5, -2.7, -9.3, -40.5)
LINE = (-30.0, -8.5, -3.0, -1.0, -0.3, -1e-3, -1e-12, 0.0, 1e-300, 1e-8, 0.1, 0.7, 1.0, 2.6, 5.0)
UNIT = (1e-300, 1e-20, 1e-3, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999)
SHAPES = (1e-3, 0.3, 1.0, 2.5, 11.0, 40.0, 333.0)
ARGUMENTS = (1e-3, 0.2, 0.9, 3.0, 8.0, 17.0, 50.0, 350.0)
ORDERS = (0, 1, 2, 5, 0.5, 3.3)
BESSEL = (1e-3, 0.4, 1.0, 2.404825557695773, 3.1, 7.7, 20.0, 29.0, 33.0, 85.0, 400.0, 1e4)


def expit(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def ndtr(x: Any) -> Any:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def inverse(f: Callable[..., Any], density: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The inverse of f by its last argument: Newton's method from SciPy's answer."""

    def solved(*xs: Any) -> Any:
        *rest, y = xs
        guess = getattr(importlib.import_module("scipy.special"), name)(*map(float, xs))
        t = mp.mpf(float(guess))
        for _ in range(5):
            t = t - (f(*rest, t) - y) / density(*rest, t)
        return t

    return solved


def gamma_density(a: Any, x: Any) -> Any:
    return x ** (a - 1) * mp.exp(-x) / mp.gamma(a)


def beta_density(a: Any, b: Any, x: Any) -> Any:
    return x ** (a - 1) * (1 - x) ** (b - 1) / mp.beta(a, b)


def gammainc(a: Any, x: Any) -> Any:
    return mp.gammainc(a, 0, x, regularized=True)


def gammaincc(a: Any, x: Any) -> Any:
    return mp.gammainc(a, x, mp.inf, regularized=True)


def betainc(a: Any, b: Any, x: Any) -> Any:
    return _betainc(a, b, x) if x < 0.5 else 1 - _betainc(b, a, 1 - x)


def betaincc(a: Any, b: Any, x: Any) -> Any:
    return 1 - _betainc(a, b, x) if x < 0.5 else _betainc(b, a, 1 - x)


def _betainc(a: Any, b: Any, x: Any) -> Any:
    """DLMF 8.17.7, for x up to about a half."""
    series = mp.hyp2f1(a + b, 1, a + 1, x)
    return x**a * (1 - x) ** b / (a * mp.beta(a, b)) * series


def boxcox(x: Any, lmbda: Any) -> Any:
    return mp.log(x) * exprel(lmbda * mp.log(x))


def exprel(x: Any) -> Any:
    return mp.hyp1f1(1, 2, x)


def huber(delta: Any, r: Any) -> Any:
    return r * r / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2)


def scaled_bessel_i(v: Any, x: Any) -> Any:
    return mp.besseli(v, x) * mp.exp(-abs(mp.re(x)))


def scaled_bessel_k(v: Any, x: Any) -> Any:
    return mp.besselk(v, x) * mp.exp(x)


def bessel(f: Callable[..., Any], grid: Iterable[float] = BESSEL) -> Oracle:
    return on(f, ORDERS, grid, fixed=(0,))


def of_order(f: Callable[..., Any], v: int, grid: Iterable[float] = BESSEL) -> Oracle:
    return on(lambda x: f(v, x), grid)


PAIRS = (
    (0.5, 0.5),
    (1e-3, 2.0),
    (1e-3, 1e-3),
    (0.3, 7.5),
    (12.0, 0.02),
    (20.5, 33.0),
    (400.0, 2.0),
)
BETAS = tuple((a, b, x) for a, b in PAIRS for x in (1e-10, 1e-3, 0.1, 0.4, 0.8, 0.9999))
LARGE = ((400.0, 2.0, 0.9999), (300.0, 700.0, 0.3), (300.0, 700.0, 0.35), (1e4, 1e4, 0.501))

ORACLES: dict[str, Oracle] = {
    "beta": on(mp.beta, (0.2, 1.0, 3.5, 30.0), (1e-3, 0.7, 2.0, 14.0, 120.0)),
    "betainc": at(betainc, *BETAS, *LARGE, complement=betaincc),
    "betaincc": at(betaincc, *BETAS, *LARGE, complement=betainc),
    "betaln": on(
        lambda a, b: mp.log(mp.beta(a, b)), (0.2, 1.0, 3.5, 30.0, 1e5), (1e-3, 0.7, 14.0, 1e4)
    ),
    "binom": at(
        mp.binomial, (5.5, 2.0), (10.0, 3.0), (7.3, 0.2), (40.0, 20.5), (0.5, 0.25), (3.0, 0.0)
    ),
    "boxcox": on(boxcox, (1e-3, 0.5, 1.0, 1.5, 20.0), (-2.0, -1e-9, 0.0, 1e-4, 0.5, 3.0)),
    "boxcox1p": on(
        lambda x, k: boxcox(1 + x, k), (-0.5, 1e-9, 0.5, 20.0), (-2.0, -1e-9, 0.0, 0.5, 3.0)
    ),
    "cosm1": on(lambda x: mp.cos(x) - 1, LINE),
    "dawsn": on(
        lambda x: mp.exp(-x * x) * mp.erfi(x) * mp.sqrt(mp.pi) / 2, (*LINE, 9.9, 10.1, 300.0)
    ),
    "digamma": on(mp.digamma, (*RIGHT[1:], *FAR, *LEFT, -0.504083008264455)),
    "entr": on(lambda x: -x * mp.log(x), RIGHT),
    "erf": on(mp.erf, LINE),
    "erfc": on(mp.erfc, (*LINE, 20.0, 26.0)),
    "erfcinv": at(
        lambda y: -ndtri_exact(y / 2) / mp.sqrt(2), *((y,) for y in (*UNIT, 1.0, 1.5, 1.999))
    ),
    "erfcx": on(
        lambda x: mp.exp(x * x) * mp.erfc(x), (-20.0, *LINE[1:], 9.9, 10.1, 50.0, 1e5, 1e9)
    ),
    "erfi": on(mp.erfi, (-20.0, *LINE[1:], 20.0)),
    "erfinv": on(
        lambda y: -ndtri_exact((1 - y) / 2) / mp.sqrt(2),
        (-0.99999, -0.5, 1e-12, 0.1, 0.5, 0.9, 0.999999),
    ),
    "exp1": on(mp.e1, (1e-300, 1e-9, 0.1, 0.9, 1.0, 1.1, 5.0, 40.0, 41.0, 600.0)),
    "expi": on(
        mp.ei, (-50.0, -3.0, -0.1, 1e-9, 0.1, 0.3725074107813666, 1.0, 5.0, 39.0, 41.0, 600.0)
    ),
    "expn": on(
        lambda n, x: mp.expint(int(n), x),
        (0, 1, 2, 5, 40),
        (1e-9, 0.1, 1.0, 2.0, 10.0, 100.0),
        fixed=(0,),
    ),
    "exprel": on(exprel, (-700.0, -40.0, -20.1, -19.9, *LINE[1:], 19.0, 23.0, 100.0, 600.0)),
    "gamma": on(mp.gamma, (*RIGHT[1:], *FAR[:3], *LEFT)),
    "gammainc": on(gammainc, SHAPES, ARGUMENTS, complement=gammaincc),
    "gammaincc": on(gammaincc, SHAPES, ARGUMENTS, complement=gammainc),
    "gammaln": on(
        lambda x: mp.log(abs(mp.gamma(x))) if x > 1e-9 or x < 0 else mp.loggamma(x),
        (*RIGHT, *FAR, *LEFT),
    ),
    "gammasgn": on(lambda x: mp.sign(mp.gamma(x)), (*RIGHT[2:8], *LEFT)),
    "huber": on(huber, (0.5, 1.0, 3.0), (-2.0, -0.1, 0.0, 0.3, 5.0)),
    "i0": of_order(mp.besseli, 0, (-3.0, 0.0, *BESSEL[:-2])),
    "i1": of_order(mp.besseli, 1, (-3.0, 0.0, *BESSEL[:-2])),
    "i0e": of_order(scaled_bessel_i, 0, (-3.0, -80.0, *BESSEL)),
    "i1e": of_order(scaled_bessel_i, 1, (-3.0, -80.0, *BESSEL)),
    "iv": bessel(mp.besseli, BESSEL[:-2]),
    "ive": bessel(scaled_bessel_i),
    "j0": of_order(mp.besselj, 0, (-3.0, 0.0, *BESSEL)),
    "j1": of_order(mp.besselj, 1, (-3.0, 0.0, *BESSEL)),
    "jv": bessel(mp.besselj),
    "k0": of_order(mp.besselk, 0, BESSEL[:-1]),
    "k1": of_order(mp.besselk, 1, BESSEL[:-1]),
    "k0e": of_order(scaled_bessel_k, 0),
    "k1e": of_order(scaled_bessel_k, 1),
    "kv": bessel(mp.besselk, BESSEL[:-1]),
    "kve": bessel(scaled_bessel_k),
    "kl_div": on(
        lambda x, y: x * mp.log(x / y) - x + y, (1e-3, 1.0, 1.0001, 7.0), (1e-3, 1.0, 1.5, 7.0001)
    ),
    "log_expit": on(lambda x: -mp.log1p(mp.exp(-x)), (-700.0, *LINE, 40.0, 700.0)),
    "log_ndtr": on(
        lambda x: mp.log1p(-ndtr(-x)) if x > 0 else mp.log(ndtr(x)),
        (-1e5, -40.0, *LINE, 10.0, 30.0),
    ),
    "loggamma": on(mp.loggamma, (*RIGHT, *FAR)),
    "logit": on(lambda x: mp.log(x) - mp.log1p(-x), UNIT),
    "ndtr": on(ndtr, (*LINE, -37.0, 8.0)),
    "ndtri": on(lambda y: ndtri_exact(y), UNIT),
    "poch": on(
        lambda z, m: mp.gamma(z + m) / mp.gamma(z),
        (0.3, 2.0, 7.7, 50.0),
        (-0.2, 0.0, 1.0, 2.5, 20.0),
    ),
    "polygamma": on(
        lambda n, x: mp.polygamma(int(n), x),
        (0, 1, 2, 3, 7),
        (*RIGHT[2:], *FAR, -0.25, -1.5, -9.3),
        fixed=(0,),
    ),
    "pseudo_huber": on(
        lambda d, r: d * d * (mp.sqrt(1 + (r / d) ** 2) - 1),
        (1e-2, 0.5, 3.0),
        (-2.0, 1e-9, 0.3, 5.0, 1e5),
    ),
    "rel_entr": on(
        lambda x, y: x * mp.log(x / y), (1e-3, 1.0, 1.0001, 7.0), (1e-3, 1.0, 1.5, 7.0001)
    ),
    "rgamma": on(mp.rgamma, (*RIGHT[2:], *FAR[:3], *LEFT, 0.0, -1.0, -4.0)),
    "relu": on(lambda x: max(x, mp.mpf(0)), (-2.0, 3.0)),
    "sigmoid": on(expit, (-700.0, *LINE, 30.0)),
    "softplus": on(lambda x: mp.log1p(mp.exp(x)), (-700.0, *LINE, 30.0)),
    "xlog1py": on(lambda x, y: x * mp.log1p(y), (0.0, 0.3, -2.0), (-0.5, 1e-12, 3.0)),
    "xlogy": on(lambda x, y: x * mp.log(y), (0.0, 0.3, -2.0), (1e-300, 0.5, 1.0, 3.0)),
    "y0": of_order(mp.bessely, 0, (0.8935769662791675, *BESSEL)),
    "y1": of_order(mp.bessely, 1, (2.197141326031017, *BESSEL)),
    "yv": bessel(mp.bessely),
    "zeta": on(mp.zeta, (1.1, 2.0, 3.5, 20.0), (1e-3, 0.5, 1.0, 2.7, 30.0, 1e4), fixed=(0,)),
}


def ndtri_exact(y: Any) -> Any:
    """Root of ndtr by Newton's method on its logarithm, from far left."""
    if y > 0.5:
        return -ndtri_exact(1 - y)
    x = -mp.sqrt(-2 * mp.log(y)) if y < 0.1 else mp.mpf(0)
    for _ in range(200):
        step = (mp.log(ndtr(x)) - mp.log(y)) * ndtr(x) / mp.npdf(x)
        x = x - step
        if abs(step) < mp.mpf(10) ** (-mp.mp.dps + 3) * (1 + abs(x)):
            break
    return x


ORACLES["gammaincinv"] = at(
    inverse(gammainc, gamma_density, "gammaincinv"),
    *((a, y) for a in (0.3, 1.0, 4.5, 60.0) for y in (1e-6, 0.1, 0.5, 0.95)),
)
ORACLES["gammainccinv"] = at(
    inverse(gammaincc, lambda a, x: -gamma_density(a, x), "gammainccinv"),
    *((a, y) for a in (0.3, 1.0, 4.5, 60.0) for y in (1e-12, 0.1, 0.5, 0.95)),
)
ORACLES["betaincinv"] = at(
    inverse(betainc, beta_density, "betaincinv"),
    *(
        (a, b, y)
        for a, b in ((0.5, 0.5), (2.5, 1.0), (20.0, 33.0))
        for y in (1e-6, 0.1, 0.5, 0.95)
    ),
)


def stdtr(df: Any, t: Any) -> Any:
    tail = mp.betainc(df / 2, mp.mpf(1) / 2, 0, df / (df + t * t), regularized=True) / 2
    return 1 - tail if t > 0 else tail


def t_density(df: Any, t: Any) -> Any:
    scale = mp.sqrt(df) * mp.beta(df / 2, mp.mpf(1) / 2)
    return (1 + t * t / df) ** (-(df + 1) / 2) / scale


ORACLES["stdtr"] = on(stdtr, (0.3, 1.0, 2.5, 30.0), (-40.0, -3.0, -0.2, 0.1, 2.0))
ORACLES["stdtrit"] = on(
    inverse(stdtr, t_density, "stdtrit"), (0.8, 1.0, 2.5, 30.0), (1e-3, 0.2, 0.45, 0.9)
)


def slope(f: Callable[..., Any], xs: list[Any], orders: list[int]) -> Any:
    """Partial derivative, by numerical differentiation at high precision, in scaled operands."""
    scales = [abs(x) if x else mp.mpf(1) for x in xs]

    def scaled(*us: Any) -> Any:
        return f(*(x + s * u for x, s, u in zip(xs, scales, us, strict=True)))

    zero = [mp.mpf(0)] * len(xs)
    found = (
        mp.diff(scaled, tuple(zero), tuple(orders))
        if len(xs) > 1
        else mp.diff(scaled, 0, orders[0])
    )
    for s, n in zip(scales, orders, strict=True):
        found = found / s**n
    return mp.re(found)


def unit(k: int, *at: int) -> list[int]:
    return [at.count(j) for j in range(k)]


def row(name: str, point: Point) -> dict[str, Any]:
    """Value, derivatives, and how much each moves when every operand moves by its own size."""
    tiny = any(0 < abs(c) < 1e-30 for c in point)
    with mp.workdps(700 if tiny else DIGITS.get(name, 50)):
        return _row(ORACLES[name], point)


def _row(oracle: Oracle, point: Point) -> dict[str, Any]:
    xs, k = [mp.mpf(c) for c in point], len(point)
    moving = [j for j in range(k) if j not in oracle.fixed]
    value = mp.re(oracle.exact(*xs))
    f: Callable[..., Any] = oracle.exact
    if oracle.complement is not None and value > 0.5:  # 1 less it has the same derivatives

        def f(*us: Any) -> Any:
            return -oracle.complement(*us)  # type: ignore[misc]

    slopes = [slope(f, xs, unit(k, j)) for j in moving]
    spread = sum(abs(xs[j] * s) for j, s in zip(moving, slopes, strict=True))
    spreads = []
    with mp.workdps(mp.mp.dps if mp.mp.dps > 100 else max(20, mp.mp.dps // 2)):
        for j in moving:
            terms = [abs(xs[h] * slope(f, xs, unit(k, j, h))) for h in moving if xs[h]]
            spreads.append(mp.nstr(sum(terms, mp.mpf(0)), 3))
    return {
        "at": point,
        "value": mp.nstr(value, 20),
        "spread": mp.nstr(spread, 3),
        "slopes": [mp.nstr(s, 20) for s in slopes],
        "spreads": spreads,
    }


def main(names: list[str]) -> None:
    """Write the reference data of *names*, or of every function."""
    for name in names or sorted(ORACLES):
        rows = [row(name, point) for point in ORACLES[name].points]
        held = json.loads(DATA.read_text()) if DATA.exists() else {}
        write(held | {name: rows})
        print(name, len(rows), flush=True)


def write(held: dict[str, Any]) -> None:
    text = json.dumps(held, sort_keys=True).replace('{"at"', '\n{"at"')
    DATA.write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
