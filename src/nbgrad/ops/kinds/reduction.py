"""Reductions: from a way to combine two elements, axes and kept dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval, normalize_axis
from nbgrad.core.node import Node, constant
from nbgrad.core.primitive import Primitive, Rules
from nbgrad.core.registry import primitives
from nbgrad.ops.kinds.batching import EACH, SHIFTED
from nbgrad.ops.kinds.cotangents import (
    materialize,
    reduced_shape,
)
from nbgrad.ops.kinds.forms import Combine, Host, Library
from nbgrad.ops.kinds.names import camel
from nbgrad.ops.kinds.reaching import OVER

if TYPE_CHECKING:
    from nbgrad.ops.kinds.names import Rule


def reduction(
    name: str,
    *,
    evaluate: Callable[..., Any],
    doc: str,
    combine: Combine | None = None,
    library: Library | None = None,
    vjp: Rule | None = None,
    jvp: Rule | None = None,
    dtype: Callable[[np.dtype[Any]], np.dtype[Any]] = lambda d: d,
    needs_elements: bool = False,
    domain: tuple[tuple[float, float], ...] = ((-2.0, 2.0),),
    grad_name: str = "",
    algebra: Any = None,
) -> Primitive:
    """Declare an operation that reduces over ``axis`` (a tuple of axes), with ``keepdims``.

    ``vjp(ct, y, x, axis, keepdims)`` returns the cotangent of ``x``; ``ct`` may be a number.
    ``jvp(t, y, x, axis, keepdims)`` returns the tangent.
    """

    def prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
        x = xs[0] if xs[0].__class__ is Node else constant(xs[0])
        wanted = dtype(x.dtype)
        if combine is not None and x.dtype != wanted:
            x = primitives["cast"](x, dtype=wanted)
        axis = normalize_axis(name, params["axis"], x.ndim)
        if needs_elements and any(x.shape[a] == 0 for a in axis):
            raise ValueError(
                f"{name}: zero-size array to reduction operation {name} which has no identity "
                f"(shape {x.shape}, axis {axis})"
            )
        return (x,), make_aval(reduced_shape(x.shape, axis, params["keepdims"]), wanted), ()

    def vjp_rule(ct: Any, y: Any, xs: Any, params: Any, wants: Any) -> tuple[Any, ...]:
        return (vjp(ct, y, xs[0], **params),)  # type: ignore[misc]

    def jvp_rule(tangents: Any, y: Any, xs: Any, params: Any) -> Any:
        return jvp(materialize(tangents[0], xs[0].aval), y, xs[0], **params)  # type: ignore[misc]

    def batch(prim: Any, xs: Any, mapped: Any, params: dict[str, Any], size: int) -> Any:
        # Over no axes a batch would be one; a position among several is one in all of the array.
        alike = len(params["axis"]) == 1 or (library is None and params["axis"])
        return (SHIFTED if alike else EACH)(prim, xs, mapped, params, size)

    return Primitive(
        name=name,
        kind="reduction",
        evaluate=evaluate,
        prepare=prepare,
        rules=Rules(vjp_rule if vjp else None, jvp_rule if jvp else None, batch, reach=OVER),
        lower=combine or library or Host(),
        grad_name=grad_name or camel(name),
        doc=doc,
        reference=evaluate,
        domain=domain,
        algebra=algebra,
    )
