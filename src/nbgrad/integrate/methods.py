"""One step of each method: what it makes of a time, a state and a step size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nbgrad.api.derivatives import jvp
from nbgrad.api.jacobian import jacobian
from nbgrad.integrate.problem import Func
from nbgrad.integrate.tableaux import (
    BOGACKI_SHAMPINE,
    DORMAND_PRINCE,
    EULER,
    MIDPOINT,
    RK4,
    RODAS,
    Explicit,
    Rosenbrock,
)

Method = Explicit | Rosenbrock
ADAPTIVE: dict[str, Method] = {
    "RK45": DORMAND_PRINCE,
    "dopri5": DORMAND_PRINCE,
    "RK23": BOGACKI_SHAMPINE,
    "bosh3": BOGACKI_SHAMPINE,
    "Rodas4": RODAS,
    "rodas4": RODAS,
}
FIXED: dict[str, Explicit] = {"euler": EULER, "midpoint": MIDPOINT, "rk4": RK4}
# Methods of SciPy's and others', and what does what they are taken for.
OTHERS = dict.fromkeys(("Radau", "BDF", "LSODA", "kvaerno5"), "Rodas4")
OTHERS |= dict.fromkeys(("DOP853", "dopri8", "tsit5", "Tsit5", "adams"), "RK45")


def method_of(name: Any, where: str) -> Method:
    """The method of that name.

    Raises
    ------
    ValueError
        If there is none; with the one to take instead.
    """
    found = ADAPTIVE.get(name) or FIXED.get(name) if isinstance(name, str) else None
    if found is None:
        names = ", ".join(repr(n) for n in ("RK45", "RK23", "Rodas4", *FIXED))
        hint = f"; for {name!r} take {OTHERS[name]!r}" if name in OTHERS else ""
        raise ValueError(f"{where}: method={name!r} is not one of {names}{hint}")
    return found


def stepping(method: Method) -> bool:
    """Whether the method chooses the size of its steps."""
    return isinstance(method, Rosenbrock) or bool(method.error)


class Step(NamedTuple):
    """The state at the end, the derivative there, the estimated error.

    ``kept`` is what the interpolant reads besides the states at both ends and the derivative at the end.
    """

    y: Any
    slope: Any
    error: Any
    kept: list[Any]


def combined(weights: Sequence[float], ks: Sequence[Any]) -> Any:
    """The sum of *ks* by weights, those that are 0 left out; None if all are."""
    found = None
    for w, k in zip(weights, ks, strict=False):
        if w:
            term = k if w == 1 else k * w
            found = term if found is None else found + term
    return found


def stages(f: Func, tableau: Explicit, t: Any, y: Any, slope: Any, h: Any) -> list[Any]:
    """All derivatives of a step that begins with *slope*."""
    ks = [slope]
    for c, row in zip(tableau.c[1:], tableau.a[1:], strict=True):
        time = t + h if c == 1 else t + h * c
        ks.append(f(time, y + combined(row, ks) * h))
    return ks


def step_of(f: Func, method: Method, t: Any, y: Any, slope: Any, h: Any) -> Step:
    """One step with an estimate of its error."""
    if isinstance(method, Rosenbrock):
        return _implicit(f, method, t, y, slope, h)
    ks = stages(f, method, t, y, slope, h)
    end = y + combined(method.b, ks) * h
    kept = [slope, combined(method.dense, ks)] if method.dense else [slope]
    return Step(end, ks[-1], combined(method.error, ks) * h, kept)


def _implicit(f: Func, method: Rosenbrock, t: Any, y: Any, slope: Any, h: Any) -> Step:
    size, dtype = y.shape[0], y.dtype
    matrix = jacobian(lambda y: f(t, y))(y)
    by_time = jvp(lambda t: f(t, y), (t,), (np.ones((), t.dtype),))[1]
    solve = np.linalg.inv(np.eye(size, dtype=dtype) / (method.gamma * h) - matrix)
    us: list[Any] = []
    for k, alpha in enumerate(method.alpha):
        moved = combined(method.a[k], us)
        right = f(t + alpha * h, y + moved) if us else slope
        if us:
            right = right + combined(method.c[k], us) / h
        if method.d[k]:
            right = right + by_time * (method.d[k] * h)
        us.append(solve @ right)
    end = y + moved + us[-1]
    return Step(end, f(t + h, end), us[-1], [combined(row, us) for row in method.dense])


def nothing_kept(method: Method, slope: Any) -> list[Any]:
    """What is kept where no step was taken: that of the tangent, for a step of length 1."""
    kept = [slope]
    if method.dense:
        kept.append(slope * 0)
    return kept


def interpolated(
    method: Method, begin: Any, end: Any, slope: Any, kept: Sequence[Any], h: Any, part: Any
) -> Any:
    """The state at a *part* of a step of length *h*, which ended with *slope*."""
    rest, rise = 1 - part, end - begin
    if isinstance(method, Rosenbrock):
        third, fourth = kept
        return begin + part * (rise + rest * (third + part * fourth))
    first = kept[0] * h - rise
    inner = rise - slope * h - first
    if method.dense:
        inner = inner + rest * (kept[1] * h)
    return begin + part * (rise + rest * (first + part * inner))
