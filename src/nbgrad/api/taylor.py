"""``jet``: derivatives of all orders along a curve, by truncated Taylor series."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.api.derivatives import Pass, recording
from nbgrad.api.enclosing import finished
from nbgrad.api.linear import fitted
from nbgrad.core.modes import as_a_whole, modes
from nbgrad.core.nested_alike import leaves_like
from nbgrad.core.node import Node
from nbgrad.core.tree import LEAF, builder, paths
from nbgrad.ops.kinds.cotangents import materialize
from nbgrad.transforms.taylor import coefficients


def jet(
    f: Callable[..., Any],
    primals: Sequence[Any],
    series: Sequence[Sequence[Any]],
    *,
    normalized: bool = False,
    has_aux: bool = False,
) -> Any:
    """Return the result of ``f`` and its derivatives along a curve, to any order.

    The arguments move along curves ``x(t)``, given by their derivatives at 0; the results are those
    of ``f(x(t))``. The cost is polynomial in the order, where nested :func:`jvp` doubles it each time.

    Parameters
    ----------
    f : callable
        Takes and returns arrays, or data nested of them.
    primals : tuple or list
        Positional arguments: where the curves are at t = 0.
    series : tuple or list
        For each argument the derivatives of its curve of order 1, 2, ..., each nested as it is. To
        differentiate by ``x`` itself they are 1, 0, 0, ...
    normalized : bool
        Series are coefficients of t, t^2, ..., and not derivatives, which are k! times these.
    has_aux : bool
        ``f`` returns a pair, of which the second is not differentiated and is returned last.

    Returns
    -------
    result : object
    derivatives : list
        Of the result, of order 1 up; each is nested as it is.

    Raises
    ------
    TypeError
        If *series* does not have as many terms for each argument, or these are nested otherwise; the
        message names the place.
    ValueError
        For a term of another shape than its argument.
    NotImplementedError
        If ``f`` calls a user's function without forward mode.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> y, terms = ng.jet(np.exp, (0.0,), ((1.0, 0.0, 0.0, 0.0),))
    >>> [float(term) for term in terms]
    [1.0, 1.0, 1.0, 1.0]
    """
    order = _order(primals, series)
    with as_a_whole():
        done = Pass(f, "jet", primals, has_aux=has_aux)
    run = done.run
    run.given = ((*primals, *(x for terms in series for x in terms)), {})
    given = _terms(done, series, 1 if normalized else 0)
    vs = [t for terms in given for t in terms]
    done.outer = done.outer or (modes.grad and any(v.requires_grad for v in vs))
    if done.outer:
        finished.update(run.nodes)
    tape, env, wrt, closed = done.tape()
    with recording(done.outer):
        found = coefficients(tape, env, wrt, given, order, closed)
        nodes = [
            materialize(_scaled(c, 1.0 if normalized else math.factorial(k)), out.aval)
            for out, terms in zip(done.nodes, found, strict=True)
            for k, c in enumerate(terms, 1)
        ]
    result, leaves = done.results(nodes)
    rows = [leaves[k::order] for k in range(order)]
    made = [row[0] if done.made == LEAF else builder(done.made)(row) for row in rows]
    return (result, made, *done.aux)


def _scaled(c: Any, by: float) -> Any:
    return 0.0 if c is None else c if by == 1 else c * by


def _order(primals: Any, series: Any) -> int:
    for what, x in (("primals", primals), ("series", series)):
        if not isinstance(x, (tuple, list)):
            raise TypeError(
                f"jet: {what} must be a tuple with one for each argument, not a {type(x).__name__}"
            )
    if len(primals) != len(series):
        raise TypeError(f"jet: there are {len(primals)} primals and {len(series)} series")
    for k, terms in enumerate(series):
        if not isinstance(terms, (tuple, list)):
            raise TypeError(
                f"jet: series {k} must be a tuple of terms, (first, second, ...), not a "
                f"{type(terms).__name__}"
            )
        if len(terms) != len(series[0]):
            raise TypeError(
                f"jet: series {k} has {len(terms)} terms and series 0 has {len(series[0])}; fill "
                "with zeros"
            )
    return len(series[0]) if series else 0


def _terms(done: Pass, series: Sequence[Sequence[Any]], normalized: int) -> list[list[Node]]:
    """The coefficients of t, t^2, ... of each leaf of the arguments."""
    found: list[list[Node]] = []
    for k, (part, terms) in enumerate(zip(done.run.places(), series, strict=True)):
        first = len(found)
        found += [[] for _ in paths(part)]
        for n, term in enumerate(terms, 1):
            path = f"jet: term {n} of series {k}"
            leaves = leaves_like(part, term, path)
            for j, (leaf, where) in enumerate(zip(leaves, paths(part, path), strict=True), first):
                node = fitted(leaf, done.run.tensors[j]._node.aval, where)
                by = 1 if normalized else math.factorial(n)
                found[j].append(node if by == 1 else node / float(by))
    return found


__all__ = ["jet"]
