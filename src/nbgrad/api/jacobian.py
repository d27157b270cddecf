"""``jacobian``, ``jacfwd``, ``jacrev`` and ``hessian``: functions that compute matrices of derivatives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.api.enclosing import belongs_outside, finished
from nbgrad.api.grad import grad
from nbgrad.api.products import blocks_of, by_columns, recorded_blocks
from nbgrad.api.tracked import (
    Tracked,
    as_asked,
    aux_as_asked,
    call_tracked,
    check_kind,
    outputs_of,
    values_as_asked,
)
from nbgrad.api.transformed import P, transform
from nbgrad.api.wanted import Wanted, split_aux
from nbgrad.core.linearize import Capture, capture, places
from nbgrad.core.modes import lines, modes, watching
from nbgrad.core.node import Node, leaf_node, next_sequence
from nbgrad.core.placing import zeros_leaf
from nbgrad.core.tree import LEAF, unflatten
from nbgrad.core.values import looks
from nbgrad.engine.jacobians import jacobian_values
from nbgrad.engine.passes import again, key_of_pass, learn, operands_of_pass
from nbgrad.ops.elements import arithmetic
from nbgrad.tensors.tensor import Tensor


@transform
def jacobian(
    f: Callable[P, Any],
    argnums: int | Sequence[int] | None = None,
    *,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[P, Any]:
    """Return the function that computes the Jacobian of ``f`` by one argument, or by several.

    Forward mode where the arguments have no more elements than the result, else reverse mode. The
    rows of a real result by a complex argument are gradients as :func:`grad` gives them.

    Parameters
    ----------
    f : callable
        Returns an array, or nested data.
    argnums, argnames, has_aux
        As of :func:`value_and_grad`: with *has_aux* the result is ``(jacobian, aux)``.
    holomorphic : bool
        ``f`` is an analytic function of a complex argument: the Jacobian has its derivatives.

    Returns
    -------
    callable
        Its result has the shape ``output.shape + input.shape``; if *argnums* is a sequence, it is
        a tuple with such an array for each of them. Where results or arguments are nested data, it
        is nested as the results are, and in place of each result as the arguments are.

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
    return _jacobian_of(
        f, "jacobian", None, Wanted(argnums, argnames, "jacobian"), has_aux, holomorphic
    )


@transform
def jacfwd(
    f: Callable[P, Any],
    argnums: int | Sequence[int] | None = None,
    *,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[P, Any]:
    """Return :func:`jacobian` by forward mode: all columns at once, as many as memory allows.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.jacfwd(lambda x: x * x[0])(np.array([1.0, 2.0]))
    array([[2., 0.],
           [2., 1.]])
    """
    return _jacobian_of(
        f, "jacfwd", True, Wanted(argnums, argnames, "jacfwd"), has_aux, holomorphic
    )


@transform
def jacrev(
    f: Callable[P, Any],
    argnums: int | Sequence[int] | None = None,
    *,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[P, Any]:
    """Return :func:`jacobian` by reverse mode: all rows at once, as many as memory allows.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.jacrev(lambda x: x * x[0])(np.array([1.0, 2.0]))
    array([[2., 0.],
           [2., 1.]])
    """
    return _jacobian_of(
        f, "jacrev", False, Wanted(argnums, argnames, "jacrev"), has_aux, holomorphic
    )


def _jacobian_of(
    f: Callable[..., Any],
    name: str,
    by_column: bool | None,
    wanted: Wanted,
    has_aux: bool,
    holomorphic: bool,
) -> Callable[..., Any]:
    """The function *name*, which finds columns or rows; None chooses."""

    @functools.wraps(f)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        run = call_tracked(f, wanted, args, kwargs, holomorphic)
        y, aux = split_aux(run.returned, has_aux, name)
        if has_aux:
            aux = aux_as_asked(aux, run)
        outs, structure = outputs_of(y, name)
        for out in outs if holomorphic else ():
            check_kind(out, name, holomorphic)
        found = [run.nest(row) for row in _blocks(outs, run, holomorphic, by_column, name)]
        made = found[0] if structure == LEAF else unflatten(structure, found)
        return (made, aux) if has_aux else made

    return differentiated


def _blocks(
    outs: list[Tensor],
    run: Tracked,
    holomorphic: bool,
    by_column: bool | None = None,
    name: str = "jacobian",
) -> list[list[Any]]:
    """The Jacobian of each of *outs* by each of the tensors, as the caller is to see them."""
    xs, nodes = run.tensors, run.nodes
    tracked = [out for out in outs if out._node.requires_grad] if xs else []
    ends = [out._node for out in tracked]
    cap = capture(ends, differentiate=True)
    outer = modes.grad and belongs_outside(cap, ends, nodes)
    made: list[list[Tensor]] = []
    if tracked:
        mode = _by_column(tracked, xs, holomorphic, by_column, name)
        values = None if outer else _values(cap, tracked, nodes, mode, holomorphic)
        if values is not None and len(tracked) == len(outs):
            return _rows(values_as_asked(values, run.given), len(outs))
        if values is not None:
            made = _rows([Tensor(leaf_node(value)) for value in values], len(tracked))
        else:
            made = _jacobian(cap, tracked, xs, outer, holomorphic, mode, by_column is None)
    found = iter(made)
    blocks = [next(found) if tracked and out.requires_grad else _zeros(out, xs) for out in outs]
    if outer:
        finished.update(nodes)
    return _rows(as_asked([b._node for row in blocks for b in row], outer, run.given), len(outs))


def _rows(blocks: list[Any], count: int) -> list[list[Any]]:
    """So many rows of blocks."""
    if count == 1:
        return [blocks]
    n = len(blocks) // max(count, 1)
    return [blocks[k * n : (k + 1) * n] for k in range(count)]


def _zeros(out: Tensor, xs: list[Tensor]) -> list[Tensor]:
    return [Tensor(zeros_leaf(out.shape + x.shape, out._node.aval)) for x in xs]


def _by_column(
    outs: list[Tensor], xs: list[Tensor], holomorphic: bool, asked: bool | None, name: str
) -> bool:
    """Whether columns are found, as *asked* or where they are fewer."""
    if holomorphic:
        fewer = sum(x._node.size for x in xs) <= sum(out._node.size for out in outs)
    else:
        fewer = by_columns(outs, xs, name)
        if asked is not None and any(t.dtype.kind == "c" for t in (*xs, *outs)):
            return fewer  # the mode that is right
    return fewer if asked is None else asked


def _jacobian(
    cap: Capture,
    outs: list[Tensor],
    xs: list[Tensor],
    outer: bool,
    holomorphic: bool,
    by_column: bool,
    either: bool,
) -> list[list[Tensor]]:
    """The blocks by columns or by rows; where *either* will do, by rows if there are no tangents."""
    before, modes.grad = modes.grad, outer
    try:
        blocks = _recorded(cap, outs, xs, by_column, either)
        if by_column or not holomorphic:
            return blocks
        return [[Tensor(arithmetic.conjugate(b._node)) for b in row] for row in blocks]
    finally:
        modes.grad = before


def _values(
    cap: Capture, outs: list[Tensor], inputs: list[Node], by_column: bool, holomorphic: bool
) -> list[Any] | None:
    """The blocks as one program computes them; None where there is none."""
    try:
        outputs = [o._node for o in outs]
        return jacobian_values(cap, outputs, inputs, by_column, holomorphic)
    except NotImplementedError:  # a rule is missing: one direction after another may not need it
        return None


def _recorded(
    cap: Capture, outs: list[Tensor], xs: list[Tensor], by_column: bool, either: bool
) -> list[list[Tensor]]:
    """The Jacobian as nodes: by the rules, or as for the last graph like this one."""
    operands = operands_of_pass(cap, ())
    at = places(cap, [x._node for x in xs])
    watched = watching.any and any(n.watch is not None for n in (*cap.nodes, *cap.leaves))
    key = "jacobian", by_column, either, modes.grad, key_of_pass(cap, (), at, False)
    if lines.on or watched:
        operands = None
    found = None if operands is None else again(key, operands)
    if found is not None:
        blocks = iter(found[1])
        return [[Tensor(next(blocks)) for _ in xs] for _ in outs]
    looked, start = looks.count, next_sequence()
    make = blocks_of if either else recorded_blocks
    made = make(outs, xs, by_column, modes.grad)
    if operands is not None and looks.count == looked:
        learn(key, operands, (), [block._node for row in made for block in row], start)
    return made


@transform
def hessian(
    f: Callable[P, Any],
    argnums: int | Sequence[int] | None = None,
    *,
    argnames: str | Sequence[str] | None = None,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable[P, Any]:
    """Return the function that computes the Hessian of a scalar ``f`` by one argument, or by several.

    Parameters are those of :func:`jacobian`; by a complex argument it needs ``holomorphic=True``.
    By several, the result is a tuple of tuples: a block for each pair of arguments. By nested data,
    it is nested as the argument is, and so in place of each of its leaves.

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
    wanted = Wanted(argnums, argnames, "hessian")
    options: Any = {"argnames": argnames, "has_aux": has_aux, "holomorphic": holomorphic}
    gradient = grad(f, argnums, **options)

    @functools.wraps(f)
    def differentiated(*args: P.args, **kwargs: P.kwargs) -> Any:
        run = call_tracked(gradient, wanted, args, kwargs, holomorphic)
        y, aux = split_aux(run.returned, has_aux, "hessian")
        if has_aux:
            aux = aux_as_asked(aux, run)
        outs, structure = outputs_of(y, "hessian")
        found = [run.nest(row) for row in _blocks(outs, run, holomorphic)]
        made = found[0] if structure == LEAF else unflatten(structure, found)
        return (made, aux) if has_aux else made

    return differentiated
