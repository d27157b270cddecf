"""``jacobian`` and ``hessian``: functions that compute matrices of derivatives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.enclosing import belongs_outside, finished
from nbgrad.api.grad import as_asked, call_tracked, check_kind, grad, output_of, positions_of
from nbgrad.api.products import by_columns, columns_or_none, rows_of
from nbgrad.api.transformed import P, transform
from nbgrad.core.linearize import Capture, capture
from nbgrad.core.modes import lines, modes
from nbgrad.core.node import leaf_node, next_sequence
from nbgrad.core.values import looks
from nbgrad.engine.jacobians import jacobian_values
from nbgrad.engine.passes import again, key_of_pass, learn, operands_of_pass
from nbgrad.ops.elements import arithmetic
from nbgrad.tensors.tensor import Tensor


@transform
def jacobian(
    f: Callable[P, Any], argnums: int | Sequence[int] = 0, *, holomorphic: bool = False
) -> Callable[P, Any]:
    """Return the function that computes the Jacobian of ``f`` by one argument, or by several.

    Forward mode where the arguments have no more elements than the result, else reverse mode. The
    rows of a real result by a complex argument are gradients as :func:`grad` gives them.

    Parameters
    ----------
    f : callable
        Returns one array.
    argnums : int or sequence of int
        Positional arguments to differentiate by.
    holomorphic : bool
        ``f`` is an analytic function of a complex argument: the Jacobian has its derivatives.

    Returns
    -------
    callable
        Its result has the shape ``output.shape + input.shape``; if *argnums* is a sequence, it is
        a tuple with such an array for each of them.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    >>> ng.jacobian(lambda x, y: x * y, argnums=(0, 1))(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    (array([[3., 0.],
           [0., 4.]]), array([[1., 0.],
           [0., 2.]]))
    """
    positions = positions_of(argnums)
    single = isinstance(argnums, int)

    @functools.wraps(f)
    def differentiated(*args: P.args, **kwargs: P.kwargs) -> Any:
        xs, y = call_tracked(f, "jacobian", positions, args, kwargs, holomorphic)
        out = output_of(y, "jacobian")
        if holomorphic:
            check_kind(out, "jacobian", holomorphic)
        (blocks,) = _blocks([out], xs, holomorphic, (args, kwargs))
        return blocks[0] if single else tuple(blocks)

    return differentiated


def _blocks(
    outs: list[Tensor], xs: list[Tensor], holomorphic: bool, given: tuple[Any, Any]
) -> list[list[Any]]:
    """The Jacobian of each of *outs* by each of *xs*, as the caller is to see them."""
    nodes = [x._node for x in xs]
    tracked = [out for out in outs if out.requires_grad]
    cap = capture([out._node for out in tracked], differentiate=True)
    outer = modes.grad and belongs_outside(cap, nodes)
    found = iter(_jacobian(cap, tracked, xs, outer, holomorphic) if tracked else ())
    blocks = [next(found) if out.requires_grad else _zeros(out, xs) for out in outs]
    if outer:
        finished.update(nodes)
    flat = iter(as_asked([b._node for row in blocks for b in row], outer, given))
    return [[next(flat) for _ in row] for row in blocks]


def _zeros(out: Tensor, xs: list[Tensor]) -> list[Tensor]:
    return [Tensor(leaf_node(np.zeros(out.shape + x.shape, out.dtype))) for x in xs]


def _jacobian(
    cap: Capture, outs: list[Tensor], xs: list[Tensor], outer: bool, holomorphic: bool
) -> list[list[Tensor]]:
    if holomorphic:
        by_column = sum(x._node.size for x in xs) <= sum(out._node.size for out in outs)
    else:
        by_column = by_columns(outs, xs, "jacobian")
    if not outer:
        nodes = [x._node for x in xs]
        values = jacobian_values(cap, [o._node for o in outs], nodes, by_column, holomorphic)
        if values is not None:
            blocks = iter(Tensor(leaf_node(value)) for value in values)
            return [[next(blocks) for _ in xs] for _ in outs]
    before, modes.grad = modes.grad, outer
    try:
        found = _recorded_columns(cap, outs, xs) if by_column else None
        if found is not None:
            return found
        rows = [rows_of(out, xs, outer) for out in outs]
        if not holomorphic:
            return rows
        return [[Tensor(arithmetic.conjugate(b._node)) for b in row] for row in rows]
    finally:
        modes.grad = before


def _recorded_columns(
    cap: Capture, outs: list[Tensor], xs: list[Tensor]
) -> list[list[Tensor]] | None:
    """The Jacobian as nodes: by the rules, or as for the last graph like this one."""
    operands = operands_of_pass(cap, ())
    places = [cap.index.get(x._node, len(cap.nodes)) for x in xs]
    key = "columns", modes.grad, key_of_pass(cap, (), places, False)
    found = None if lines.on or operands is None else again(key, operands)
    if found is not None:
        blocks = iter(found[1])
        return [[Tensor(next(blocks)) for _ in xs] for _ in outs]
    looked, start = looks.count, next_sequence()
    columns = columns_or_none(outs, xs)
    if columns is not None and operands is not None and looks.count == looked:
        learn(key, operands, (), [block._node for row in columns for block in row], start)
    return columns


@transform
def hessian(
    f: Callable[P, Any], argnums: int | Sequence[int] = 0, *, holomorphic: bool = False
) -> Callable[P, Any]:
    """Return the function that computes the Hessian of a scalar ``f`` by one argument, or by several.

    Parameters are those of :func:`jacobian`; by a complex argument it needs ``holomorphic=True``.
    By several, the result is a tuple of tuples: a block for each pair of arguments.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
    array([[ 6.,  0.],
           [ 0., 12.]])
    >>> ng.hessian(lambda x, y: x * y**2, argnums=(0, 1))(1.0, 2.0)[0][1].item()
    4.0
    """
    positions = positions_of(argnums)
    gradient = grad(f, positions, holomorphic=holomorphic)

    @functools.wraps(f)
    def differentiated(*args: P.args, **kwargs: P.kwargs) -> Any:
        xs, gradients = call_tracked(gradient, "hessian", positions, args, kwargs, holomorphic)
        outs = [output_of(g, "hessian") for g in gradients]
        blocks = _blocks(outs, xs, holomorphic, (args, kwargs))
        return blocks[0][0] if isinstance(argnums, int) else tuple(map(tuple, blocks))

    return differentiated
