"""Dtypes of elementwise operations: NumPy's own resolution, so NEP 50 holds by construction.

Python's numbers are weak, that is, they take the dtype of the arrays beside them. So is a number
whose value is not known yet, an argument of a traced function, and what operators make of such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.core.aval import NUMBERS, Aval, broadcast_shapes, make_aval, weak_aval
from nbgrad.core.node import Node
from nbgrad.core.registry import primitives


def weak_or_dtype(x: Any) -> Any:
    """The dtype of a node, or the Python type of a scalar (bool is strong in NEP 50)."""
    if x.__class__ is Node:
        return NUMBERS[x.dtype] if x.aval.weak else x.dtype
    return np.dtype(bool) if x.__class__ is bool else x.__class__


def ufunc_loop(ufunc: np.ufunc) -> Callable[[Sequence[Any]], tuple[np.dtype[Any], ...]]:
    """Dtype rule of a NumPy ufunc: its own loop resolution, so NEP 50 holds by construction."""

    def resolve(kinds: Sequence[Any]) -> tuple[np.dtype[Any], ...]:
        if all(kind is int for kind in kinds):  # of which NumPy compares as Python does
            kinds = [np.dtype(np.int64)] * len(kinds)
        resolved = ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))
        return tuple(resolved)

    return resolve


def common_loop(
    floating: bool = False, ordered: bool = False
) -> Callable[[Sequence[Any]], tuple[np.dtype[Any], ...]]:
    """Dtype rule: all operands and the result share one dtype (at least float if asked)."""

    def resolve(kinds: Sequence[Any]) -> tuple[np.dtype[Any], ...]:
        samples = {float: 0.0, int: 0, complex: 0j}
        dtype = np.result_type(*(samples.get(k, k) if isinstance(k, type) else k for k in kinds))
        if floating and dtype.kind not in "fc":
            dtype = np.result_type(dtype, np.float64)
        if dtype.kind == "c" and ordered:
            raise TypeError("Complex numbers have no order; apply it to .real and .imag.")
        return (dtype,) * (len(kinds) + 1)

    return resolve


def result_aval(xs: Sequence[Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Aval:
    """What an elementwise operation gives: of numbers only, a number."""
    if not shape and dtype in NUMBERS:
        nodes = [x for x in xs if x.__class__ is Node]
        if nodes and all(x.aval.weak for x in nodes):
            return weak_aval(dtype)
    return make_aval(shape, dtype)


def cast_operands(
    name: str, xs: Sequence[Any], loop: Sequence[np.dtype[Any]]
) -> tuple[list[Any], tuple[int, ...]]:
    """Cast and broadcast *xs* to what an elementwise loop reads; return them and the shape.

    Scalars and 0-d nodes are read as they are: a kernel holds them in a register.
    """
    nodes = [x for x in xs if x.__class__ is Node]
    shape = broadcast_shapes(name, *(x.shape for x in nodes))
    # What numbers alone give is a number: an integer that enters real arithmetic stays one.
    numbers = {"weak": True} if all(x.aval.weak for x in nodes) else {}
    out = []
    for x, dtype in zip(xs, loop, strict=False):
        if x.__class__ is Node:
            if x.dtype != dtype:
                x = primitives["cast"](x, dtype=dtype, **(numbers if dtype in NUMBERS else {}))
            if x.ndim and x.shape != shape:
                x = primitives["broadcast_to"](x, shape=shape)
        out.append(x)
    return out, shape
