"""Transforms and loops as steps of compositions."""

from __future__ import annotations

from typing import Any

import numpy as np
from composed import C, Func, M, Transform, V, along, matrix, slope

import nbgrad as ng


def weighted(f: Func) -> Func:
    return lambda y: (f(y) * C).sum()


def _ours_jvp(f: Func, choice: int) -> Func:
    return lambda x: ng.autograd.functional.jvp(f, ng.as_tensor(x), ng.as_tensor(V + x), True)[1]


def _ours_vjp(f: Func, choice: int) -> Func:
    return lambda x: ng.autograd.functional.vjp(f, ng.as_tensor(x), ng.as_tensor(C * x), True)[1]


def _ours_jacobian(f: Func, choice: int) -> Func:
    made = (ng.jacobian, ng.jacfwd, ng.jacrev)[choice % 3](f)
    return lambda x: ng.as_tensor(made(x)) @ V


def _ours_vmap(f: Func, choice: int) -> Func:
    if choice % 3 == 0:
        return lambda x: ng.as_tensor(ng.vmap(f)(np.stack([x, x * 0.5, x - 1.0]))).sum(0)
    if choice % 3 == 1:  # by the last axis, closing over what surrounds it
        mapped = lambda x: ng.vmap(lambda r: f(r * x), in_axes=1, out_axes=1)(
            np.stack([x, x * 0.5], 1)
        )
        return lambda x: ng.as_tensor(mapped(x)) @ V
    both = lambda x: ng.vmap(lambda r, s: f(r) * s, in_axes=(None, 0))(x, ng.as_tensor(M) * x[0])
    return lambda x: ng.as_tensor(both(x)).sum(0)


def _theirs_vmap(f: Func, choice: int) -> Func:
    if choice % 3 == 0:
        return lambda x: f(x) + f(x * 0.5) + f(x - 1)
    if choice % 3 == 1:
        return lambda x: f(x * x) * V[0] + f(x * 0.5 * x) * V[1]
    return lambda x: f(x) * (M * x[0]).sum(0)


def _ours_scan(f: Func, choice: int) -> Func:
    step = lambda c, t: (f(c) * t + c, c * t)
    return lambda x: _total(ng.scan(step, ng.as_tensor(x) * 1.0, M[0], reverse=choice % 2 == 1))


def _total(found: Any) -> Any:
    return found[0] + found[1].sum(0)


def _theirs_scan(f: Func, choice: int) -> Func:
    def looped(x: Any) -> Any:
        c, ys = x, 0
        for t in M[0][::-1] if choice % 2 else M[0]:
            c, ys = f(c) * t + c, ys + c * t
        return c + ys

    return looped


def _ours_while(f: Func, choice: int) -> Func:
    def looped(x: Any) -> Any:
        state = ng.while_loop(
            lambda s: s[0] < 2,
            lambda s: (s[0] + 1, f(s[1])),
            (0, ng.as_tensor(x) * 1.0),
            max_steps=3,
        )
        return state[1]

    return looped


def _ours_cond(f: Func, choice: int) -> Func:
    return lambda x: ng.cond(ng.as_tensor(x).sum() > 0.3, f, lambda y: y * y * V, ng.as_tensor(x))


BASIC: dict[str, Transform] = {
    "grad": Transform(
        1,
        lambda f, choice: ng.grad(weighted(f)),
        lambda f, choice: lambda x: slope(f, x),
    ),
    "value_and_grad": Transform(
        1,
        lambda f, choice: lambda x: (lambda v, g: v * g)(*ng.value_and_grad(weighted(f))(x)),
        lambda f, choice: lambda x: (C @ f(x)) * slope(f, x),
    ),
    "jvp": Transform(1, _ours_jvp, lambda f, choice: lambda x: along(f, x, V + x)),
    "vjp": Transform(1, _ours_vjp, lambda f, choice: lambda x: (C * x) @ matrix(f, x)),
    "jacobian": Transform(1, _ours_jacobian, lambda f, choice: lambda x: along(f, x, V)),
    "hessian": Transform(
        2,
        lambda f, choice: lambda x: ng.as_tensor(ng.hessian(weighted(f))(x)) @ V,
        lambda f, choice: lambda x: along(lambda y: slope(f, y), x, V),
    ),
    "vmap": Transform(0, _ours_vmap, _theirs_vmap),
    "jit": Transform(0, lambda f, choice: ng.jit(f), lambda f, choice: f),
    "scan": Transform(0, _ours_scan, _theirs_scan),
    "cond": Transform(
        0, _ours_cond, lambda f, choice: lambda x: f(x) if x.sum() > 0.3 else x * x * V
    ),
    "while_loop": Transform(0, _ours_while, lambda f, choice: lambda x: f(f(x))),
    "checkpoint": Transform(
        0,
        lambda f, choice: lambda x: ng.checkpoint(f, ng.as_tensor(x)),
        lambda f, choice: f,
    ),
}
