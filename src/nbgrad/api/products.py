"""Products with Jacobians, forward and backward, and Jacobians put together from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.enclosing import finished
from nbgrad.config import settings
from nbgrad.core.linearize import Capture, build_tape, capture, environment
from nbgrad.core.memory import place
from nbgrad.core.modes import lines, modes
from nbgrad.core.node import Node, leaf_node
from nbgrad.core.placing import gathered, zeros_leaf
from nbgrad.engine.jacobians import tangent_values
from nbgrad.errors import COMPLEX_OUTPUT
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.tensors.creation import as_tensor
from nbgrad.tensors.gradients import grad
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.jacobian import columns, rows
from nbgrad.transforms.jvp import push_forward
from nbgrad.vocabulary import shapes
from nbgrad.vocabulary.elements import composite


def as_tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def as_given(single: bool, items: Sequence[Any]) -> Any:
    return items[0] if single else tuple(items)


def _fresh(inputs: Any, create_graph: bool) -> list[Tensor]:
    """Inputs to differentiate by: new nodes, connected to the given ones if asked."""
    fresh = []
    for x in as_tuple(inputs):
        node = as_tensor(x)._node
        if node.dtype.kind in "iu" and not isinstance(x, (int, Tensor)):
            node = composite.astype(node, float)
        if not node.aval.inexact:
            raise TypeError(
                f"differentiation needs real or complex floating-point inputs, not {node.dtype}: "
                "write 3.0 instead of 3"
            )
        fresh.append(Tensor(composite.differentiable_copy(node, create_graph)))
    return fresh


def call_on(
    func: Callable[..., Any], inputs: Any, create_graph: bool
) -> tuple[list[Tensor], list[Tensor], bool]:
    """Run *func* on fresh inputs; return inputs, outputs and whether the output is single."""
    before, modes.grad = modes.grad, True
    modes.products += 1
    try:
        xs = _fresh(inputs, create_graph)
        # Tensors of its own: what *func* writes into them is not what is differentiated by.
        returned = func(*[Tensor(x._node) for x in xs])
    finally:
        modes.grad = before
        modes.products -= 1
    outs = [as_tensor(y) for y in as_tuple(returned)]
    return xs, outs, not isinstance(returned, (tuple, list))


def cotangents_of(given: Any, outs: Sequence[Tensor], what: str) -> list[Tensor]:
    if given is None:
        if any(o._node.size != 1 for o in outs):
            raise RuntimeError(
                f"The vector v can only be None if the {what} is a single element; pass v of "
                f"shape {outs[0].shape}"
            )
        return [Tensor(materialize(1.0, o._node.aval)) for o in outs]
    vs = [as_tensor(v) for v in as_tuple(given)]
    for v, o in zip(vs, outs, strict=True):
        if v.shape != o.shape:
            raise RuntimeError(f"v has shape {v.shape}, but the {what} has shape {o.shape}")
    pairs = zip(vs, outs, strict=True)
    return [
        v
        if v._node.aval.device == o._node.aval.device
        else Tensor(gathered(f"v of the {what}", (o._node, v._node))[1])
        for v, o in pairs
    ]


def gradients_of(
    outs: Sequence[Tensor],
    xs: Sequence[Tensor],
    seeds: Sequence[Tensor],
    create_graph: bool,
    retain: bool = False,
) -> list[Tensor]:
    pairs = [(o, s) for o, s in zip(outs, seeds, strict=True) if o.requires_grad]
    if not pairs:
        return [Tensor(materialize(0.0, x._node.aval)) for x in xs]
    found = grad(
        [o for o, _ in pairs],
        list(xs),
        [s for _, s in pairs],
        retain_graph=retain or create_graph,
        create_graph=create_graph,
        materialize_grads=True,
    )
    return list(found)


def finished_with(
    xs: Sequence[Tensor], tensors: Sequence[Tensor], create_graph: bool
) -> list[Tensor]:
    """What a function of derivatives by *xs* returns: without a graph, nobody else asks for these."""
    if create_graph:
        return list(tensors)
    finished.update([x._node for x in xs])
    return [t.detach() for t in tensors]


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False
) -> tuple[Any, Any]:
    """Return ``func(*inputs)`` and the product of *v* with its Jacobian.

    Parameters
    ----------
    func : callable
        Takes tensors, returns a tensor or a tuple.
    inputs : Tensor or tuple of Tensor
    v : Tensor or tuple, optional
        Cotangents, shaped as the outputs; 1 for a one-element output.
    create_graph : bool
        Keep the results differentiable with respect to *inputs*.

    Returns
    -------
    outputs, products
        Products are shaped as *inputs*.

    Raises
    ------
    RuntimeError
        If *v* is missing or misshapen.

    Examples
    --------
    >>> import nbgrad as ng
    >>> y, g = ng.autograd.functional.vjp(lambda x: x * x, ng.tensor([1.0, 2.0]), ng.ones(2))
    >>> g
    tensor([2., 4.])
    """
    xs, outs, single = call_on(func, inputs, create_graph)
    found = gradients_of(outs, xs, cotangents_of(v, outs, "output"), create_graph)
    one = not isinstance(inputs, (tuple, list))
    return as_given(single, finished_with(xs, outs, create_graph)), as_given(
        one, finished_with(xs, found, create_graph)
    )


def tangents_of(outs: Sequence[Tensor], xs: Sequence[Tensor], vs: Sequence[Any]) -> list[Node]:
    """Forward mode from *xs* to *outs*: the tangents of *outs* as new nodes.

    They are values where no graph of them is asked for: a program of their tape computes them. Else
    the rules record them on the graph.
    """
    nodes = [o._node for o in outs]
    sources = [x._node for x in xs]
    cap = capture(nodes, differentiate=True)
    values = None if modes.grad else tangent_values(cap, nodes, sources, vs)
    if values is not None:
        return [leaf_node(value) for value in values]
    tape, var_of = build_tape(cap, nodes, sources, lift=False)
    env: dict[Any, Any] = environment(var_of)
    start = {var_of[x]: v for x, v in zip(sources, vs, strict=True)}
    # Nothing passes through what was computed in no_grad, or through a leaf on the way.
    closed = {v for v, n in env.items() if not n.requires_grad or n.leaf is not None}
    found = push_forward(tape.eqns, env, start, closed - start.keys())
    return [
        materialize(found.get(var, 0.0), var.aval)  # type: ignore[union-attr, arg-type]
        for var in tape.outputs
    ]


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False
) -> tuple[Any, Any]:
    """Return ``func(*inputs)`` and the product of its Jacobian with *v*, by forward mode.

    Parameters
    ----------
    func, inputs, create_graph
        As in :func:`vjp`.
    v : Tensor or tuple, optional
        Tangents, shaped as *inputs*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> y, t = ng.autograd.functional.jvp(lambda x: x * x, ng.tensor([1.0, 2.0]), ng.ones(2))
    >>> t
    tensor([2., 4.])
    """
    xs, outs, single = call_on(func, inputs, create_graph)
    vs = cotangents_of(v, xs, "input")
    before, modes.grad = modes.grad, create_graph
    try:
        found = [Tensor(n) for n in tangents_of(outs, xs, [t._node for t in vs])]
    finally:
        modes.grad = before
    return (
        as_given(single, finished_with(xs, outs, create_graph)),
        as_given(single, finished_with(xs, found, create_graph)),
    )


def recorded_blocks(
    outs: Sequence[Tensor], xs: Sequence[Tensor], by_column: bool, create_graph: bool
) -> list[list[Tensor]]:
    """The Jacobian of each of *outs* by each of *xs*, recorded for a stack of directions at once.

    One direction after another where users' functions are to be called with each.
    """
    nodes, sources = [o._node for o in outs], [x._node for x in xs]
    cap = capture(nodes, differentiate=True)
    if not _looked_at(cap):
        try:
            return _batched_blocks(cap, nodes, sources, by_column)
        except NotImplementedError:
            pass  # an operation that somebody declared has no rule for batches
    if by_column:
        return _columns_of(outs, xs)
    return [_rows_of(out, xs, create_graph) for out in outs]


def _batched_blocks(
    cap: Capture, nodes: Sequence[Node], sources: Sequence[Node], by_column: bool
) -> list[list[Tensor]]:
    tape, var_of = build_tape(cap, nodes, sources, lift=False)
    env: dict[Any, Any] = environment(var_of)
    wrt = [var_of[x] for x in sources]
    blocked = frozenset(v for v, n in env.items() if not n.requires_grad).difference(wrt)
    stop = frozenset(v for v, n in env.items() if n.leaf is not None)
    if by_column:
        blocks = columns(tape, env, wrt, blocked | stop)
    else:
        blocks = rows(tape, env, wrt, blocked, stop)
    return [[Tensor(block) for block in each] for each in blocks]


def _looked_at(cap: Capture) -> bool:
    """Whether a backward pass shows what it computes to somebody, or refuses to run."""
    if lines.on or settings.current.nan_policy == "raise":
        return True
    held = (*cap.nodes, *cap.leaves)
    return any(n.freed or n.watch is not None for n in held)


def blocks_of(
    outs: Sequence[Tensor], xs: Sequence[Tensor], by_column: bool, create_graph: bool
) -> list[list[Tensor]]:
    """The same; by rows if some function has no tangent and rows will do as well."""
    try:
        return recorded_blocks(outs, xs, by_column, create_graph)
    except NotImplementedError:
        if not by_column or any(t.dtype.kind == "c" for t in (*outs, *xs)):
            raise
    return recorded_blocks(outs, xs, False, create_graph)


def _rows_of(out: Tensor, xs: Sequence[Tensor], create_graph: bool) -> list[Tensor]:
    """The Jacobian of one output, one backward pass for each of its elements."""
    rows: list[list[Tensor]] = [[] for _ in xs]
    for position in np.ndindex(out.shape):
        seed = np.zeros(out.shape, out.dtype)
        seed[position] = 1.0
        for k, g in enumerate(
            gradients_of([out], xs, [as_tensor(seed).to(out)], create_graph, True)
        ):
            rows[k].append(g)
    return [
        Tensor(shapes.reshape(shapes.stack([r._node for r in found]), out.shape + x.shape))
        if found
        else Tensor(zeros_leaf(out.shape + x.shape, x._node.aval))
        for found, x in zip(rows, xs, strict=True)
    ]


def _columns_of(outs: Sequence[Tensor], xs: Sequence[Tensor]) -> list[list[Tensor]]:
    """The Jacobian of all outputs, one tangent for each input element."""
    blocks: list[list[Tensor]] = [[] for _ in outs]
    for k, x in enumerate(xs):
        columns: list[list[Node]] = [[] for _ in outs]
        for position in np.ndindex(x.shape):
            direction = np.zeros(x.shape, x.dtype)
            direction[position] = 1.0
            vs = [
                leaf_node(place(direction, x._node.aval.device)) if j == k else 0.0
                for j in range(len(xs))
            ]
            for found, tangent in zip(columns, tangents_of(outs, xs, vs), strict=True):
                found.append(tangent)
        for block, found, out in zip(blocks, columns, outs, strict=True):
            stacked = (
                shapes.stack(found, axis=-1)
                if found
                else zeros_leaf((*out.shape, 0), out._node.aval)
            )
            block.append(Tensor(shapes.reshape(stacked, out.shape + x.shape)))
    return blocks


def by_columns(outs: Sequence[Tensor], xs: Sequence[Tensor], name: str) -> bool:
    """Whether the Jacobian is found in forward mode: fewer passes, or the only mode that is right.

    A complex result of real inputs has complex tangents; a real result of complex inputs has
    gradients in PyTorch's convention. Both complex is neither, unless the function is analytic.
    """
    inward = "c" in [x._node.aval.dtype.kind for x in xs]
    outward = "c" in [o._node.aval.dtype.kind for o in outs]
    if inward and outward:
        raise TypeError(COMPLEX_OUTPUT.format(name=name, dtype=outs[0].dtype))
    if inward or outward:
        return outward
    return sum([x._node.aval.size for x in xs]) <= sum([o._node.aval.size for o in outs])


def only_scalar(out: Sequence[Tensor], single: bool) -> Tensor:
    if not single or out[0]._node.size != 1:
        raise RuntimeError(
            "The function given to hessian, hvp or vhp should return a single scalar tensor"
        )
    return out[0]
