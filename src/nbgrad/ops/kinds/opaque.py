"""Opaque operations: everything is written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbgrad.core.aval import Aval
from nbgrad.core.primitive import Primitive, Rules
from nbgrad.core.results import SeveralResults
from nbgrad.ops.kinds.batching import Batch
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Host
from nbgrad.ops.kinds.names import camel
from nbgrad.ops.kinds.reaching import Reach, reach_of

if TYPE_CHECKING:
    from nbgrad.ops.kinds.names import Rule


def opaque(
    name: str,
    *,
    prepare: Callable[..., tuple[Any, Aval, Any]],
    evaluate: Callable[..., Any],
    doc: str,
    batch: Batch,
    vjp: Rule | None = None,
    jvp: Rule | None = None,
    lower: Any = None,
    cases: tuple[Any, ...] = (),
    domain: tuple[tuple[float, float], ...] = (),
    grad_name: str = "",
    several: bool = False,
    reach: Reach | None = None,
) -> Primitive:
    """Declare an operation whose author writes every rule.

    ``batch`` is LEADING if it works on stacks already, SHIFTED if its params say dimensions, EACH if
    it is to be mapped over a stack, or a rule of its own: see batching.py.

    With *several* results, ``prepare`` gives the aval ``several(...)`` of them. Then results,
    cotangents and tangents are tuples, in which None is a cotangent or tangent that is zero.
    """
    return (SeveralResults if several else Primitive)(
        name=name,
        kind="opaque",
        evaluate=evaluate,
        prepare=prepare,
        rules=Rules(
            _each_materialized(vjp) if several and vjp else vjp,
            jvp,
            batch,
            reach=reach or reach_of(lower),
        ),
        lower=lower or Host(),
        grad_name=grad_name or camel(name),
        doc=doc,
        cases=cases,
        domain=domain,
    )


def _each_materialized(rule: Rule) -> Rule:
    """*rule* of several results, given a node for each cotangent that is not zero."""

    def vjp(cts: Any, ys: Any, xs: Any, params: Any, wants: Any) -> Any:
        given = zip(cts, ys, strict=True)
        nodes = tuple([None if ct is None else materialize(ct, y.aval) for ct, y in given])
        return rule(nodes, ys, xs, params, wants)

    return vjp
