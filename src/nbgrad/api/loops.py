"""Loops: a body that is traced once and run again and again by one operation of the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import numpy as np

from nbgrad.api.bodies import NUMBERS, Ran, boxed, leaves_of, names_of, nodes_of, ran
from nbgrad.core.aval import Aval, make_aval, weak_aval
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.core.tree import unflatten
from nbgrad.errors import CARRY_CHANGES, CARRY_NESTING
from nbgrad.ops.basis import cast, strong
from nbgrad.ops.control.loops import bound, row
from nbgrad.ops.control.scan import scan as scan_operation
from nbgrad.ops.kinds.forms import Rounds

MAX_PROMOTIONS = 3


class Carry:
    """What a loop carries: leaves with names, nested, whose Python numbers take the body's dtype."""

    def __init__(self, init: Any, where: str, name: str) -> None:
        self.where = where
        self.leaves, self.structure = leaves_of(init)
        self.names = names_of(self.structure, name)
        self.nodes = nodes_of(self.leaves, self.names, where)
        self.numbers = [x.__class__ in NUMBERS or n.aval.weak for x, n in self._pairs()]
        self.avals = [
            weak_aval(n.dtype) if number else n.aval
            for n, number in zip(self.nodes, self.numbers, strict=True)
        ]

    def _pairs(self) -> list[tuple[Any, Node]]:
        return list(zip(self.leaves, self.nodes, strict=True))

    def settled(self, trace: Callable[[Sequence[Aval]], tuple[Ran, Any]]) -> Ran:
        """What *trace* gives of the avals that the body keeps; the results as well, from then on.

        ``trace(avals)`` returns what ran and how the carry among its results is nested.
        """
        for _ in range(MAX_PROMOTIONS):
            found, structure = trace(self.avals)
            if structure != self.structure:
                given, out = self._nesting(self.structure), self._nesting(structure)
                raise TypeError(CARRY_NESTING.format(where=self.where, given=given, found=out))
            avals = [self._joined(k, out) for k, out in enumerate(found.avals[: len(self.avals)])]
            if avals == self.avals:
                break
            self.avals = avals
        self.nodes = [
            cast(strong(n), dtype=a.dtype) if n.aval is not a else n
            for n, a in zip(self.nodes, self.avals, strict=True)
        ]
        return found

    def _nesting(self, structure: Any) -> Any:
        return unflatten(structure, names_of(structure, "*"))

    def _joined(self, k: int, out: Aval) -> Aval:
        """The aval of leaf *k*, of which the body makes *out*."""
        given = self.avals[k]
        if out is given:
            return given
        if self.numbers[k] and not out.shape:
            number = given.dtype.type(0).item() if given.weak else given.dtype
            dtype = np.result_type(out.dtype, number)
            return make_aval((), dtype)
        self.refuse(k, given, out)
        raise AssertionError

    def refuse(self, k: int, given: Aval, out: Aval) -> None:
        """Raise for leaf *k*."""
        name, fix = self.names[k], f"cast the new value, y.astype({given.dtype.name!r})"
        if given.shape != out.shape:
            fix = f"start with an array of shape {out.shape}, or return one of shape {given.shape}"
        elif np.result_type(given.dtype, out.dtype) == out.dtype:
            fix += f", or start with {out.dtype.name}"
        shown = repr(given)
        raise TypeError(
            CARRY_CHANGES.format(where=self.where, name=name, given=shown, found=out, fix=fix)
        )

    def rebuilt(self, nodes: Sequence[Node]) -> Any:
        return boxed(self.structure, nodes)


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int = 1,
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
    unroll : int
        How many runs are written as one; the results are the same.

    Returns
    -------
    carry, ys
        Tensors: the last carry, and the stacks of what was collected.

    Raises
    ------
    TypeError
        If the carry changes its nesting, shape or dtype.
    ValueError
        If lengths differ, or none is given.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> total, sums = ng.scan(lambda c, x: (c + x, c + x), 0.0, np.array([1.0, 2.0, 3.0]))
    >>> total, sums
    (tensor(6.), tensor([1., 3., 6.]))
    """
    return _scanned(f, Carry(init, "scan", "carry"), xs, length, reverse, unroll)


def _scanned(
    f: Callable[..., Any], carry: Carry, xs: Any, length: Any, reverse: bool, unroll: int
) -> tuple[Any, Any]:
    leaves, structure = leaves_of(xs)
    stacks = nodes_of(leaves, names_of(structure, "xs"), "scan")
    count = _length(stacks, names_of(structure, "xs"), length)
    if isinstance(unroll, bool) or index(unroll) < 1:
        raise ValueError(f"{carry.where}: unroll={unroll!r} must be a positive integer")
    rows = [row(x.aval) for x in stacks]
    collected: list[Any] = []

    def trace(avals: Sequence[Aval]) -> tuple[Ran, Any]:
        found = ran(
            lambda *nodes: _called(f, carry, structure, nodes), [*avals, *rows], carry.where
        )
        new, collected[:] = found.structure[2][0], [found.structure[2][1]]
        return found, new

    found = carry.settled(trace)
    c = len(carry.avals)
    rounds, operands = Rounds(0, c, count, bool(reverse)), [*carry.nodes, *stacks]
    made = bound(scan_operation, casted(found.tape, carry.avals), found.captured, operands, rounds)
    return carry.rebuilt(made[:c]), boxed(collected[0], made[c:])


def _called(f: Callable[..., Any], carry: Carry, structure: Any, nodes: Sequence[Node]) -> Any:
    c = len(carry.avals)
    returned = f(boxed(carry.structure, nodes[:c]), boxed(structure, nodes[c:]))
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(
            "scan: the function must return a pair, the next carry and what to collect (None for "
            f"nothing), not a {type(returned).__name__}"
        )
    return tuple(returned)


def casted(tape: Tape, avals: Sequence[Aval]) -> Tape:
    """*tape* with its first outputs in the dtypes of *avals*."""
    eqns, outputs = list(tape.eqns), list(tape.outputs)
    for k, aval in enumerate(avals):
        var = outputs[k]
        if isinstance(var, Var) and var.aval is not aval:
            x = placeholder(var.aval)
            made = linearize([cast(x, dtype=aval.dtype)], [x])[0].eqns[0]
            eqns.append(Equation(made.sig, (var,), made.outs))
            outputs[k] = made.out
    return Tape(tape.inputs, tuple(eqns), tuple(outputs))


def _length(stacks: Sequence[Node], names: Sequence[str], length: int | None) -> int:
    count = None if length is None else index(length)
    if count is not None and count < 0:
        raise ValueError(f"scan: length={count} is negative")
    known = "length" if count is not None else ""
    for x, name in zip(stacks, names, strict=True):
        if not x.ndim:
            raise ValueError(f"scan: {name} has no rows: it is {x.aval!r}; close over it instead")
        if count is not None and x.shape[0] != count:
            raise ValueError(
                f"scan: {name} has {x.shape[0]} rows and {known} {'is' if known == 'length' else 'has'} "
                f"{count}; all of xs must have as many"
            )
        count, known = x.shape[0], known or name
    if count is None:
        raise ValueError("scan: how many runs? Pass xs, or length=")
    return count


def fori_loop(
    lower: int,
    upper: int,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    unroll: int = 1,
) -> Any:
    """Run ``value = body_fun(i, value)`` for each integer from *lower* up to *upper*.

    Parameters
    ----------
    lower, upper : int
        The first integer, and the one after the last.
    body_fun : callable
        Takes the integer, a 0-d tensor, and the value; returns the next value.
    init_val : array, tensor, number, or these nested in tuples, lists and dicts
        The first value.
    unroll : int
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
    first, end = index(lower), index(upper)
    numbers = np.arange(first, max(first, end))
    carry = Carry(init_val, "fori_loop", "value")
    f = lambda c, i: (body_fun(i, c), None)
    found, _ = _scanned(f, carry, numbers, None, False, unroll)
    return found
