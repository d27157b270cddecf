"""Opaque operations: everything is written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nbgrad.core.aval import Aval
from nbgrad.core.primitive import Primitive
from nbgrad.ops.kinds.forms import Host
from nbgrad.ops.kinds.names import camel

if TYPE_CHECKING:
    from nbgrad.ops.kinds.names import Rule


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
