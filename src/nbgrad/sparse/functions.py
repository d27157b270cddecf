"""Sparse Jacobians and Hessians, their patterns and colourings: what users call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from nbgrad.api.grad import grad
from nbgrad.core.tape import Var
from nbgrad.machine import colors, index_sets
from nbgrad.machine.index_sets import Sets
from nbgrad.sparse.arranging import arranged
from nbgrad.sparse.checking import checked, sets_of
from nbgrad.sparse.direct import NotDirect, terms_of
from nbgrad.sparse.dividing import Entries, chosen, divided
from nbgrad.sparse.patterns import pattern_of
from nbgrad.sparse.plans import Plan
from nbgrad.sparse.propagation import Known
from nbgrad.sparse.tapes import Linear, Recorded, given_of, record, sizes_of, tangents

METHODS: Final = ("auto", "direct", "columns", "rows", "both")
SYMMETRIC: Final = (*METHODS, "star", "acyclic")


def jacobian(
    f: Callable[..., Any],
    x0: Any,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    method: str = "auto",
    order: str = "auto",
    format: str = "csr",
    pattern: Any = None,
    at_point: bool = False,
    check: bool = False,
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
    method : {"auto", "direct", "columns", "rows", "both"}
        Products with the Jacobian, one for each colour of its columns, or with its transpose, for its
        rows, or both where a few rows are long; "direct" computes each entry by itself, which stencils
        and the like allow. "auto" does so where it can, else takes what needs fewer products.
    order : {"auto", "natural", "largest-first", "smallest-last"}
        In which columns are given their colours; "auto" tries all if the natural order is not the best.
    format : {"csr", "csc"}
    pattern : sparse array, optional
        The pattern, if you know it better. What is not in it is taken to be zero.
    at_point : bool
        Find the pattern at x0 alone, where branches and masks are as they are there: it has fewer
        entries, and the plan is wrong where they are otherwise.
    check : bool
        Compare the matrix at x0 with products in random directions.

    Returns
    -------
    Plan
        ``plan(x, *args)`` is a SciPy sparse array.

    Raises
    ------
    MemoryError
        If there are too many entries, so that nothing is sparse.
    GradcheckError
        If the *check* fails.

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
    wanted = Wanted("jacobian", method, order, format, pattern, at_point, check)
    return _planned(f, x0, args, kwargs, wanted)


def hessian(
    f: Callable[..., Any],
    x0: Any,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    method: str = "auto",
    order: str = "auto",
    format: str = "csr",
    pattern: Any = None,
    at_point: bool = False,
    check: bool = False,
) -> Plan:
    """Return the plan that computes the sparse Hessian of a scalar *f* by its first argument.

    Parameters are those of :func:`jacobian`. Methods are also "star", in which each product gives
    entries on both sides of the diagonal, and "acyclic", in which fewer do and entries follow from each
    other by substitution.

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
    wanted = Wanted("hessian", method, order, format, pattern, at_point, check)
    return _planned(grad(f), x0, args, kwargs, wanted)


def _planned(
    f: Callable[..., Any], x0: Any, args: Sequence[Any], kwargs: Any, wanted: Wanted
) -> Plan:
    of, point = record(f, x0, args, kwargs or {}, wanted.name)
    return plan_of(of, wanted, point)


class Wanted(NamedTuple):
    """What a plan is to be."""

    name: str
    method: str
    order: str
    format: str
    pattern: Any
    at_point: bool
    check: bool


def plan_of(of: Recorded, wanted: Wanted, point: Sequence[Any]) -> Plan:
    """The plan of a recorded function."""
    name = wanted.name
    _refuse(wanted)
    linear = tangents(of)
    sets, known = pattern_of(of, linear, point if wanted.at_point else None, name)
    shape = sum(sizes_of(of.tape.outputs)), sum(sizes_of(of.wrt))
    if wanted.pattern is not None:
        sets = sets_of(wanted.pattern, shape, name)
    if name == "hessian":
        sets = index_sets.union(sets, index_sets.transposed(sets, shape[1]))
    avals = [a.aval for a in (*of.tape.outputs, *of.wrt) if isinstance(a, Var)]
    dtype = np.result_type(*[aval.dtype for aval in avals if aval.inexact])
    sources, count, method = [], 0, wanted.method
    if sets.count and method in ("auto", "direct") and wanted.pattern is None:
        sources = _direct(of, linear, known, sets, shape[1], dtype, wanted)
        method = "direct" if sources else method
    plain = name == "hessian" or (sources and wanted.format == "csr")
    down = sets if plain else index_sets.transposed(sets, shape[1])
    kept = sets if wanted.format == "csr" else down
    if sets.count and not sources:
        entries = Entries(sets, down, wanted.format)
        method = chosen(entries, dtype, name == "hessian") if method == "auto" else method
        sources, count = divided(of, entries, method, wanted.order, dtype)
    made = Plan(
        name,
        shape=shape,
        dtype=dtype,
        method=method if sets.count else "nothing",
        colors=count,
        starts=(kept.starts - kept.starts[0]).astype(np.int32),
        indices=kept.indices[kept.starts[0] : kept.starts[-1]].copy(),
        avals=[v.aval for v in of.tape.inputs[: of.given]],
        structure=of.structure,
        alone=of.structure == given_of(np.zeros(1), (), name)[1],
        sources=sources,
        format=wanted.format,
    )
    if wanted.check:
        checked(made, of, point)
    return made


def _refuse(wanted: Wanted) -> None:
    """Raise for what nobody can mean."""
    known = SYMMETRIC if wanted.name == "hessian" else METHODS
    given: dict[str, tuple[str, Any]] = {
        "method": (wanted.method, known),
        "order": (wanted.order, colors.ORDERS),
        "format": (wanted.format, ("csr", "csc")),
    }
    for word, (value, allowed) in given.items():
        if value not in allowed:
            listed = ", ".join(map(repr, allowed))
            raise ValueError(f"{wanted.name}: {word}={value!r}: give one of {listed}")


def _direct(
    of: Recorded,
    linear: Linear,
    known: Known,
    sets: Sets,
    columns: int,
    dtype: Any,
    wanted: Wanted,
) -> list[Any]:
    """The entries as terms, if there are few of these."""
    try:
        program, places = terms_of(of, linear, known, dtype)
        found = arranged(program, places, sizes_of(of.tape.outputs), sets, columns)
    except NotDirect:
        if wanted.method == "direct":
            raise ValueError(
                f"{wanted.name}: the entries cannot be computed without products: too many elements "
                "are added up, or an operation mixes them. Use method='auto'"
            ) from None
        return []
    return [found.by_columns(sets, columns) if wanted.format == "csc" else found]
