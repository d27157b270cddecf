"""Linear operations: the adjoint is the backward rule, the operation itself the forward one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.node import Node, constant
from nbgrad.core.primitive import Primitive, Rules
from nbgrad.core.registry import primitives
from nbgrad.ops.kinds.batching import SHIFTED, Batch
from nbgrad.ops.kinds.cotangents import (
    materialize,
)
from nbgrad.ops.kinds.forms import Host
from nbgrad.ops.kinds.names import camel
from nbgrad.ops.kinds.reaching import Reach, reach_of

if TYPE_CHECKING:
    from nbgrad.ops.kinds.names import Rule


def linear(
    name: str,
    *,
    aval: Callable[..., Aval],
    adjoint: Rule,
    evaluate: Callable[..., Any],
    doc: str,
    batch: Batch = SHIFTED,
    lower: Any = None,
    reference: Any = None,
    cases: tuple[Any, ...] = (),
    grad_name: str = "",
    structural: bool = False,
    alias: bool = False,
    reach: Reach | None = None,
) -> Primitive:
    """Declare an operation linear in all its array operands, of the same dtype.

    ``adjoint(ct, *avals, **params)`` gets the avals of the operands, never their values, and
    returns one cotangent (or a tuple, one per operand).
    """

    def prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
        xs = tuple(x if x.__class__ is Node else constant(x) for x in xs)
        dtype = np.result_type(*(x.dtype for x in xs))
        xs = tuple(x if x.dtype == dtype else primitives["cast"](x, dtype=dtype) for x in xs)
        return xs, aval(*(x.aval for x in xs), **params), ()

    def vjp(ct: Any, y: Any, xs: Any, params: Any, wants: Any) -> Sequence[Any]:
        cts = adjoint(materialize(ct, y.aval), *(x.aval for x in xs), **params)
        return cts if isinstance(cts, (tuple, list)) else (cts,)

    def jvp(tangents: Any, y: Any, xs: Any, params: Any) -> Any:
        filled = [
            materialize(0.0 if t is None else t, x.aval) for t, x in zip(tangents, xs, strict=True)
        ]
        return prim(*filled, **params)

    prim = Primitive(
        name=name,
        kind="linear",
        evaluate=evaluate,
        prepare=prepare,
        rules=Rules(vjp, jvp, batch, reach=reach or reach_of(lower)),
        lower=lower or Host(),
        grad_name=grad_name or camel(name),
        doc=doc,
        reference=reference,
        cases=cases,
        structural=structural,
        alias=alias,
    )
    return prim
