"""Evenly spaced numbers; the ends may be tensors, with gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nbgrad.core.boxes import nested
from nbgrad.core.memory import named
from nbgrad.core.node import Node
from nbgrad.core.placing import moved
from nbgrad.ops.elements import arithmetic
from nbgrad.vocabulary.arrays.making import put
from nbgrad.vocabulary.arrays.rearranging import broadcast_arrays
from nbgrad.vocabulary.declare import call, function
from nbgrad.vocabulary.elements import composite
from nbgrad.vocabulary.shapes import (
    as_node,
    broadcast_to,
    cast_to,
    concatenate,
    is_number,
    moveaxis,
    one_axis,
    promoted,
)
from nbgrad.vocabulary.subscript import getitem, setitem
from nbgrad.vocabulary.support import concrete, held


@function(
    "numpy",
    "numpy.arange",
    cases=lambda d: [
        call(4),
        call(1.0, 2.0, 0.3),
        call(d.positive(), 3.1, 0.5),
        call(3, dtype=float),
    ],
    makes=("start_or_stop", "stop", "step"),
)
def arange(
    start_or_stop: Any,
    /,
    stop: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    like: None = None,
) -> Node:
    """Numbers from a start, or 0, to before *stop*.

    How many there are depends on the values; *start* and *step* get gradients.
    """
    if device is not None or like is not None:
        make = lambda: arange(start_or_stop, stop, step, dtype=dtype)
        return put("arange", device, like, make)
    start = start_or_stop
    if stop is None:
        start, stop = 0, start
    if start.__class__ is not Node and stop.__class__ is not Node and step.__class__ is not Node:
        return held(np.arange(start, stop, step, dtype))
    values = [concrete(x)[()] if x.__class__ is Node else x for x in (start, stop, step)]
    found = np.arange(*values, dtype=dtype)
    if (
        start.__class__ is not Node and step.__class__ is not Node
    ) or found.dtype.kind not in "fc":
        return held(found)
    places = held(np.arange(len(found)))
    return cast_to("arange", as_node(start) + places * as_node(step), found.dtype)


def _spaced(start: Any, stop: Any, num: int, endpoint: bool) -> tuple[Node, Node]:
    """*num* numbers between, along a new first axis, and their distance."""
    dtype = promoted(start, stop)
    dtype = dtype if dtype.kind in "fc" else np.dtype(float)
    left, right = broadcast_arrays(start, stop)
    left, right = cast_to("linspace", left, dtype), cast_to("linspace", right, dtype)
    parts = num - 1 if endpoint else num
    step = (right - left) / (parts or np.nan)
    real = np.zeros(0, dtype).real.dtype
    places = held(np.arange(num, dtype=real).reshape(-1, *(1,) * left.ndim))
    out = left + places * (step if parts > 0 else right - left)
    if endpoint and num > 1:
        last = broadcast_to(right, (1, *right.shape))
        out = concatenate([getitem(out, slice(0, -1)), last])
    return out, step


@function(
    "numpy",
    np.linspace,
    cases=lambda d: [
        call(d(), d(), 4),
        call(d(2), d(), num=3, endpoint=False, axis=-1),
        call(0, 1, 3, retstep=True),
        call(d(), d(), 3, retstep=True),
        call(0, 10, 4, dtype=int),
    ],
    complex=True,
    makes=("start", "stop"),
)
def linspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
    steps: int | None = None,
) -> Any:
    """*num* evenly spaced numbers from *start* to *stop*, along a new *axis*.

    Tensors at the ends get gradients; *steps* is PyTorch's name of *num*.

    Examples
    --------
    >>> import nbgrad as ng
    >>> ng.linspace(0.0, 1.0, 3)
    tensor([0. , 0.5, 1. ])
    """
    if device is not None:
        given = (start, stop, num, endpoint, retstep, dtype, axis)
        made, there = linspace(*given, steps=steps), named(device)
        return nested(made, lambda x: moved(x, there)) if retstep else moved(made, there)
    count = num if steps is None else steps
    if count.__class__ is not int or count < 0:
        count = _count("linspace", count)
    if start.__class__ is not Node and stop.__class__ is not Node:
        if start.__class__ is stop.__class__ is float and endpoint and count > 1:
            step = (stop - start) / (count - 1)
            if step and -math.inf < step < math.inf and not (retstep or axis or dtype):
                return _line(start, stop, count, step)
        made = np.linspace(start, stop, count, endpoint, retstep, dtype, axis)
        return (held(made[0]), held(made[1])) if retstep else held(made)
    line, distance = _spaced(start, stop, count, endpoint)
    if dtype is not None:
        integral = np.dtype(dtype).kind in "iu"
        line = cast_to("linspace", arithmetic.floor_divide(line, 1) if integral else line, dtype)
    line = moveaxis(line, 0, one_axis("linspace", axis, line.ndim))
    return (line, distance) if retstep else line


def _line(start: float, stop: float, count: int, step: float) -> Node:
    """NumPy's numbers, bit by bit; it takes four times as long to see that they are as simple."""
    made = np.arange(count, dtype=float)
    made *= step
    made += start
    made[-1] = stop
    return held(made)


def _count(name: str, num: Any) -> int:
    count = int(concrete(num)) if num.__class__ is Node else num.__index__()
    if count < 0:
        raise ValueError(f"{name}: Number of samples, {count}, must be non-negative.")
    return count


@function(
    "numpy",
    np.logspace,
    cases=lambda d: [call(d.unit(), d.unit(), 3), call(0, 2, 3, base=d.positive())],
    makes=("start", "stop", "base"),
)
def logspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Node:
    """Powers of *base* whose exponents are evenly spaced."""
    if not any(x.__class__ is Node for x in (start, stop, base)):
        return held(np.logspace(start, stop, num, endpoint, base, dtype, axis))
    if is_number(base):
        out = arithmetic.power(base, linspace(start, stop, num, endpoint, axis=axis))
    else:
        left, right, root = broadcast_arrays(start, stop, base)
        exponents = linspace(left, right, num, endpoint, axis=axis)
        k = one_axis("logspace", axis, exponents.ndim)
        out = arithmetic.power(moveaxis(broadcast_to(root, (1, *root.shape)), 0, k), exponents)
    return out if dtype is None else cast_to("logspace", out, dtype)


@function(
    "numpy",
    np.geomspace,
    cases=lambda d: [
        call(d.positive(), d.positive(), 4),
        call(-d.positive(2), -d.positive(2), 3, endpoint=False, axis=1),
    ],
    makes=("start", "stop"),
)
def geomspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Node:
    """*num* numbers from *start* to *stop*, each a constant multiple of the one before."""
    if start.__class__ is not Node and stop.__class__ is not Node:
        return held(np.geomspace(start, stop, num, endpoint, dtype, axis))
    num = _count("geomspace", num)
    left, right = broadcast_arrays(start, stop)
    wanted = np.result_type(left.dtype, right.dtype, np.dtype(dtype))  # no dtype means float64
    left, right = cast_to("geomspace", left, wanted), cast_to("geomspace", right, wanted)
    part = np.linspace(0.0, 1.0, num, endpoint).reshape(-1, *(1,) * left.ndim)
    exponents = held(part.astype(np.zeros(0, wanted).real.dtype))
    out = left * composite.power(right / left, exponents)
    if num > 0:
        out = setitem(out, 0, left)
    if num > 1 and endpoint:
        out = setitem(out, -1, right)
    out = moveaxis(out, 0, one_axis("geomspace", axis, out.ndim))
    return out if dtype is None else cast_to("geomspace", out, dtype)
