"""Sparse Jacobians and Hessians, their patterns and colourings: what users call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nbgrad.api.grad import grad
from nbgrad.core.tape import Var
from nbgrad.machine import colors, index_sets
from nbgrad.machine.index_sets import Sets
from nbgrad.sparse.arranging import arranged
from nbgrad.sparse.direct import NotDirect, terms_of
from nbgrad.sparse.patterns import pattern
from nbgrad.sparse.plans import Plan
from nbgrad.sparse.propagation import Known
from nbgrad.sparse.sweeps import compressed
from nbgrad.sparse.tapes import Linear, Recorded, record, sizes_of, tangents

Array = np.ndarray[Any, Any]


def jacobian(
    f: Callable[..., Any],
    x0: Any,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    method: str = "auto",
    order: str = "natural",
    format: str = "csr",
) -> Plan:
    """Return the plan that computes the sparse Jacobian of *f* by its first argument.

    The pattern holds for all x, so the plan is made once. Columns that no row has in common are found
    by one product.

    Parameters
    ----------
    f : callable
        Of x, and of *args* and *kwargs*. Its results are the rows, its elements of x the columns, of
        nested data those of one leaf after the other.
    x0 : array_like or nested data
        Says the shapes. The values do not matter.
    method : {"auto", "direct", "columns", "rows"}
        Products with the Jacobian, one for each colour of its columns, or with its transpose, for its
        rows; "direct" computes each entry by itself, which stencils and the like allow. "auto" does so
        where it can, else takes what needs fewer products.
    order : {"natural", "largest-first", "smallest-last"}
        In which columns are given their colours.
    format : {"csr", "csc"}

    Returns
    -------
    Plan
        ``plan(x, *args)`` is a SciPy sparse array.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> plan = ng.sparse.jacobian(lambda x: x[1:] * x[:-1], np.ones(4))
    >>> plan
    <jacobian of shape (3, 4), 6 entries, direct>
    >>> print(plan(np.arange(4.0)).toarray())
    [[1. 0. 0. 0.]
     [0. 2. 1. 0.]
     [0. 0. 3. 2.]]
    """
    of = record(f, x0, args, kwargs or {}, "jacobian")
    return plan_of(of, "jacobian", method, order, format)


def hessian(
    f: Callable[..., Any],
    x0: Any,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    method: str = "auto",
    order: str = "natural",
    format: str = "csr",
) -> Plan:
    """Return the plan that computes the sparse Hessian of a scalar *f* by its first argument.

    Parameters are those of :func:`jacobian`.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> plan = ng.sparse.hessian(lambda x: (x[1:] * x[:-1] ** 2).sum(), np.ones(3))
    >>> print(plan(np.arange(3.0)).toarray())
    [[2. 0. 0.]
     [0. 4. 2.]
     [0. 2. 0.]]
    """
    of = record(grad(f), x0, args, kwargs or {}, "hessian")
    return plan_of(of, "hessian", method, order, format)


METHODS = ("auto", "direct", "columns", "rows")


def plan_of(of: Recorded, name: str, method: str, order: str, format: str) -> Plan:
    """The plan of a recorded function."""
    if method not in METHODS:
        raise ValueError(f"{name}: method={method!r}: give one of {', '.join(map(repr, METHODS))}")
    if format not in ("csr", "csc"):
        raise ValueError(f"{name}: format={format!r}: give 'csr' or 'csc'")
    linear = tangents(of)
    sets, known = pattern(of, linear, None, name)
    shape = sum(sizes_of(of.tape.outputs)), sum(sizes_of(of.wrt))
    avals = [a.aval for a in (*of.tape.outputs, *of.wrt) if isinstance(a, Var)]
    dtype = np.result_type(*[aval.dtype for aval in avals if aval.inexact])
    sources, count, used = [], 0, method
    if method in ("auto", "direct") and sets.count:
        sources, used = _direct(of, linear, known, sets, shape[1], dtype, method, name), "direct"
    down = index_sets.transposed(sets, shape[1])
    kept = sets if format == "csr" else down
    if not sources:
        forward = _forward(sets, down, method, name, dtype)
        used = "columns" if forward else "rows"
        found, count = colors.columns(*((sets, down) if forward else (down, sets)), order)
        outer = np.repeat(np.arange(len(kept)), np.diff(kept.starts))
        pair = (outer, kept.indices) if format == "csr" else (kept.indices, outer)
        along, across = reversed(pair) if forward else pair
        if kept.count:
            sources = [compressed(of, forward, found, count, along, across, dtype)]
    return Plan(
        name,
        shape=shape,
        dtype=dtype,
        method=used,
        colors=count,
        starts=(kept.starts - kept.starts[0]).astype(np.int32),
        indices=kept.indices[kept.starts[0] : kept.starts[-1]].copy(),
        avals=[v.aval for v in of.tape.inputs[: of.given]],
        structure=(of.leaves, of.structure),
        sources=sources,
        format=format,
    )


def _direct(
    of: Recorded,
    linear: Linear,
    known: Known,
    sets: Sets,
    columns: int,
    dtype: Any,
    method: str,
    name: str,
) -> list[Any]:
    """The entries as terms, if there are few of these."""
    try:
        program, places = terms_of(of, linear, known, dtype)
        return [arranged(program, places, sizes_of(of.tape.outputs), sets, columns)]
    except NotDirect:
        if method == "direct":
            raise ValueError(
                f"{name}: the entries cannot be computed without products: too many of a result's "
                "elements are added up, or an operation mixes them. Use method='auto'"
            ) from None
        return []


def _forward(sets: Sets, down: Sets, method: str, name: str, dtype: Any) -> bool:
    """Whether columns are coloured."""
    if method == "rows" and dtype.kind == "c":
        raise ValueError(f"{name}: complex results are found by columns")
    if method != "auto" or dtype.kind == "c":
        return method != "rows"
    longest = [int(np.diff(s.starts).max(initial=0)) for s in (sets, down)]
    return longest[0] <= 2 * longest[1]
