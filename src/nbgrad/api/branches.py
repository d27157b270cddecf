"""Branches: ``cond`` and ``switch``, one operation that runs the branch that is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.bodies import Ran, boxed, leaves_of, names_of, nodes_of, ran
from nbgrad.api.carries import casted
from nbgrad.core.aval import Aval, make_aval
from nbgrad.core.node import Node
from nbgrad.core.tree import unflatten
from nbgrad.core.values import value_of
from nbgrad.errors import BRANCHES_DIFFER, ConcretizationError, need_functions
from nbgrad.ops.basis import strong
from nbgrad.ops.control.switch import chosen


def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
) -> Any:
    """Return ``true_fun(*operands)`` if *pred* holds, else ``false_fun(*operands)``.

    Only the branch that is taken is run. Where the predicate is known, that is outside ``jit`` and
    bodies of loops, this is Python's ``if``; where it is not, both branches are traced and become one
    operation. In a batch in which each has a predicate of its own, a branch that somebody takes is run
    for all and the results are selected.

    Parameters
    ----------
    pred : bool, array or tensor
        One boolean, or a number that is taken as one.
    true_fun, false_fun : callable
        Take the operands; both return data nested alike, of the same shapes.
    *operands : arrays, tensors or numbers, which may be nested
        What else the branches read from outside is as good.

    Returns
    -------
    object
        What the branch returns, of tensors.

    Raises
    ------
    TypeError
        If the predicate is not one number, or the branches return different things.

    Examples
    --------
    >>> import nbgrad as ng
    >>> f = ng.jit(lambda x: ng.cond(x > 0, lambda x: x * x, lambda x: -x, x))
    >>> float(f(3.0)), float(f(-3.0)), float(ng.grad(f)(3.0))
    (9.0, 3.0, 6.0)
    """
    need_functions("cond", true_fun, false_fun)
    (node,) = nodes_of([pred], ["the predicate"], "cond")
    if node.shape:
        raise TypeError(
            f"cond: the predicate is {node.aval!r}, and must be one boolean: reduce it with .any() or "
            ".all(), or choose by element with nbgrad.where"
        )
    known = _known(node)
    if known is not None:
        return _run(true_fun if known else false_fun, operands)
    return _chosen("cond", strong(node) != 0, (false_fun, true_fun), operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Return ``branches[index](*operands)``; an index beyond either end is that end.

    Only the branch that is taken is run: see :func:`cond`.

    Parameters
    ----------
    index : int, array or tensor
        One integer.
    branches : sequence of callable
        Take the operands; all return data nested alike, of the same shapes.
    *operands : arrays, tensors or numbers, which may be nested

    Returns
    -------
    object
        What the branch returns, of tensors.

    Raises
    ------
    TypeError
        If the index is not one integer, or the branches return different things.
    ValueError
        If there are no branches.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.switch(1, [lambda x: x, lambda x: x * 2, lambda x: x * 3], 5.0)
    tensor(10.)
    """
    branches = tuple(branches)
    if not branches:
        raise ValueError("switch: there are no branches; pass at least one function")
    need_functions("switch", *branches)
    (node,) = nodes_of([index], ["the index"], "switch")
    if node.shape or node.dtype.kind not in "iu":
        raise TypeError(f"switch: the index must be one integer, not {node.aval!r}")
    known = _known(node)
    if known is not None:
        return _run(branches[min(max(int(known), 0), len(branches) - 1)], operands)
    return _chosen("switch", strong(node), branches, operands)


def _known(node: Node) -> Any:
    """The number of *node*, None where it is not known yet."""
    try:
        return value_of(node).item()
    except ConcretizationError:
        return None


def _run(f: Callable[..., Any], operands: tuple[Any, ...]) -> Any:
    """What *f* returns, as tensors."""
    given, structure = leaves_of(operands)
    nodes = nodes_of(given, names_of(structure, "operands"), "cond")
    leaves, made = leaves_of(f(*boxed(structure, nodes)))
    return boxed(made, nodes_of(leaves, names_of(made, "the result"), "cond"))


def _chosen(
    where: str, index: Node, branches: Sequence[Callable[..., Any]], operands: tuple[Any, ...]
) -> Any:
    leaves, structure = leaves_of(operands)
    nodes = [strong(n) for n in nodes_of(leaves, names_of(structure, "operands"), where)]
    found = [_traced(f, structure, nodes, where) for f in branches]
    first = found[0]
    for k, other in enumerate(found):
        if other.structure != first.structure:
            shown = [unflatten(r.structure, names_of(r.structure, "*")) for r in (first, other)]
            raise TypeError(BRANCHES_DIFFER.format(where=where, k=k, what="", shown=shown))
    avals = [_joined(found, k, where) for k in range(len(first.avals))]
    pairs = [(casted(r.tape, avals), r.captured) for r in found]
    return boxed(first.structure, chosen(index, pairs, nodes))


def _traced(f: Callable[..., Any], structure: Any, nodes: Sequence[Node], where: str) -> Ran:
    return ran(lambda *given: f(*boxed(structure, given)), [n.aval for n in nodes], where)


def _joined(found: Sequence[Ran], k: int, where: str) -> Aval:
    """The aval of result *k* of all branches: of Python's numbers and arrays that of the arrays."""
    avals = [r.avals[k] for r in found]
    if len({a.shape for a in avals}) > 1:
        name = names_of(found[0].structure, "result")[k]
        j = next(j for j, a in enumerate(avals) if a.shape != avals[0].shape)
        shown = [avals[0], avals[j]]
        raise TypeError(BRANCHES_DIFFER.format(where=where, k=j, what=f" for {name}", shown=shown))
    kinds = [
        a.dtype.type(0).item() if r.numbers[k] else a.dtype
        for a, r in zip(avals, found, strict=True)
    ]
    if all(r.numbers[k] for r in found):
        kinds = [a.dtype for a in avals]
    return make_aval(avals[0].shape, np.result_type(*kinds))
