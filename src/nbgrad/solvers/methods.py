"""The methods by name: their loops, what functions they call, their options, and what they have to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from nbgrad.api.derivatives import jvp
from nbgrad.api.grad import grad, value_and_grad
from nbgrad.api.jacobian import hessian, jacfwd
from nbgrad.machine.compile import Kernel, compile_kernel
from nbgrad.solvers import bfgs, factors, lbfgs, lm, newton_cg, places, trust
from nbgrad.solvers import native as at
from nbgrad.solvers.compiled import Memory, Method, arguments
from nbgrad.solvers.losses import LOSSES

# What is derived of an objective, by the name of what a loop calls.
DERIVED: Final[dict[str, Callable[[Any], Any]]] = {
    "value_and_grad": value_and_grad,
    "value": lambda f: lambda x, *args: f(x, *args) + 0.0,
    "hessp": lambda f: lambda x, p, *args: jvp(lambda x: grad(f)(x, *args), (x,), (p,))[1],
    "grad_and_hess": lambda f: lambda x, *args: (grad(f, 0)(x, *args), hessian(f, 0)(x, *args)),
    "residual": lambda f: lambda x, *args: flat(f(x, *args)),
    "columns": lambda f: _columns(DERIVED["residual"](f)),
}

# Of how many vectors a derived function is, if not of one.
MOVING: Final = {"hessp": 2}


def flat(residuals: Any) -> Any:
    """Residuals as one vector: an array, or a list of such."""
    if isinstance(residuals, (list, tuple)):
        return np.concatenate([np.ravel(r) for r in residuals])
    return np.ravel(residuals)


def _columns(f: Any) -> Any:
    """The columns of the Jacobian, as rows."""
    return lambda x, *args: np.transpose(jacfwd(f, 0)(x, *args))


def _bfgs_calls(memory: Memory, n: int, m: int) -> list[tuple[list[Any], list[Any]]]:
    w = memory.w
    x, g = w[bfgs.XT * n : (bfgs.XT + 1) * n], w[bfgs.GT * n : (bfgs.GT + 1) * n]
    return [([x], [memory.s[at.FT : at.FT + 1].reshape(()), g])]


def _bfgs_result(memory: Memory, n: int) -> dict[str, Any]:
    return {"hess_inv": memory.w[bfgs.H * n : bfgs.H * n + n * n].reshape(n, n).copy()}


_PRODUCT: Final = """
def nb_product(lo, hi, h, s, v, g, q, n):
    product(h, s, v, g, q, n)
"""


def _bfgs_kernel(memory: Memory, n: int) -> tuple[Kernel, Any]:
    helpers = {"product": bfgs.product}
    kernel = compile_kernel(
        _PRODUCT, "nb_product", (*("f8*",) * 5, "i8"), noalias=True, helpers=helpers
    )
    start = memory.w.ctypes.data
    places = [start + 8 * n * k for k in (bfgs.H, bfgs.S, bfgs.V, bfgs.GT, bfgs.Q)]
    return kernel, arguments([*places, n])


BFGS: Final = Method(
    "bfgs", bfgs.bfgs, lambda n, m: bfgs.VECTORS * n + n * n, ("value_and_grad",), _bfgs_calls, bfgs.X, bfgs.G,
    {"gtol": (at.GTOL, 1e-5), "xrtol": (at.XTOL, 0.0), "c1": (at.DECREASE, 1e-4), "c2": (at.CURVATURE, 0.9),
     "width": (at.NARROW, 1e-14)},
    ("gtol",),    lambda n: {at.MOST_ITERATIONS: 200 * n, at.MOST_CALLS: 1 << 62}, _bfgs_result, kernel=_bfgs_kernel,
)  # fmt: skip


def _lm_calls(memory: Memory, n: int, m: int) -> list[tuple[list[Any], list[Any]]]:
    w, r, a = memory.w, factors.residuals(n), factors.jacobian(n, m)
    x, tried = (w[k * n : (k + 1) * n] for k in (factors.X, factors.XT))
    return [([tried], [w[r + m : r + 2 * m]]), ([x], [w[a : a + n * m].reshape(n, m)])]


def within(x: Any, bounds: Any, where: str) -> tuple[Any, Any]:
    """Bounds as vectors, which hold the start between them."""
    if bounds is None:
        return np.full(len(x), -np.inf), np.full(len(x), np.inf)
    try:
        low, high = (np.broadcast_to(np.asarray(b, float), x.shape) for b in bounds)
    except (TypeError, ValueError):
        raise ValueError(
            f"{where}: bounds must be two, of as many elements as x0 ({len(x)}), not {bounds!r}"
        ) from None
    if not (low <= high).all():
        k = int(np.argmin(low <= high))
        raise ValueError(
            f"{where}: no value is within the bounds of x[{k}], {low[k]} and {high[k]}"
        )
    return low, high


def _lm_prepare(memory: Memory, n: int, options: dict[str, Any], bounds: Any) -> None:
    """Losses by number, scales, bounds."""
    k, w = memory.k, memory.w
    low, high = (w[j * n : (j + 1) * n] for j in (factors.BELOW, factors.ABOVE))
    x, d = (w[j * n : (j + 1) * n] for j in (factors.X, factors.D))
    d.fill(0.0)
    low[:], high[:] = within(x, bounds, "nb-lm")
    if bounds is not None and not ((low <= x) & (x <= high) | np.isnan(x)).all():
        raise ValueError("nb-lm: x0 is not within the bounds")
    k[at.BOUNDED] = bounds is not None and bool(np.isfinite([low, high]).any())
    loss = options.pop("loss", None) or "linear"
    if loss not in LOSSES:
        raise ValueError(f"nb-lm: no loss is called {loss!r}; there are {', '.join(LOSSES)}")
    k[at.LOSS] = LOSSES.index(loss)
    scale = options.pop("x_scale", None)
    if scale is not None and not isinstance(scale, str):
        scale = np.broadcast_to(np.asarray(scale, float), n)
        if not ((scale > 0) & np.isfinite(scale)).all():
            raise ValueError("nb-lm: x_scale must be 'jac' or positive numbers")
        d[:] = 1 / scale
        k[at.SCALED] = 1


def _lm_result(memory: Memory, n: int) -> dict[str, Any]:
    w, m = memory.w, int(memory.k[at.M])
    r, a, c = factors.residuals(n), factors.jacobian(n, m), factors.damped(n)
    g = w[factors.G * n : (factors.G + 1) * n]
    return {
        "cost": float(memory.s[at.F]), "fun": w[r : r + m].copy(), "grad": g.copy(),
        "jac": w[a : a + n * m].reshape(n, m).T.copy(), "njev": int(memory.k[at.JACOBIANS]),
        "optimality": float(memory.s[at.GNORM]), "cov": w[c : c + n * n].reshape(n, n).copy(),
    }  # fmt: skip


LM: Final = Method(
    "lm", lm.lm, factors.size, ("residual", "columns"), _lm_calls, factors.X, factors.G,
    {"ftol": (at.FTOL, 1e-8), "xtol": (at.XTOL, 1e-8), "gtol": (at.GTOL, 1e-8), "f_scale": (at.F_SCALE, 1.0)},
    ("ftol", "xtol", "gtol"), lambda n: {at.MOST_ITERATIONS: 1 << 62, at.MOST_CALLS: 100 * n}, _lm_result,
    _lm_prepare, ("loss", "x_scale"), True, codes={
        at.GRADIENT: 1, at.SMALL_CHANGE: 2, at.SMALL_STEP: 3, at.BOTH: 4, at.TOO_MANY: 0, at.NOT_FINITE: -1,
        at.FAILED: -4,
    },
)  # fmt: skip


def _lbfgs_calls(memory: Memory, n: int, m: int) -> list[tuple[list[Any], list[Any]]]:
    w = memory.w
    x, g = (w[k * n : (k + 1) * n] for k in (places.XT, places.GT))
    return [([x], [memory.s[at.FT : at.FT + 1].reshape(()), g])]


def _lbfgs_prepare(memory: Memory, n: int, options: dict[str, Any], bounds: Any) -> None:
    """Bounds, within which the start is brought."""
    k, w = memory.k, memory.w
    x, low, high = (w[j * n : (j + 1) * n] for j in (places.X, places.BELOW, places.ABOVE))
    low[:], high[:] = within(x, bounds, "nb-lbfgs")
    k[at.BOUNDED] = bounds is not None and bool(np.isfinite([low, high]).any())
    k[at.MEMORY] = k[at.M]
    if bounds is not None:
        np.clip(x, low, high, x)


LBFGS: Final = Method(
    "lbfgs", lbfgs.lbfgs, places.words, ("value_and_grad",), _lbfgs_calls, places.X, places.G,
    {"ftol": (at.FTOL, 2.220446049250313e-09), "gtol": (at.GTOL, 1e-5), "c1": (at.DECREASE, 1e-3),
     "c2": (at.CURVATURE, 0.9), "width": (at.NARROW, 0.1)},
    ("ftol", "gtol"), lambda n: {at.MOST_ITERATIONS: 15000, at.MOST_CALLS: 15000}, lambda memory, n: {},
    _lbfgs_prepare, ("maxcor",), False, 10,
)  # fmt: skip


def _newton_cg_calls(memory: Memory, n: int, m: int) -> list[tuple[list[Any], list[Any]]]:
    names = ["X", "G", "P", "XT", "GT", "R", "D", "HD"]
    of = {name: memory.w[k * n : (k + 1) * n] for k, name in enumerate(names)}
    value = memory.s[at.FT : at.FT + 1].reshape(())
    return [([of["XT"]], [value, of["GT"]]), ([of["X"], of["D"]], [of["HD"]])]


NEWTON_CG: Final = Method(
    "newton-cg", newton_cg.newton_cg, lambda n, m: newton_cg.VECTORS * n, ("value_and_grad", "hessp"),
    _newton_cg_calls, newton_cg.X, newton_cg.G,
    {"xtol": (at.XTOL, 1e-5), "c1": (at.DECREASE, 1e-4), "c2": (at.CURVATURE, 0.9), "width": (at.NARROW, 1e-14)},
    ("xtol",), lambda n: {at.MOST_ITERATIONS: 200 * n, at.MOST_CALLS: 1 << 62},
    lambda memory, n: {"nhev": int(memory.k[at.PRODUCTS])},
)  # fmt: skip


def _trust_calls(memory: Memory, n: int, m: int) -> list[tuple[list[Any], list[Any]]]:
    w = memory.w
    x, g, tried = (w[k * n : (k + 1) * n] for k in (trust.X, trust.G, trust.XT))
    hessian = w[trust.VECTORS * n : trust.VECTORS * n + n * n].reshape(n, n)
    return [([tried], [memory.s[at.FT : at.FT + 1].reshape(())]), ([x], [g, hessian])]


def _trust_result(memory: Memory, n: int) -> dict[str, Any]:
    count = int(memory.k[at.JACOBIANS])
    hessian = memory.w[trust.VECTORS * n : trust.VECTORS * n + n * n].reshape(n, n)
    return {"njev": count, "nhev": count, "hess": hessian.copy()}


TRUST: Final = Method(
    "trust", trust.trust, lambda n, m: trust.VECTORS * n + 2 * n * n, ("value", "grad_and_hess"), _trust_calls,
    trust.X, trust.G,
    {"gtol": (at.GTOL, 1e-4), "initial_trust_radius": (at.RADIUS, 1.0),
     "max_trust_radius": (at.LONGEST, 1000.0), "eta": (at.CURVATURE, 0.15)},
    ("gtol",), lambda n: {at.MOST_ITERATIONS: 200 * n, at.MOST_CALLS: 1 << 62}, _trust_result,
)  # fmt: skip

METHODS: Final[Mapping[str, Method]] = {
    f"nb-{method.name}": method for method in (BFGS, LBFGS, LM, NEWTON_CG, TRUST)
}
