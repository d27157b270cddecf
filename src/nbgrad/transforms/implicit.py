"""A value that is defined by an equation: ``root``, differentiated by the implicit function theorem.

The vector x that solves F(x, c) = 0 was found somehow. Of its derivatives only F is asked: with J the
Jacobian of F by x there, dx = -J⁻¹ (∂F/∂c) dc, and a cotangent w of x gives c that of -(∂F/∂c)ᵀ J⁻ᵀ w
(Christianson, Reverse accumulation and implicit functions, 1998; Blondel et al., Efficient and modular
implicit differentiation, 2022). Both are written at the result, so higher orders follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbgrad.core.aval import alike
from nbgrad.core.interpret import inline
from nbgrad.core.node import Node, leaf_node, placeholder
from nbgrad.core.primitive import Primitive, Rules
from nbgrad.core.tape import Body, Tape
from nbgrad.ops.basis import reshape, transpose
from nbgrad.ops.elements.arithmetic import negative
from nbgrad.ops.kinds.batching import all_stacked, stacked
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.ops.kinds.forms import Call
from nbgrad.ops.linalg.solves import solve
from nbgrad.transforms.jvp import jvp
from nbgrad.transforms.trace import trace
from nbgrad.transforms.vjp import vjp
from nbgrad.transforms.vmap import batched


@dataclass(frozen=True, slots=True)
class Linear:
    """How the linear systems of the derivatives are solved.

    ``solve(apply, b)`` returns x with ``apply(x) = b``, nodes all; ``transposed`` is the same of the
    transposed map. None stands for the matrix and a factorization of it.
    """

    solve: Callable[..., Any] | None = None
    transposed: Callable[..., Any] | None = None

    @property
    def other(self) -> Linear:
        return Linear(self.transposed, self.solve)


def _prepare(xs: tuple[Any, ...], params: dict[str, Any]) -> tuple[Any, Any, Any]:
    return xs, xs[0].aval, ()


def _identity(sig: Any) -> Tape:
    given = [placeholder(aval) for aval in sig.operands]
    return trace(lambda x, *rest: x, given).tape


def _vjp(ct: Any, y: Any, xs: Sequence[Any], params: Any, wants: Sequence[bool]) -> list[Any]:
    places = [k for k, wanted in enumerate(wants) if wanted and k and xs[k].aval.inexact]
    given = [materialize(ct, y.aval), y, *xs[1:]]
    found = _on_batches(lambda *nodes: _pulled(params, places, *nodes), given, params["sizes"])
    of = dict(zip(places, found, strict=True))
    return [of.get(k) for k in range(len(xs))]


def _pulled(params: Any, places: Sequence[int], ct: Node, y: Node, *closed: Node) -> list[Node]:
    tape = params["body"].tape
    w = _solved(tape, params["linear"].other, y, closed, ct, True)
    back, extra = vjp(tape, [tape.inputs[k] for k in places])
    return inline(back, [y, *closed, negative(w), *extra])


def _jvp(tangents: Sequence[Any], y: Any, xs: Sequence[Any], params: Any) -> Any:
    places = [k for k, t in enumerate(tangents) if t is not None and k and xs[k].aval.inexact]
    if not places:
        return None
    directions = [materialize(tangents[k], xs[k].aval) for k in places]
    (found,) = _on_batches(
        lambda *nodes: _pushed(params, places, *nodes), [*directions, y, *xs[1:]], params["sizes"]
    )
    return found


def _pushed(params: Any, places: Sequence[int], *nodes: Node) -> list[Node]:
    tape, count = params["body"].tape, len(places)
    y, closed = nodes[count], nodes[count + 1 :]
    ahead, extra = jvp(tape, [tape.inputs[k] for k in places])
    moved = inline(ahead, [y, *closed, *nodes[:count], *extra])[1]
    return [_solved(tape, params["linear"], y, closed, negative(moved), False)]


def _on_batches(f: Any, nodes: Sequence[Node], sizes: tuple[int, ...]) -> list[Any]:
    """``f`` of one system after another, the batches being the first dimensions of *nodes*."""
    if not sizes:
        return list(f(*nodes))

    def stacks(*given: Node) -> list[Any]:
        traced = trace(f, [alike(n.aval, n.shape[1:]) for n in given])
        flags = [True] * len(given) + [False] * len(traced.constants)
        found, are = batched(traced.tape, [*given, *traced.constants], sizes[-1], flags)
        pairs = zip(found, are, strict=True)
        return [x if one else stacked(x, sizes[-1]) for x, one in pairs]

    return _on_batches(stacks, nodes, sizes[:-1])


def _solved(
    tape: Tape, linear: Linear, y: Node, closed: Sequence[Node], b: Node, transposed: bool
) -> Node:
    """X with J x = b, or its transpose, J being the Jacobian of *tape* by its first input at *y*."""
    if linear.solve is None:
        matrix = _jacobian(tape, y, closed)
        if transposed:
            matrix = transpose(matrix, perm=(1, 0))
        column = solve(matrix, reshape(b, shape=(*b.shape, 1)))
        return reshape(column, shape=b.shape)  # type: ignore[no-any-return]
    applied, constants = (_pulling if transposed else _pushing)(tape)
    nodes = [y, *closed, *constants]
    guess = linear.solve(lambda x: inline(applied, [x, *nodes])[0], b, applied, nodes)

    def system(x: Node, b: Node, *nodes: Node) -> Node:
        return inline(applied, [x, *nodes])[0] - b  # type: ignore[no-any-return]

    body = trace(system, [b.aval, b.aval, *[n.aval for n in nodes]]).tape
    return root(guess, b, *nodes, body=Body(body), linear=linear, sizes=())  # type: ignore[no-any-return]


def _pushing(tape: Tape) -> tuple[Tape, list[Node]]:
    """The tape of J x, of x, the first input of *tape* and its others."""
    ahead, extra = jvp(tape, tape.inputs[:1])
    count = len(tape.inputs)
    f = lambda x, *nodes: inline(ahead, [*nodes[:count], x, *nodes[count:]])[1]
    return _traced(f, tape, extra)


def _pulling(tape: Tape) -> tuple[Tape, list[Node]]:
    """The same of the transpose of J."""
    back, extra = vjp(tape, tape.inputs[:1])
    count = len(tape.inputs)
    f = lambda x, *nodes: inline(back, [*nodes[:count], x, *nodes[count:]])[0]
    return _traced(f, tape, extra)


def _traced(f: Any, tape: Tape, extra: list[Node]) -> tuple[Tape, list[Node]]:
    x = tape.inputs[0]
    avals = [x.aval, *[v.aval for v in tape.inputs], *[n.aval for n in extra]]
    traced = trace(f, avals)
    return traced.tape, [*extra, *traced.constants]


def _jacobian(tape: Tape, y: Node, closed: Sequence[Node]) -> Node:
    """The Jacobian of *tape* by its first input."""
    n = y.aval.size
    back, extra = vjp(tape, tape.inputs[:1])
    units = leaf_node(np.eye(n, dtype=y.dtype))
    count = 1 + len(closed)
    flags = [False] * count + [True] + [False] * len(extra)
    (rows,), (many,) = batched(back, [y, *closed, units, *extra], n, flags)
    found: Node = rows if many else stacked(rows, n)
    return found


def _batch(prim: Any, xs: Any, mapped: Any, params: Any, size: int) -> Any:
    """Systems one after another: the equation is that of one, whatever stands in front."""
    return prim(
        *all_stacked(xs, mapped, size),
        body=params["body"],
        linear=params["linear"],
        sizes=(size, *params["sizes"]),
    )


root = Primitive(
    name="root",
    kind="opaque",
    evaluate=lambda x, *closed, body, linear, sizes: x,
    prepare=_prepare,
    rules=Rules(_vjp, _jvp, _batch),
    lower=Call(_identity),
    grad_name="Root",
    doc="The solution of an equation that its body says, differentiated by that.",
    registered=False,
)
