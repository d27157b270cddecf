"""What rules of operations that have a tape as a param, loops and branches, do with that tape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbgrad.core.node import Node
from nbgrad.core.primitive import Primitive
from nbgrad.ops.control.loops import as_results, as_tuple, recorded, stand_ins
from nbgrad.ops.control.scan import scan
from nbgrad.ops.kinds.forms import Rounds
from nbgrad.transforms.jvp import jvp
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.taylor import series
from nbgrad.transforms.trace import trace
from nbgrad.transforms.vjp import vjp
from nbgrad.transforms.vmap import vmap

# The port: it is one floor above the rules.
__all__ = ["each", "jvp", "series", "simplify", "trace", "vjp", "vmap"]


def each(
    prim: Primitive, xs: Sequence[Any], mapped: Sequence[bool], params: dict[str, Any], size: int
) -> Any:
    """*prim* for each of a stack of operands, those that are *mapped*, by a loop."""
    pairs = [(x, m) for x, m in zip(xs, mapped, strict=True) if x.__class__ is Node]
    operands = [x for x, m in pairs if not m] + [x for x, m in pairs if m]
    constants = len(operands) - sum(mapped)
    rounds = Rounds(constants=constants, carry=0, count=size, reverse=False)
    nodes = stand_ins(operands, rounds)
    whole, parts = iter(nodes[:constants]), iter(nodes[constants:])
    given = [
        x if x.__class__ is not Node else next(parts if m else whole)
        for x, m in zip(xs, mapped, strict=True)
    ]
    outs = as_tuple(prim(*given, **params))
    return as_results(recorded(scan, outs, nodes, operands, rounds))
