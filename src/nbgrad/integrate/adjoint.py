"""The continuous adjoint: the gradient as the solution of a differential equation, solved backwards.

With a' = -(df/dy)^T a, a begins at the last time with the cotangent of the state there, and takes up
those of the others on its way; of what f reads the cotangent is the integral of (df/dp)^T a. States are
solved backwards with it, from each save point anew (Pontryagin and others, The mathematical theory of
optimal processes, 1962; Chen and others, Neural ordinary differential equations, 2018). Nothing is kept
but the results; the gradient is that of the solution, and not that of the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nbgrad.api.custom import custom_vjp
from nbgrad.api.derivatives import vjp
from nbgrad.api.loops import scan
from nbgrad.core.interpret import inline
from nbgrad.integrate.adaptive import Solver, checked
from nbgrad.integrate.problem import Function
from nbgrad.tensors.tensor import Tensor


def continuous(
    make: Callable[[Function, Any], Solver], f: Function, y0: Tensor, times: Any
) -> Tensor:
    """The states at *times* but the first; ``make(f, times)`` makes the solver."""
    closed = [Tensor(n) for n in f.captured]
    places = [k for k, x in enumerate(closed) if x.dtype.kind == "f"]

    def reading(some: Sequence[Tensor]) -> Function:
        nodes = list(f.captured)
        for k, x in zip(places, some, strict=True):
            nodes[k] = x._node
        return Function(f.tape, nodes)

    def solve(y0: Tensor, times: Tensor, *some: Tensor) -> Tensor:
        solver = make(reading(some), times)
        at, rows = solver.saved(solver.begin(times[0], y0), times[1:], {})
        return solver.verify(rows, at, times)

    def forward(y0: Tensor, times: Tensor, *some: Tensor) -> Any:
        rows = solve(y0, times, *some)
        return rows, (y0, times, rows, some)

    def backward(kept: Any, ct: Tensor) -> Any:
        y0, times, rows, some = kept
        return _pulled(make(reading(some), times), y0, times, rows, some, ct, places)

    found = custom_vjp(solve)
    found.defvjp(forward, backward)
    result: Tensor = found(y0, times, *[closed[k] for k in places])
    return result


def _pulled(
    solver: Solver, y0: Any, times: Any, rows: Any, some: Any, ct: Any, places: Sequence[int]
) -> tuple[Any, ...]:
    """The cotangents of the first state, the times, and what *f* reads."""
    f, n = solver.f, y0.shape[0]
    back = augmented(solver, n, some, places)

    def one(carry: Any, row: Any) -> Any:
        a, found = carry
        start, end, y, ct = row
        a = a + ct
        by_time = (ct * f(end, y)).sum()
        run = replace(back, end=start.detach())
        at = run.run(run.begin(end, np.concatenate([y, a, found])), run.end)
        return (at.y[n : 2 * n], at.y[2 * n :]), (by_time, run.facts(at))

    none = np.zeros(sum(x.size for x in some), y0.dtype)
    xs = (times[:-1], times[1:], rows, ct)
    (a, found), (by_time, facts) = scan(one, (np.zeros(n, y0.dtype), none), xs, reverse=True)
    a, found = (checked(x, back.judge, *facts, facts[0] | True) for x in (a, found))
    by_start = -(a * f(times[0], y0)).sum()
    parts, start = [], 0
    for x in some:
        parts.append(found[start : start + x.size].reshape(x.shape).astype(x.dtype))
        start += x.size
    return a, np.concatenate([by_start[None], by_time]), *parts


def augmented(solver: Solver, n: int, some: Sequence[Any], places: Sequence[int]) -> Solver:
    """The same of the state, its cotangent, and those of what *f* reads, in the other direction."""
    f: Any = solver.f

    def value(t: Any, y: Any, *some: Any) -> Any:
        nodes = [t._node, y._node, *f.captured]
        for k, x in zip(places, some, strict=True):
            nodes[2 + k] = x._node
        return Tensor(inline(f.tape, nodes)[0])

    def slopes(t: Any, v: Any) -> Any:
        dy, pull = vjp(lambda y, *some: value(t, y, *some), v[:n], *some)
        cts = [c.ravel().astype(v.dtype) for c in pull(v[n : 2 * n])]
        return np.concatenate([dy, *[-c for c in cts]])

    total = sum(x.size for x in some)
    tolerances = []
    for x in (solver.rtol, solver.atol):
        if isinstance(x, np.ndarray):
            x = np.concatenate([x, x, np.full(total, x.min())])
        tolerances.append(x)
    rtol, atol = tolerances
    judge = replace(solver.judge, where=f"{solver.judge.where}, backwards for the gradient")
    return replace(
        solver,
        f=slopes,
        rtol=rtol,
        atol=atol,
        sign=-solver.sign,
        first=None,
        judge=judge,
        timed=True,
    )
