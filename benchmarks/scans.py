"""Loops by ``scan``, differentiated: ``python -m benchmarks.scans``, beside adjoints by hand and JAX.

Ratios are medians of pairs in one process. By hand is an adjoint written for Numba by somebody patient:
it keeps the state of each step and goes back over it. JAX runs beside where it is installed.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

import nbgrad as ng
from benchmarks.libraries import counted
from benchmarks.paired import compare

try:
    import jax

    jax.config.update("jax_enable_x64", True)
except ImportError:
    jax = None

Array = np.ndarray[Any, Any]
STEP = 1e-3
by_hand = numba.njit(error_model="numpy", cache=False)
by_hand_fast = numba.njit(error_model="numpy", fastmath=True, cache=False)


@dataclass(frozen=True)
class Case:
    """``loss(numpy, scan, *args)`` for a library's namespace and scan; the gradient by *wanted*."""

    loss: Callable[..., Any]
    hand: Callable[..., Any]
    args: tuple[Any, ...]
    wanted: tuple[int, ...]
    steps: int


# --------------------------------------------------------------------------- Runge-Kutta, two numbers


def lotka_volterra(x: Any, y: Any, p: Any) -> Any:
    a, b, c, d = p
    return a * x - b * x * y, d * x * y - c * y


def runge_kutta(state: Any, p: Any) -> Any:
    (x, y), h = state, STEP
    k1, l1 = lotka_volterra(x, y, p)
    k2, l2 = lotka_volterra(x + h / 2 * k1, y + h / 2 * l1, p)
    k3, l3 = lotka_volterra(x + h / 2 * k2, y + h / 2 * l2, p)
    k4, l4 = lotka_volterra(x + h * k3, y + h * l3, p)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), y + h / 6 * (l1 + 2 * l2 + 2 * l3 + l4)


def rk4(np: Any, scan: Any, a: Any, b: Any, c: Any, d: Any, x: Any, y: Any) -> Any:
    step = lambda state, _: (runge_kutta(state, (a, b, c, d)), None)
    (x, y), _ = scan(step, (x, y), length=100_000)
    return x + y


@numba.njit(inline="always", error_model="numpy")
def _rates(x, y, a, b, c, d):  # type: ignore[no-untyped-def]
    return a * x - b * x * y, d * x * y - c * y


@by_hand
def rk4_by_hand(a, b, c, d, x, y):  # type: ignore[no-untyped-def]
    n, h = 100_000, STEP
    xs, ys = np.empty(n), np.empty(n)
    for i in range(n):
        xs[i], ys[i] = x, y
        k1, l1 = _rates(x, y, a, b, c, d)
        k2, l2 = _rates(x + h / 2 * k1, y + h / 2 * l1, a, b, c, d)
        k3, l3 = _rates(x + h / 2 * k2, y + h / 2 * l2, a, b, c, d)
        k4, l4 = _rates(x + h * k3, y + h * l3, a, b, c, d)
        x += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        y += h / 6 * (l1 + 2 * l2 + 2 * l3 + l4)
    gx, gy, ga, gb, gc, gd = 1.0, 1.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n - 1, -1, -1):
        x, y = xs[i], ys[i]
        k1, l1 = _rates(x, y, a, b, c, d)
        x2, y2 = x + h / 2 * k1, y + h / 2 * l1
        k2, l2 = _rates(x2, y2, a, b, c, d)
        x3, y3 = x + h / 2 * k2, y + h / 2 * l2
        k3, l3 = _rates(x3, y3, a, b, c, d)
        x4, y4 = x + h * k3, y + h * l3
        rx, ry = h / 6 * gx, h / 6 * gy
        for x_, y_, weight, back in (
            (x4, y4, h / 3, h),
            (x3, y3, h / 3, h / 2),
            (x2, y2, h / 6, h / 2),
        ):
            sx = rx * (a - b * y_) + ry * d * y_
            sy = ry * (d * x_ - c) - rx * b * x_
            ga += rx * x_
            gb -= rx * x_ * y_
            gd += ry * x_ * y_
            gc -= ry * y_
            rx, ry = weight * gx + back * sx, weight * gy + back * sy
            k1, l1 = (sx, sy) if back == h else (k1 + sx, l1 + sy)
        sx = rx * (a - b * y) + ry * d * y
        sy = ry * (d * x - c) - rx * b * x
        ga += rx * x
        gb -= rx * x * y
        gd += ry * x * y
        gc -= ry * y
        gx, gy = gx + k1 + sx, gy + l1 + sy
    return ga, gb, gc, gd


# ----------------------------------------------------------------------------- a recurrence, a branch


def recurrence(np: Any, scan: Any, a: Any, b: Any, us: Any) -> Any:
    step = lambda x, u: (np.where(x > u, a * x, x + b * u), None)
    return scan(step, us[0] * 0.0 + 0.5, us)[0]


@by_hand
def recurrence_by_hand(a, b, us):  # type: ignore[no-untyped-def]
    n = len(us)
    xs = np.empty(n)
    x = us[0] * 0.0 + 0.5
    for k in range(n):
        xs[k] = x
        u = us[k]
        x = a * x if x > u else x + b * u
    g, ga, gb = 1.0, 0.0, 0.0
    for k in range(n - 1, -1, -1):
        x, u = xs[k], us[k]
        taken = x > u
        ga += g * x if taken else 0.0
        gb += 0.0 if taken else g * u
        g = g * a if taken else g
    return ga, gb


# ------------------------------------------------------------------------------------- sixteen bodies

BODIES, ROUNDS = 16, 1000


def pull(np: Any, p: Any, m: Any) -> Any:
    d = p[None, :, :] - p[:, None, :]
    r2 = (d * d).sum(axis=2) + 0.01
    w = m[None, :] / (r2 * np.sqrt(r2))
    return (d * w[:, :, None]).sum(axis=1)


def bodies(np: Any, scan: Any, p: Any, v: Any, m: Any) -> Any:
    def step(state: Any, _: Any) -> Any:
        p, v = state
        v = v + STEP / 2 * pull(np, p, m)
        p = p + STEP * v
        return (p, v + STEP / 2 * pull(np, p, m)), None

    (p, v), _ = scan(step, (p, v), length=ROUNDS)
    return (p * p).sum() + (v * v).sum()


@by_hand_fast
def _pull(p, m, a):  # type: ignore[no-untyped-def]
    for i in range(BODIES):
        x, y, z = 0.0, 0.0, 0.0
        for j in range(BODIES):
            dx, dy, dz = p[j, 0] - p[i, 0], p[j, 1] - p[i, 1], p[j, 2] - p[i, 2]
            r2 = dx * dx + dy * dy + dz * dz + 0.01
            w = m[j] / (r2 * np.sqrt(r2))
            x += w * dx
            y += w * dy
            z += w * dz
        a[i, 0], a[i, 1], a[i, 2] = x, y, z


@by_hand_fast
def _pulled_back(p, m, ga, gp, gm):  # type: ignore[no-untyped-def]
    for i in range(BODIES):
        sx, sy, sz = 0.0, 0.0, 0.0
        gx, gy, gz = ga[i, 0], ga[i, 1], ga[i, 2]
        for j in range(BODIES):
            dx, dy, dz = p[j, 0] - p[i, 0], p[j, 1] - p[i, 1], p[j, 2] - p[i, 2]
            r2 = dx * dx + dy * dy + dz * dz + 0.01
            i3 = 1 / (r2 * np.sqrt(r2))
            w, gw = m[j] * i3, gx * dx + gy * dy + gz * dz
            gm[j] += gw * i3
            t = -3.0 * gw * w / r2
            bx, by, bz = w * gx + t * dx, w * gy + t * dy, w * gz + t * dz
            gp[j, 0] += bx
            gp[j, 1] += by
            gp[j, 2] += bz
            sx += bx
            sy += by
            sz += bz
        gp[i, 0] -= sx
        gp[i, 1] -= sy
        gp[i, 2] -= sz


@by_hand_fast
def bodies_by_hand(p, v, m):  # type: ignore[no-untyped-def]
    p, v, a, h = p.copy(), v.copy(), np.empty_like(p), STEP
    ps = np.empty((ROUNDS + 1, BODIES, 3))
    ps[0] = p
    _pull(p, m, a)
    for k in range(ROUNDS):
        v += h / 2 * a
        p += h * v
        ps[k + 1] = p
        _pull(p, m, a)
        v += h / 2 * a
    gp, gv, gm, ga = 2 * p, 2 * v, np.zeros(BODIES), np.zeros_like(p)
    for k in range(ROUNDS - 1, -1, -1):
        _pulled_back(ps[k + 1], m, ga + h / 2 * gv, gp, gm)
        gv += h * gp
        ga = h / 2 * gv
    _pulled_back(ps[0], m, ga, gp, gm)
    return gp, gv, gm


# ------------------------------------------------------------------------------------ a heat equation

SIZE, TIMES = 512, 50


def heat(np: Any, scan: Any, u: Any) -> Any:
    def step(u: Any, _: Any) -> Any:
        inner = u[1:-1, 1:-1]
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        return np.pad(inner + 0.1 * (around - 4.0 * inner), 1), None

    u, _ = scan(step, u, length=TIMES)
    return (u * u).sum()


@by_hand
def _spread(u, v):  # type: ignore[no-untyped-def]
    for i in range(1, SIZE - 1):
        for j in range(1, SIZE - 1):
            around = u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1]
            v[i, j] = u[i, j] + 0.1 * (around - 4.0 * u[i, j])


@by_hand
def heat_by_hand(u):  # type: ignore[no-untyped-def]
    """The step is its own adjoint but for the edge, to which it only gives."""
    u, v = u.copy(), np.zeros_like(u)
    for _ in range(TIMES):
        _spread(u, v)
        u, v = v, u
        v[0], v[-1], v[:, 0], v[:, -1] = 0.0, 0.0, 0.0, 0.0
    g, w = 2 * u, np.zeros_like(u)
    for _ in range(TIMES):
        g[0], g[-1], g[:, 0], g[:, -1] = 0.0, 0.0, 0.0, 0.0
        _spread(g, w)
        for k in range(1, SIZE - 1):
            w[0, k], w[-1, k] = 0.1 * g[1, k], 0.1 * g[-2, k]
            w[k, 0], w[k, -1] = 0.1 * g[k, 1], 0.1 * g[k, -2]
        g, w = w, g
    return g


# --------------------------------------------------------------------------------------------- report

RNG = np.random.default_rng(0)
CASES = {
    "RK4 of Lotka-Volterra, 10^5 steps, 4 parameters": Case(
        rk4, rk4_by_hand, (1.5, 1.0, 3.0, 1.0, 10.0, 5.0), (0, 1, 2, 3), 100_000
    ),
    "recurrence with a branch, 10^6 steps": Case(
        recurrence, recurrence_by_hand, (0.9, 0.1, RNG.normal(size=10**6)), (0, 1), 10**6
    ),
    "16 bodies, 1,000 leapfrog steps": Case(
        bodies,
        bodies_by_hand,
        (RNG.normal(size=(16, 3)), RNG.normal(size=(16, 3)) / 10, RNG.uniform(0.5, 1, 16)),
        (0, 1, 2),
        ROUNDS,
    ),
    "heat on 512x512, 50 steps": Case(
        heat, heat_by_hand, (RNG.normal(size=(SIZE, SIZE)),), (0,), TIMES
    ),
}


def ours(case: Case) -> Callable[[], Any]:
    compiled = ng.jit(ng.grad(lambda *args: case.loss(ng.numpy, ng.scan, *args), case.wanted))
    return counted(compiled, *[np.asarray(a) for a in case.args])


def by_jax(case: Case) -> Callable[[], Any]:
    loss = lambda *args: case.loss(jax.numpy, jax.lax.scan, *args)
    if case.loss is rk4 or case.loss is bodies or case.loss is heat:
        scan = lambda f, init, length: jax.lax.scan(f, init, None, length)
        loss = lambda *args: case.loss(jax.numpy, scan, *args)
    compiled = jax.jit(jax.grad(loss, case.wanted))
    args = [jax.numpy.asarray(a) for a in case.args]
    return lambda: jax.block_until_ready(compiled(*args))


def _tuple(found: Any) -> tuple[Any, ...]:
    return found if isinstance(found, tuple) else (found,)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scans", description=__doc__)
    parser.add_argument("--only", default="", metavar="REGEX", help="cases whose name matches")
    options = parser.parse_args()
    print(
        "| loop | nbgrad, ns a step | by hand | nbgrad / by hand | JAX / nbgrad |\n|---|---|---|---|---|"
    )
    for name, case in CASES.items():
        if not re.search(options.only, name):
            continue
        mine, its = ours(case), lambda case=case: case.hand(*case.args)
        expected = its()
        for a, b in zip(_tuple(mine()), _tuple(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
        pair, each = compare(mine, its), 1e3 / case.steps
        other = f"{1 / compare(mine, by_jax(case)).ratio:.1f}" if jax else ""
        print(
            f"| {name} | {pair.ours * each:.4g} | {pair.theirs * each:.4g} | {pair.ratio:.2f} | {other} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
