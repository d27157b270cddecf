"""Elementwise operations: from a text and partials, the dtypes, shapes and rules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.node import Node, constant
from nbgrad.core.primitive import Primitive, Rules
from nbgrad.core.registry import primitives, register_reference
from nbgrad.ops.kinds.algebra import Product, Sum
from nbgrad.ops.kinds.batching import ALIGNED
from nbgrad.ops.kinds.cotangents import (
    add_up,
    conjugate,
    settle,
    times,
)
from nbgrad.ops.kinds.forms import Call, Expression
from nbgrad.ops.kinds.names import camel
from nbgrad.ops.kinds.promotion import (
    cast_operands,
    result_aval,
    ufunc_loop,
    weak_or_dtype,
)

if TYPE_CHECKING:
    from nbgrad.ops.kinds.names import Rule


def elementwise(
    name: str,
    *,
    expr: str | Callable[[dict[str, Any]], str] | Call = "",
    host: str = "",
    complex_expr: str = "",
    mixed_expr: str = "",
    reference: Any,
    doc: str,
    partials: Rule | None = None,
    vjp: Rule | None = None,
    jvp: Rule | None = None,
    domain: tuple[tuple[float, float], ...] = ((-2.0, 2.0),),
    loop: Callable[[Sequence[Any]], tuple[np.dtype[Any], ...]] | None = None,
    dtypes: str = "f",
    cases: tuple[Any, ...] = (),
    grad_name: str = "",
    public: bool = True,
    namespace: str = "numpy",
    alias: bool = False,
    bounds: Any = None,
    kink: Any = None,
    square: Any = None,
    algebra: Sum | Product | None = None,
) -> Primitive:
    """Declare an operation that maps each element on its own.

    ``partials(y, *xs, **params)`` returns one partial derivative per operand: a node, a number
    (0, 1 and -1 fold away) or None for an operand that has none. ``vjp`` and ``jvp`` override the
    derived rules where a product of cotangent and partial would not do. ``cases`` are samples of
    the params, for an operation that has some. Without ``expr``, its kernel text, programs call the
    reference between their kernels, and ``host`` is the reason that the documentation gives. ``expr``
    may be a tape, too, of which all operands are arrays. ``complex_expr`` is the text for complex numbers, where it
    is another one; where it is the same, ``dtypes`` has a "c". ``mixed_expr`` is that for integers with a sign and without.
    """
    if bool(expr) == bool(host):
        raise TypeError(
            f"{name}: declare either expr=, its kernel text, or host=, why it has none"
        )
    derived = (None, None) if partials is None else _rules(name, partials)
    rule = vjp or derived[0]
    prim = Primitive(
        name=name,
        kind="elementwise",
        evaluate=reference,
        prepare=_preparation(name, loop or ufunc_loop(reference), isinstance(expr, Call)),
        rules=Rules(_settled(rule) if rule else None, jvp or derived[1], ALIGNED),
        lower=expr
        if isinstance(expr, Call)
        else Expression(expr, dtypes, host, complex_expr, mixed_expr),
        grad_name=grad_name or camel(name),
        doc=doc,
        reference=reference,
        partials=partials,
        domain=domain,
        cases=cases,
        public=public,
        namespace=namespace,
        kink=kink,
        square=square,
        algebra=algebra,
        alias=alias,
        bounds=bounds,
    )
    register_reference(reference, prim)
    return prim


def _preparation(name: str, resolve: Any, arrays: bool = False) -> Callable[..., Any]:
    """``prepare`` of an elementwise operation whose dtypes *resolve* finds; of *arrays* alone."""

    def prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Aval, Any]:
        if not any(x.__class__ is Node for x in xs):
            xs = (constant(xs[0]), *xs[1:])
        kinds = [weak_or_dtype(x) for x in xs]
        try:
            dts = resolve(kinds)
        except TypeError as error:
            given = ", ".join(map(str, kinds))
            raise TypeError(f"{name}: not defined for operands of type {given}. {error}") from None
        operands, shape = cast_operands(name, xs, dts)
        if arrays:
            operands = [_filled(x, dtype) for x, dtype in zip(operands, dts, strict=False)]
            return tuple(operands), make_aval(shape, dts[-1]), dts[:-1]
        return tuple(operands), result_aval(xs, shape, dts[-1]), dts[:-1]

    return prepare


def _filled(x: Any, dtype: Any) -> Node:
    """An operand as an array."""
    if x.__class__ is Node:
        return x
    found: Node = primitives["full"](x, shape=(), dtype=dtype)
    return found


def _rules(name: str, partials: Rule) -> tuple[Rule, Rule]:
    """VJP and JVP of an elementwise operation from its partial derivatives."""
    partials.__name__ = f"{name}_partials"

    def vjp(ct: Any, y: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
        given = partials(y, *xs, **params)
        return [times(ct, conjugate(p)) if w else None for p, w in zip(given, wants, strict=True)]

    def jvp(tangents: Any, y: Any, xs: Any, params: Any) -> Any:
        given = partials(y, *xs, **params)
        return add_up([times(t, p) for t, p in zip(tangents, given, strict=True) if t is not None])

    return vjp, jvp


def _settled(rule: Rule) -> Rule:
    """*rule*, with each cotangent brought to its operand, which may be 0-d."""

    def vjp(ct: Any, y: Any, xs: Any, params: Any, wants: Any) -> list[Any]:
        cts = rule(ct, y, xs, params, wants)
        return [
            settle(c, x, y.aval) if w else None for c, x, w in zip(cts, xs, wants, strict=True)
        ]

    return vjp


def arity(prim: Primitive) -> int:
    """Number of array operands of an elementwise primitive."""
    if isinstance(prim.reference, np.ufunc):
        return int(prim.reference.nin)
    text = getattr(prim.lower, "text", "")
    if isinstance(text, str) and text:
        return sum(f"{{{letter}}}" in text for letter in "xyz")
    return len(_written(prim))


def operand_names(prim: Primitive) -> tuple[str, ...]:
    """Names of the operands of an elementwise primitive: those that NumPy or SciPy give them."""
    if isinstance(prim.reference, np.ufunc):
        return ("x1", "x2") if prim.reference.nin == 2 else ("x",)
    return _written(prim)


def _written(prim: Primitive) -> tuple[str, ...]:
    params = set(prim.cases[0]) if prim.cases else set()
    names = inspect.signature(prim.reference).parameters
    return tuple(name for name in names if name not in params)
