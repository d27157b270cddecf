"""Patterns and colourings by themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nbgrad.api.grad import grad
from nbgrad.core.lazy import LazyModule
from nbgrad.machine import colors, index_sets
from nbgrad.machine.index_sets import Sets
from nbgrad.sparse.checking import sets_of
from nbgrad.sparse.patterns import pattern_of
from nbgrad.sparse.tapes import record, sizes_of, tangents

Array = np.ndarray[Any, Any]
scipy_sparse = LazyModule("scipy.sparse")


def jacobian_pattern(
    f: Callable[..., Any],
    x0: Any,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    at_point: bool = False,
) -> Any:
    """Return which elements of the result of *f* depend on which of its first argument.

    Parameters
    ----------
    f, x0, args, kwargs, at_point
        As of :func:`jacobian`. The pattern holds for all x, unless it is asked for *at_point*.

    Returns
    -------
    scipy.sparse.csr_array
        Of True, a row for each element of the result.

    Raises
    ------
    TypeError
        If x0 is complex, or holds no numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.sparse.jacobian_pattern(lambda x: x[1:] * x[:-1], np.ones(3)).toarray()
    array([[ True,  True, False],
           [False,  True,  True]])
    """
    return _matrix(_sets(f, x0, args, kwargs, at_point, "jacobian_pattern"))


def hessian_pattern(
    f: Callable[..., Any],
    x0: Any,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    at_point: bool = False,
) -> Any:
    """Return which second derivatives of a scalar *f* may differ from zero.

    Parameters
    ----------
    f, x0, args, kwargs, at_point
        As of :func:`jacobian`.

    Returns
    -------
    scipy.sparse.csr_array
        Of True, symmetric.

    Raises
    ------
    TypeError
        If x0 is complex, or holds no numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.sparse.hessian_pattern(lambda x: (x[1:] * x[:-1]).sum(), np.ones(3)).toarray()
    array([[False,  True, False],
           [ True, False,  True],
           [False,  True, False]])
    """
    sets, n = _sets(grad(f), x0, args, kwargs, at_point, "hessian_pattern")
    return _matrix((index_sets.union(sets, index_sets.transposed(sets, n)), n))


def _sets(
    f: Callable[..., Any], x0: Any, args: Sequence[Any], kwargs: Any, at_point: bool, name: str
) -> tuple[Sets, int]:
    of, point = record(f, x0, args, kwargs or {}, name)
    sets, _ = pattern_of(of, tangents(of), point if at_point else None, name)
    return sets, sum(sizes_of(of.wrt))


def _matrix(given: tuple[Sets, int]) -> Any:
    sets, columns = given
    first = sets.starts[0]
    indices = sets.indices[first : sets.starts[-1]]
    data = np.ones(len(indices), bool)
    shape = len(sets), columns
    return scipy_sparse.csr_array((data, indices, (sets.starts - first).astype(np.int32)), shape)


def color(pattern: Any, kind: str = "columns", order: str = "auto") -> tuple[Array, int]:
    """Return a colour for each column, row or vertex of a sparse matrix, and how many there are.

    Parameters
    ----------
    pattern : sparse or dense matrix
        What is zero in it is left out.
    kind : {"columns", "rows", "star", "acyclic"}
        Columns that share no row may have one colour; so may rows that share no column. Of a symmetric
        matrix, "star" gives neighbours different colours and each path of four vertices three or more,
        so that all entries stand in products with the sums of each colour's columns; "acyclic" gives
        each cycle three or more, so that they follow from these by substitution.
    order : {"auto", "natural", "largest-first", "smallest-last"}

    Returns
    -------
    colors : ndarray of int
    count : int

    Raises
    ------
    ValueError
        If *kind* or *order* is not one of these, or the pattern is not symmetric and has to be.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> tridiagonal = np.eye(6) + np.eye(6, k=1) + np.eye(6, k=-1)
    >>> ng.sparse.color(tridiagonal)
    (array([0, 1, 2, 0, 1, 2]), 3)
    >>> ng.sparse.color(tridiagonal, "acyclic")[1]
    2
    """
    for word, value, allowed in (("kind", kind, KINDS), ("order", order, colors.ORDERS)):
        if value not in allowed:
            listed = ", ".join(map(repr, allowed))
            raise ValueError(f"color: {word}={value!r}: give one of {listed}")
    sets = sets_of(pattern, None, "color")
    n = (
        int(sets.indices.max(initial=-1)) + 1
        if not hasattr(pattern, "shape")
        else pattern.shape[1]
    )
    down = index_sets.transposed(sets, n)
    if kind in ("columns", "rows"):
        return colors.columns(*((sets, down) if kind == "columns" else (down, sets)), order)
    same = len(down) == len(sets) and np.array_equal(sets.starts, down.starts)
    if not same or not np.array_equal(sets.indices, down.indices):
        raise ValueError(f"color: kind={kind!r} is of a symmetric pattern, and this one is not")
    return (colors.star if kind == "star" else colors.acyclic)(sets, order)


KINDS = ("columns", "rows", "star", "acyclic")
