"""Loops: a body that is traced once and run again and again by one operation of the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import index
from typing import Any

import numpy as np

from nbgrad.api.bodies import Ran, boxed, leaves_of, names_of, nodes_of, ran
from nbgrad.api.carries import Carry, casted
from nbgrad.api.levels import levels_of
from nbgrad.core.aval import Aval
from nbgrad.core.interpret import inline
from nbgrad.core.node import Node
from nbgrad.errors import ConcretizationError, need_functions
from nbgrad.ops.control.loops import bound, row
from nbgrad.ops.control.scan import scan as scan_operation
from nbgrad.ops.control.whiles import from_recorded
from nbgrad.ops.kinds.forms import Rounds
from nbgrad.transforms.ahead import MIN_RUNS, ahead


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    checkpoint: int | str | None = None,
    max_bytes: int | None = None,
) -> tuple[Any, Any]:
    """Run ``carry, y = f(carry, x)`` for each row of *xs*, and return the last carry and all ``y``.

    The function is traced once, whatever the number of runs, and its loop is one operation: it can be
    differentiated in every mode and to any order, compiled, and batched. It stands for::

        carry, ys = init, []
        for x in xs:
            carry, y = f(carry, x)
            ys.append(y)
        return carry, stack(ys)

    Parameters
    ----------
    f : callable
        Takes the carry and a row of *xs*, as tensors, and returns the next carry, nested as the
        first and of the same shapes and dtypes, and anything to collect. It may read other tensors:
        gradients reach them.
    init : array, tensor, number, or these nested in tuples, lists and dicts
        The first carry. A Python number takes the dtype that the body gives it.
    xs : array or tensor, or nested ones, optional
        What is read row by row, along the first dimension.
    length : int, optional
        The number of runs, if there are no *xs*.
    reverse : bool
        Begin with the last row.
    unroll : int or bool
        As JAX takes it, and without effect: the compiler unrolls what is worth it.
    checkpoint : int or "sqrt", optional
        What reverse mode keeps: the carry of every so many runs, or of about the square root of
        their number, instead of that of each. What lies between is run again, so the forward loop
        takes twice the time; results have the same bits.
    max_bytes : int, optional
        Keep at most so many bytes of carries: of each run if they fit, else of parts, of parts of
        these, and so on, with one more run of the loop forward for each level.

    Returns
    -------
    carry, ys
        Tensors: the last carry, and the stacks of what was collected.

    Raises
    ------
    TypeError
        If the carry changes its nesting, shape or dtype.
    ValueError
        If lengths differ, or none is given; if *max_bytes* is less than any levels need.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> total, sums = ng.scan(lambda c, x: (c + x, c + x), 0.0, np.array([1.0, 2.0, 3.0]))
    >>> total, sums
    (tensor(6.), tensor([1., 3., 6.]))
    """
    need_functions("scan", f)
    carry = Carry(init, "scan", "carry")
    return _scanned(f, carry, xs, length, reverse, unroll, (checkpoint, max_bytes))


def _scanned(
    f: Callable[..., Any],
    carry: Carry,
    xs: Any,
    length: Any,
    reverse: bool,
    unroll: int | bool,
    keeping: tuple[Any, Any] = (None, None),
) -> tuple[Any, Any]:
    leaves, structure = leaves_of(xs)
    names = names_of(structure, "xs")
    stacks = nodes_of(leaves, names, carry.where)
    count = _length(stacks, names, length, carry.where)
    if index(unroll) < 0:
        raise ValueError(f"{carry.where}: unroll={unroll!r} must be a boolean or a number of runs")
    rows = [row(x.aval) for x in stacks]
    collected: list[Any] = []

    def trace(avals: Sequence[Aval]) -> tuple[Ran, Any]:
        found = ran(
            lambda *nodes: _called(f, carry, structure, nodes), [*avals, *rows], carry.where
        )
        new, collected[:] = found.structure[2][0], [found.structure[2][1]]
        return found, new

    found = carry.settled(trace)
    c, tape, nodes = len(carry.avals), casted(found.tape, carry.avals), carry.nodes
    more = ahead(tape, c, len(rows)) if count >= MIN_RUNS else None
    if more is not None:
        tape, first = more
        nodes = [*nodes, *inline(first, [*nodes, *found.captured])]
    rounds, operands = Rounds(0, len(nodes), count, bool(reverse)), [*nodes, *stacks]
    levels = levels_of(*keeping, count, sum(n.aval.nbytes for n in nodes), carry.where)
    settings = {"levels": levels} if levels else {}
    made = bound(scan_operation, tape, found.captured, operands, rounds, **settings)
    return carry.rebuilt(made[:c]), boxed(collected[0], made[len(nodes) :])


def _called(f: Callable[..., Any], carry: Carry, structure: Any, nodes: Sequence[Node]) -> Any:
    c = len(carry.avals)
    returned = f(boxed(carry.structure, nodes[:c]), boxed(structure, nodes[c:]))
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(
            "scan: the function must return a pair, the next carry and what to collect (None for "
            f"nothing), not a {type(returned).__name__}"
        )
    return tuple(returned)


def _length(stacks: Sequence[Node], names: Sequence[str], length: int | None, where: str) -> int:
    count = None if length is None else index(length)
    if count is not None and count < 0:
        raise ValueError(f"{where}: length={count} is negative")
    known = "length" if count is not None else ""
    for x, name in zip(stacks, names, strict=True):
        if not x.ndim:
            raise ValueError(
                f"{where}: {name} has no rows: it is {x.aval!r}; close over it instead"
            )
        if count is not None and x.shape[0] != count:
            raise ValueError(
                f"{where}: {name} has {x.shape[0]} rows and {known} {'is' if known == 'length' else 'has'} "
                f"{count}; all of xs must have as many"
            )
        count, known = x.shape[0], known or name
    if count is None:
        raise ValueError(f"{where}: how many runs? Pass xs, or length=")
    return count


def fori_loop(
    lower: int,
    upper: int,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    unroll: int | bool = 1,
    checkpoint: int | str | None = None,
    max_bytes: int | None = None,
) -> Any:
    """Run ``value = body_fun(i, value)`` for each integer from *lower* up to *upper*.

    Parameters
    ----------
    lower, upper : int or tensor
        The first integer, and the one after the last. Where they are not known, inside ``jit``, this
        is a :func:`while_loop`.
    body_fun : callable
        Takes the integer, a 0-d tensor, and the value; returns the next value.
    init_val : array, tensor, number, or these nested in tuples, lists and dicts
        The first value.
    unroll, checkpoint, max_bytes
        As in :func:`scan`.

    Returns
    -------
    object
        The last value, of tensors.

    Raises
    ------
    TypeError
        If the value changes its nesting, shape or dtype.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.fori_loop(1, 6, lambda i, product: product * i, 1.0)
    tensor(120.)
    """
    need_functions("fori_loop", body_fun)
    try:
        first, end = index(lower), index(upper)
    except ConcretizationError:
        body = lambda c: (c[0] + 1, body_fun(c[0], c[1]))
        carry = Carry((lower, init_val), "fori_loop", "value")
        return _repeated(lambda c: c[0] < upper, body, carry, None, max_bytes)[1]
    numbers = np.arange(first, max(first, end))
    carry = Carry(init_val, "fori_loop", "value")
    f = lambda c, i: (body_fun(i, c), None)
    found, _ = _scanned(f, carry, numbers, None, False, unroll, (checkpoint, max_bytes))
    return found


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """Apply *f* to each row of *xs*, one after another, and stack what it returns.

    Memory is that of one run; :func:`vmap` runs all at a time.

    Parameters
    ----------
    f : callable
        Takes a row, and returns arrays, which may be nested.
    xs : array or tensor, or nested ones

    Returns
    -------
    object
        The stacks, tensors.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.map(lambda x: x.sum(), np.arange(6.0).reshape(3, 2))
    tensor([1., 5., 9.])
    """
    need_functions("map", f)
    carry = Carry((), "map", "carry")
    return _scanned(lambda c, x: (c, f(x)), carry, xs, None, False, 1)[1]


def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    max_steps: int | None = None,
    max_bytes: int | None = None,
) -> Any:
    """Run ``value = body_fun(value)`` while ``cond_fun(value)`` holds, and return the last value.

    Both functions are traced once, and the loop is one operation. It is differentiable in every mode,
    also in reverse: that runs the loop again, keeps each value, and goes back over them.

    Parameters
    ----------
    cond_fun : callable
        Takes the value and returns one boolean.
    body_fun : callable
        Takes the value and returns the next one, nested as the first and of the same shapes and dtypes.
    init_val : array, tensor, number, or these nested in tuples, lists and dicts
        The first value. A Python number takes the dtype that the body gives it.
    max_steps : int, optional
        The loop ends after so many runs at the latest.
    max_bytes : int, optional
        Reverse mode keeps so many bytes of values, and runs again what lies between.

    Returns
    -------
    object
        The last value, of tensors.

    Raises
    ------
    TypeError
        If the value changes its nesting, shape or dtype, or the condition is not one boolean.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.while_loop(lambda x: x < 100.0, lambda x: x * 2, 3.0)
    tensor(192.)
    >>> root = lambda a: ng.while_loop(lambda x: abs(x * x - a) > 1e-12, lambda x: (x + a / x) / 2, a)
    >>> round(float(ng.grad(root)(4.0)), 12)
    0.25
    """
    need_functions("while_loop", cond_fun, body_fun)
    return _repeated(
        cond_fun, body_fun, Carry(init_val, "while_loop", "value"), max_steps, max_bytes
    )


def _repeated(
    cond_fun: Callable[..., Any],
    body_fun: Callable[..., Any],
    carry: Carry,
    max_steps: int | None,
    max_bytes: int | None,
) -> Any:
    steps = None if max_steps is None else index(max_steps)
    if steps is not None and steps < 0:
        raise ValueError(f"{carry.where}: max_steps={steps} is negative")

    def trace(avals: Sequence[Aval]) -> tuple[Ran, Any]:
        found = ran(lambda *nodes: body_fun(carry.rebuilt(nodes)), avals, carry.where)
        return found, found.structure

    body = carry.settled(trace)
    cond = ran(lambda *nodes: cond_fun(carry.rebuilt(nodes)), carry.avals, carry.where)
    if len(cond.avals) != 1 or cond.avals[0].shape or cond.avals[0].dtype.kind != "b":
        shown = ", ".join(f"{a!r}" for a in cond.avals) or "nothing"
        raise TypeError(
            f"{carry.where}: the condition must be one boolean, not {shown}: compare, and reduce arrays "
            "with .any() or .all()"
        )
    tape = casted(body.tape, carry.avals)
    loop = from_recorded((cond.tape, cond.captured), (tape, body.captured), carry.nodes, 0)
    budget = None if max_bytes is None else index(max_bytes)
    loop = replace(loop, max_steps=steps, max_bytes=budget)
    return carry.rebuilt(loop.record() if carry.nodes else ())
