"""Sylvester's equation A X + X B = Q, whose derivatives are solutions of such equations, too."""

from __future__ import annotations

from typing import Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.lazy import load
from nbgrad.core.node import Node
from nbgrad.ops.basis import cast
from nbgrad.ops.kinds.batching import EACH
from nbgrad.ops.kinds.cotangents import add_up, materialize
from nbgrad.ops.kinds.opaque import opaque
from nbgrad.ops.linalg.matrices import adjoint, matmul


def _prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
    dtype = np.result_type(*(x.dtype for x in xs), np.float32)
    xs = tuple(x if x.dtype == dtype else cast(x, dtype=dtype) for x in xs)
    return xs, xs[2].aval, ()


def _solve(a: Any, b: Any, q: Any) -> Any:
    if not q.size:
        return q.copy()
    found = load("scipy.linalg").solve_sylvester(a, b, q)
    return np.ascontiguousarray(found, dtype=q.dtype)


def _vjp(ct: Any, y: Node, xs: Any, params: Any, wants: Any) -> tuple[Any, ...]:
    a, b, _ = xs
    passed = solve_sylvester(adjoint(a), adjoint(b), materialize(ct, y.aval))
    turned = adjoint(y)
    return (
        -matmul(passed, turned) if wants[0] else None,
        -matmul(turned, passed) if wants[1] else None,
        passed,
    )


def _jvp(tangents: Any, y: Node, xs: Any, params: Any) -> Node:
    of_a, of_b, of_q = tangents
    terms = [None if of_q is None else materialize(of_q, y.aval)]
    if of_a is not None:
        terms.append(-matmul(materialize(of_a, xs[0].aval), y))
    if of_b is not None:
        terms.append(-matmul(y, materialize(of_b, xs[1].aval)))
    return solve_sylvester(*xs[:2], materialize(add_up(terms), y.aval))


solve_sylvester = opaque(
    "solve_sylvester",
    batch=EACH,
    prepare=_prepare,
    evaluate=_solve,
    vjp=_vjp,
    jvp=_jvp,
    domain=((0.5, 2.0), (0.5, 2.0), (-2.0, 2.0)),
    cases=(((2, 2), (1, 1), (2, 1)),),
    doc="Solution X of A X + X B = Q.",
)
