"""Kinds: from what an author writes about an operation, derive everything else.

A kind is a function that returns a Primitive. Partials, adjoints and rules are ordinary code over
nbgrad's own operations on nodes; see cotangents.py for what else a cotangent may be.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import Aval, make_aval, normalize_axis
from nbgrad.core.node import Node, constant
from nbgrad.core.primitive import Primitive
from nbgrad.core.registry import primitives, register_reference
from nbgrad.ops.kinds.cotangents import (
    add_up,
    conjugate,
    expand,
    is_number,
    materialize,
    reduced_shape,
    settle,
    times,
)
from nbgrad.ops.kinds.forms import Assembly, Combine, Expression, Host, Library, View
from nbgrad.ops.kinds.promotion import (
    cast_operands,
    common_loop,
    result_aval,
    ufunc_loop,
    weak_or_dtype,
)

Rule = Callable[..., Any]


# ------------------------------------------------------------------------------------ elementwise


def elementwise(
    name: str,
    *,
    expr: str | Callable[[dict[str, Any]], str] = "",
    host: str = "",
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
    multilinear: bool = False,
    kink: Any = None,
    length: str = "",
) -> Primitive:
    """Declare an operation that maps each element on its own.

    ``partials(y, *xs, **params)`` returns one partial derivative per operand: a node, a number
    (0, 1 and -1 fold away) or None for an operand that has none. ``vjp`` and ``jvp`` override the
    derived rules where a product of cotangent and partial would not do. ``cases`` are samples of
    the params, for an operation that has some. Without ``expr``, its kernel text, programs call the
    reference between their kernels, and ``host`` is the reason that the documentation gives.
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
        prepare=_preparation(name, loop or ufunc_loop(reference)),
        vjp=_settled(rule) if rule else None,
        jvp=jvp or derived[1],
        lower=_expression(name, expr, dtypes, host),
        grad_name=grad_name or camel(name),
        doc=doc,
        reference=reference,
        partials=partials,
        domain=domain,
        cases=cases,
        public=public,
        namespace=namespace,
        kink=kink,
        length=length,
        alias=alias,
        multilinear=multilinear,
    )
    register_reference(reference, prim)
    return prim


def _preparation(name: str, resolve: Any) -> Callable[..., Any]:
    """``prepare`` of an elementwise operation whose dtypes *resolve* finds."""

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
        return tuple(operands), result_aval(xs, shape, dts[-1]), dts[:-1]

    return prepare


def _expression(name: str, text: Any, dtypes: str, host: str) -> Expression:
    if bool(text) == bool(host):
        raise TypeError(
            f"{name}: declare either expr=, its kernel text, or host=, why it has none"
        )
    return Expression(text, dtypes, host)


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


# ------------------------------------------------------------------------------------------ linear


def linear(
    name: str,
    *,
    aval: Callable[..., Aval],
    adjoint: Rule,
    evaluate: Callable[..., Any],
    doc: str,
    lower: Any = None,
    reference: Any = None,
    cases: tuple[Any, ...] = (),
    grad_name: str = "",
    structural: bool = False,
    alias: bool = False,
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
        vjp=vjp,
        jvp=jvp,
        lower=lower or Host(),
        grad_name=grad_name or camel(name),
        doc=doc,
        reference=reference,
        cases=cases,
        structural=structural,
        alias=alias,
    )
    return prim


# --------------------------------------------------------------------------------------- reduction


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

    return Primitive(
        name=name,
        kind="reduction",
        evaluate=evaluate,
        prepare=prepare,
        vjp=vjp_rule if vjp else None,
        jvp=jvp_rule if jvp else None,
        lower=combine or library or Host(),
        grad_name=grad_name or camel(name),
        doc=doc,
        reference=evaluate,
        domain=domain,
    )


# ---------------------------------------------------------------------------------------- bilinear


def bilinear(
    name: str,
    *,
    aval: Callable[..., Aval],
    adjoints: tuple[Rule, Rule],
    evaluate: Callable[..., Any],
    doc: str,
    lower: Any = None,
    cases: tuple[Any, ...] = (),
    grad_name: str = "",
) -> Primitive:
    """Declare an operation linear in each of two operands.

    ``adjoints[0](ct, b, a)`` is the cotangent of the first operand *a*, which is given for its
    shape and layout only; ``adjoints[1](ct, a, b)`` is that of the second.
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
        vjp=vjp,
        jvp=jvp,
        lower=lower or Host(),
        grad_name=grad_name or camel(name),
        doc=doc,
        reference=evaluate,
        cases=cases,
    )
    return prim


# ------------------------------------------------------------------------------------------ opaque


def opaque(
    name: str,
    *,
    prepare: Callable[..., tuple[Any, Aval, Any]],
    evaluate: Callable[..., Any],
    doc: str,
    vjp: Rule | None = None,
    jvp: Rule | None = None,
    lower: Any = None,
    cases: tuple[Any, ...] = (),
    domain: tuple[tuple[float, float], ...] = (),
    grad_name: str = "",
) -> Primitive:
    """Declare an operation whose author writes every rule."""
    return Primitive(
        name=name,
        kind="opaque",
        evaluate=evaluate,
        prepare=prepare,
        vjp=vjp,
        jvp=jvp,
        lower=lower or Host(),
        grad_name=grad_name or camel(name),
        doc=doc,
        cases=cases,
        domain=domain,
    )


def camel(name: str) -> str:
    """``reduce_max`` -> ``ReduceMax``: the name of a backward node."""
    return "".join(part.capitalize() for part in name.split("_"))


def arity(prim: Primitive) -> int:
    """Number of array operands of an elementwise primitive."""
    if isinstance(prim.reference, np.ufunc):
        return int(prim.reference.nin)
    text = prim.lower.text
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


__all__ = ["Assembly", "Combine", "Expression", "Host", "Library", "View", "add_up", "arity"]
__all__ += ["bilinear", "common_loop", "conjugate", "elementwise", "expand", "is_number", "linear"]
__all__ += ["weak_or_dtype"]
__all__ += ["materialize", "opaque", "operand_names", "reduction", "settle", "times", "ufunc_loop"]
