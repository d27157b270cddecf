"""Reading and writing small arrays by number within a step of a loop, and large ones that stay the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nbgrad.core.tape import Equation, Var
from nbgrad.program.scalars import SELECT, Elements, NotScalar, Step
from nbgrad.program.values import CODES

# Rows among which one of a carry is found by comparing.
MAX_ROWS = 16


def picked(step: Step, eqn: Equation, kernel: str) -> Elements:
    """The numbers of the result of the library kernel *kernel*, one of those by rows."""
    if not all(isinstance(a, Var) and a.aval.dtype in CODES for a in eqn.inputs):
        raise NotScalar
    if kernel == "take":
        return _take(step, eqn)
    if kernel == "scatter_add":
        return _scatter(step, eqn)
    if kernel == "put":
        return _put(step, eqn)
    raise NotScalar


def _places(step: Step, index: Var, size: int) -> list[int]:
    """Row numbers in bounds; what is not ends the loop."""
    rows = step.read(index, index.aval.dtype)
    if index.aval.dtype.kind not in "iu" or (
        index.aval.dtype.itemsize == 8 and index.aval.dtype.kind == "u"
    ):
        raise NotScalar
    return [step.place(int(k), size) for k in rows.ravel()]


def _chain(step: Step, place: int, values: Sequence[int], code: str) -> int:
    """The value of the row *place*, among few."""
    found = values[-1]
    for row in reversed(range(len(values) - 1)):
        if values[row] != found:
            taken = step.computed(f"{{0}} == {row}", (place,), "b1")
            found = step.computed(SELECT, (taken, values[row], found), code)
    return found


def _take(step: Step, eqn: Equation) -> Elements:
    x, index = eqn.inputs
    assert isinstance(x, Var) and isinstance(index, Var)
    n, out, code = x.aval.shape[0], eqn.out.aval, CODES[x.aval.dtype]
    places = _places(step, index, n)
    if x in step.tables:
        width = x.aval.size // n
        found = [step.row(x, place, width, e) for place in places for e in range(width)]
    else:
        xs = step.read(x, x.aval.dtype).reshape(n, -1)
        if n > MAX_ROWS:
            raise NotScalar
        found = [
            _chain(step, place, xs[:, e].tolist(), code)
            for place in places
            for e in range(xs.shape[1])
        ]
    return np.array(found, np.int64).reshape(out.shape)


def written(
    step: Step, places: Sequence[int], start: Elements, v: Elements, code: str, add: bool
) -> Elements:
    """Rows of *start* with those of *v* put, or added, at *places*."""
    n = start.shape[0]
    if n > MAX_ROWS or (add and code[0] != "f"):
        raise NotScalar
    rows = start.reshape(n, -1).copy()
    for place, given in zip(places, v.reshape(len(places), -1), strict=True):
        for row in range(n):
            taken = step.computed(f"{{0}} == {row}", (place,), "b1")
            for e, value in enumerate(given.tolist()):
                old = int(rows[row, e])
                new = step.computed("{0} + {1}", (old, value), code) if add else value
                rows[row, e] = step.computed(SELECT, (taken, new, old), code)
    return rows.reshape(start.shape)


def _written(step: Step, eqn: Equation, start: Elements, v: Elements, add: bool) -> Elements:
    """The same at the numbers of the second operand."""
    index = eqn.inputs[1]
    assert isinstance(index, Var)
    places = _places(step, index, start.shape[0])
    return written(step, places, start, v, CODES[eqn.out.aval.dtype], add)


def _scatter(step: Step, eqn: Equation) -> Elements:
    v, out = eqn.inputs[0], eqn.out.aval
    zeros = np.full(out.shape, step.number(0, out.dtype))
    return _written(step, eqn, zeros, step.read(v, out.dtype), True)


def _put(step: Step, eqn: Equation) -> Elements:
    x, _, v = eqn.inputs
    dtype = eqn.out.aval.dtype
    return _written(step, eqn, step.read(x, dtype), step.read(v, dtype), False)
