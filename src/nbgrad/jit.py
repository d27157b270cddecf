"""``jit``: trace a function of arrays once per structure of its arguments, then run a program."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from nbgrad.core.aval import make_aval
from nbgrad.core.interpret import read, replay, walk
from nbgrad.core.linearize import linearize
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, constant, placeholder
from nbgrad.core.tape import Tape, Var
from nbgrad.engine import executable, value_of
from nbgrad.executable import as_input
from nbgrad.tensor import Tensor

Func = Callable[..., Any]
_DYNAMIC = (np.ndarray, np.generic, float, complex, Tensor)


class Compiled:
    """One traced structure: its tape, its program, and how the results are nested."""

    def __init__(
        self, tape: Tape, constants: list[Node], rebuild: Callable[[list[Any]], Any], plain: bool
    ) -> None:
        self.tape = tape
        self.constants = constants
        self.rebuild = rebuild
        self.plain = plain
        self.scalars = [
            k for k, a in enumerate(tape.outputs) if isinstance(a, Var) and not a.aval.ndim
        ]
        self.exe = executable(tape, constants)
        self.exe.compile()

    def run(self, args: tuple[Any, ...]) -> Any:
        """Run on arrays and return arrays; 0-d results become NumPy scalars."""
        for a in args:
            if a.__class__ is not np.ndarray or not a.flags.carray:
                args = tuple(as_input(b, v) for b, v in zip(args, self.tape.inputs, strict=False))
                break
        outs = self.exe.run(list(args))
        for k in self.scalars:
            outs[k] = outs[k][()]
        return self.rebuild(outs)

    def record(self, nodes: list[Node]) -> Any:
        """Record the tape on nodes, so that the result can be differentiated."""
        env = walk(self.tape, [*nodes, *self.constants], replay)
        return self.rebuild(
            [
                Tensor(n if isinstance(n := read(env, a), Node) else constant(n))
                for a in self.tape.outputs
            ]
        )


def _flatten(y: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Results of a traced function and the function that nests them again."""
    if isinstance(y, dict):
        keys = list(y)
        leaves, build = _flatten(tuple(y.values()))
        return leaves, lambda items: dict(zip(keys, build(items), strict=True))
    if isinstance(y, (tuple, list)):
        if not any(isinstance(item, (tuple, list, dict)) for item in y):
            return list(y), type(y)
        parts = [_flatten(item) for item in y]
        sizes = [len(p[0]) for p in parts]

        def rebuild(items: list[Any]) -> Any:
            out, at = [], 0
            for (_, build), size in zip(parts, sizes, strict=True):
                out.append(build(items[at : at + size]))
                at += size
            return type(y)(out)

        return [leaf for p in parts for leaf in p[0]], rebuild
    return [y], operator.itemgetter(0)


def _trace(f: Func, args: tuple[Any, ...], kwargs: dict[str, Any], dtype: Any) -> Compiled:
    """Run *f* on placeholders for its array arguments."""
    inputs = []
    given = []
    for a in args:
        if isinstance(a, _DYNAMIC):
            node = placeholder(_aval(a, dtype))
            inputs.append(node)
            given.append(Tensor(node))
        else:
            given.append(a)
    before, modes.grad = modes.grad, True
    try:
        y = f(*given, **kwargs)
    finally:
        modes.grad = before
    leaves, rebuild = _flatten(y)
    nodes = [leaf._node if isinstance(leaf, Tensor) else constant(leaf) for leaf in leaves]
    tape, constants = linearize(nodes, inputs)
    for node in constants:
        value_of(node)
    plain = bool(args) and all(a.__class__ is np.ndarray and a.dtype.isnative for a in args)
    return Compiled(tape, constants, rebuild, plain)


def _aval(a: Any, dtype: Any) -> Any:
    if isinstance(a, Tensor):
        return a._node.aval
    if a.__class__ in (float, complex):
        return make_aval((), np.result_type(dtype, a))
    return make_aval(a.shape, a.dtype)


def _describe(a: Any) -> Any:
    """Key of one argument: shape and dtype of arrays, value of anything else."""
    kind = a.__class__
    if kind is np.ndarray:
        return (a.shape, a.dtype)
    if kind is Tensor:
        return (Tensor, a._node.aval)
    if kind is float or kind is complex:
        return kind
    if isinstance(a, np.generic):
        return ((), a.dtype)
    try:
        hash(a)
    except TypeError:
        raise TypeError(
            f"jit: an argument of type {kind.__name__} is neither an array nor hashable; pass "
            "arrays, tensors, floats, or hashable settings"
        ) from None
    return (kind, a)


def jit(f: Func) -> Func:
    """Compile a function of arrays.

    The function is traced once for each combination of argument shapes and dtypes, and values of
    its other (hashable) arguments; then each call runs compiled kernels only.

    Parameters
    ----------
    f : callable
        Built of nbgrad or NumPy operations on its arguments; ``if`` on a traced value raises.

    Returns
    -------
    callable
        With the same arguments. NumPy arrays and floats in give NumPy arrays (or scalars) out;
        with a tensor among the arguments the results are tensors, differentiable as usual.

    Raises
    ------
    ConcretizationError
        If the function needs the number of a traced value.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> f = ng.jit(lambda x: (np.sin(x) ** 2 + np.cos(x) ** 2).sum())
    >>> float(round(f(np.ones(4)), 12))
    4.0
    """
    compiled: dict[Any, Compiled] = {}

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        key: Any = tuple(
            [(a.shape, a.dtype) if a.__class__ is np.ndarray else _describe(a) for a in args]
        )
        if kwargs:
            key = (key, tuple((k, _describe(v)) for k, v in kwargs.items()))
        entry = compiled.get(key)
        if entry is None:
            arrays = [a.dtype for a in args if isinstance(a, (np.ndarray, Tensor))]
            dtype = np.result_type(np.float32, *arrays) if arrays else np.dtype(np.float64)
            entry = compiled.setdefault(key, _trace(f, args, kwargs, dtype))
        if entry.plain:
            return entry.run(args)
        values = tuple(a for a in args if isinstance(a, _DYNAMIC))
        if any(a.__class__ is Tensor for a in values):
            return _call_with_tensors(entry, values)
        inputs = zip(values, entry.tape.inputs, strict=False)
        return entry.run(tuple(as_input(a, v) for a, v in inputs))

    return call


def _call_with_tensors(entry: Compiled, values: tuple[Any, ...]) -> Any:
    nodes = [a._node if isinstance(a, Tensor) else constant(a) for a in values]
    return entry.record(nodes)
