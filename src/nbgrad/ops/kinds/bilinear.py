"""Bilinear operations: both rules follow from two adjoints, by the product rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.core.aval import Aval
from nbgrad.core.node import Node, constant
from nbgrad.core.primitive import Primitive, Rules
from nbgrad.core.registry import primitives
from nbgrad.ops.kinds.batching import LEADING, Batch
from nbgrad.ops.kinds.cotangents import (
    add_up,
    materialize,
)
from nbgrad.ops.kinds.forms import Host
from nbgrad.ops.kinds.names import camel
from nbgrad.ops.kinds.reaching import Reach

if TYPE_CHECKING:
    from nbgrad.ops.kinds.names import Rule


def bilinear(
    name: str,
    *,
    aval: Callable[..., Aval],
    adjoints: tuple[Rule, Rule],
    evaluate: Callable[..., Any],
    doc: str,
    batch: Batch = LEADING,
    lower: Any = None,
    cases: tuple[Any, ...] = (),
    grad_name: str = "",
    reach: Reach | None = None,
    algebra: Any = None,
) -> Primitive:
    """Declare an operation linear in each of two operands.

    ``adjoints[0](ct, b, a)`` is the cotangent of the first operand *a*, which is given for its
    shape only; ``adjoints[1](ct, a, b)`` is that of the second.
    """

    def prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
        a, b = (x if x.__class__ is Node else constant(x) for x in xs)
        dtype = np.result_type(a.dtype, b.dtype)
        a, b = (x if x.dtype == dtype else primitives["cast"](x, dtype=dtype) for x in (a, b))
        return (a, b), aval(a.aval, b.aval, **params), ()

    def vjp(ct: Any, y: Any, xs: Any, params: Any, wants: Any) -> tuple[Any, Any]:
        a, b = xs
        ct = materialize(ct, y.aval)
        return (
            adjoints[0](ct, b, a) if wants[0] else None,
            adjoints[1](ct, a, b) if wants[1] else None,
        )

    def jvp(tangents: Any, y: Any, xs: Any, params: Any) -> Any:
        (ta, tb), (a, b) = tangents, xs
        left = None if ta is None else prim(materialize(ta, a.aval), b, **params)
        right = None if tb is None else prim(a, materialize(tb, b.aval), **params)
        return add_up([left, right])

    prim = Primitive(
        name=name,
        kind="bilinear",
        evaluate=evaluate,
        prepare=prepare,
        rules=Rules(vjp, jvp, batch, reach=reach),
        lower=lower or Host(),
        grad_name=grad_name or camel(name),
        doc=doc,
        reference=evaluate,
        cases=cases,
        algebra=algebra,
    )
    return prim
