"""Results that are differentiated: by the conditions that they fulfil, whatever solver found them.

A minimum between bounds and under constraints is where these vanish, of x and the multipliers v:

    x - clip(x - g, lower, upper),    g = the gradient of fun(x) - v @ c(x)
    c(x) - clip(c(x) - v, lower, upper)

One form holds for what is free and what is at its limit, so that which is which need not be known before the
solve. Where a limit is met but does not press, the derivative is that of one side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from nbgrad.api.grad import grad
from nbgrad.api.implicit import defined
from nbgrad.api.trees import leaves, ravel
from nbgrad.core.modes import modes
from nbgrad.core.node import leaf_node
from nbgrad.optimize.constraining import Constraint
from nbgrad.optimize.problem import Problem
from nbgrad.optimize.swept import requires_grad
from nbgrad.tensors.tensor import Tensor

Func = Callable[..., Any]
Solver = Callable[[Problem], OptimizeResult]
NEAR = 1e-6  # from a limit, relatively: a constraint that holds it


def differentiated(p: Problem, exact: bool = True) -> bool:
    """Whether somebody asks for derivatives of the result, so that they have to be recorded.

    Where the user gave derivatives, not *exact*, nothing is traced to see that.
    """
    if modes.tracing:
        return True
    if not modes.grad:
        return False
    given = [p.args, *[c.args for c in p.constraints]]
    if any(isinstance(a, Tensor) and a.requires_grad for a in leaves(given)):
        return True
    if exact:
        return p.reads_tracked or any(c.reads_tracked for c in p.constraints)
    return any(_reads_tracked(f, p) for f in (p, *p.constraints))


def _reads_tracked(stated: Any, p: Problem) -> bool:
    """Whether what a function returns at the start has a history."""
    try:
        out = p.space.over(stated.function)(Tensor(leaf_node(p.x0)), *stated.values)
    except Exception:  # it takes arrays alone, or says what is wrong when it is solved
        return False
    return requires_grad(*leaves(out))


def recorded(name: str, p: Problem, conditions: Func, of: Func, start: Any, run: Solver) -> Any:
    """The result of *run*, whose x is a root of *conditions*.

    Parameters
    ----------
    conditions : callable
        Of what is unknown, nested as *start*: a vector, or that and multipliers.
    of : callable
        What the solver needs to know of *p*, of the same: ``(fun, constraints)``.
    """
    found: list[OptimizeResult] = []
    tracing = modes.tracing

    def solve(of: Func, start: Any) -> Any:
        q = again(p, of, start) if tracing else p
        result = run(q)
        found.append(result)
        if not isinstance(start, tuple):
            return np.asarray(result.x, float)
        return np.asarray(result.x, float), multipliers(q, np.asarray(result.x, float))

    unknown = defined(name, conditions, start, solve, of, (None, None))
    x = unknown[0] if isinstance(start, tuple) else unknown
    result = found[0] if found and not tracing else OptimizeResult()
    result.x = p.nested(x)
    return result, x


def again(p: Problem, of: Func, start: Any) -> Problem:
    """The problem that *p* is, of numbers that are known by now."""
    whole = isinstance(start, tuple)
    at = (lambda x: (x, start[1])) if whole else (lambda x: x)
    q = Problem(lambda x: of(at(x))[0], p.x0, (), (), p.bounds)
    for k, c in enumerate(p.constraints):
        made = Constraint(lambda x, k=k: of(at(x))[1][k], q.space, (), (c.lower, c.upper))
        made.kind, made.keep_feasible = c.kind, c.keep_feasible
        q.constraints.append(made)
    return q


def minimum(name: str, p: Problem, fun: Func, run: Solver, of: Func | None = None) -> Any:
    """A minimum of *fun*, a number of a vector, found by *run*."""
    vectors: list[Func] = [(lambda x, c=c: c.programs.vector(x, *c.args)) for c in p.constraints]
    limits = [(c.lower, c.upper) for c in p.constraints]

    def lagrangian(x: Any, v: Any) -> Any:
        value, start = fun(x), 0
        for f in vectors:
            values = f(x)
            value = value - (v[start : start + len(values)] * values).sum()
            start += len(values)
        return value

    def bounded(x: Any, slope: Any) -> Any:
        return slope if p.bounds is None else x - np.clip(x - slope, *p.bounds)

    def conditions(z: Any) -> Any:
        x, v = z
        rest, start = [], 0
        for f, (lower, upper) in zip(vectors, limits, strict=True):
            values = f(x)
            part = v[start : start + len(values)]
            rest.append(values - np.clip(values - part, lower, upper))
            start += len(values)
        return bounded(x, grad(lagrangian)(x, v)), ravel(rest)[0]

    known = of or fun
    if not p.constraints:
        free = lambda x: bounded(x, grad(fun)(x))
        result, x = recorded(name, p, free, lambda x: (known(x), ()), p.x0, run)
    else:
        start = p.x0, np.zeros(sum(sizes(p)))
        both = lambda z: (known(z[0]), [f(z[0]) for f in vectors])
        result, x = recorded(name, p, conditions, both, start, run)
    return result, x


def sizes(p: Problem) -> list[int]:
    """How many values each constraint has."""
    return [c.programs.size for c in p.constraints]


def multipliers(p: Problem, x: Any) -> Any:
    """Of each value of the constraints, so that the gradient at the minimum *x* vanishes."""
    values = [c.value(x) for c in p.constraints]
    held, rows = [], []
    for c, value in zip(p.constraints, values, strict=True):
        near = NEAR * (1 + np.abs(value))
        held.append((np.abs(value - c.lower) <= near) | (np.abs(value - c.upper) <= near))
        rows.append(c.jac(x))
    free = np.ones(len(x), bool)
    if p.bounds is not None:
        near = NEAR * (1 + np.abs(x))
        free = (x > p.bounds[0] + near) & (x < p.bounds[1] - near)
    active, matrix = np.concatenate(held), np.concatenate(rows)
    found = np.zeros(len(active))
    if active.any():
        found[active] = np.linalg.lstsq(matrix[active][:, free].T, p.grad(x)[free], rcond=None)[0]
    return found
