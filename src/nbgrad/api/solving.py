"""Solvers of equations that users write: the value as one vector, and how a solver is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.bodies import boxed, ran
from nbgrad.api.callbacks import Called, callback
from nbgrad.api.written import Parted
from nbgrad.core.aval import make_aval, placed
from nbgrad.core.interpret import inline
from nbgrad.core.memory import place
from nbgrad.core.modes import modes
from nbgrad.core.node import Node, leaf_node
from nbgrad.core.placing import moved
from nbgrad.core.tape import Body, Tape
from nbgrad.core.tree import flatten, unflatten
from nbgrad.core.values import value_of
from nbgrad.engine.demand import demand
from nbgrad.errors import AutogradError, ConcretizationError
from nbgrad.ops.basis import cast, concatenate, reshape, slice_
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.elements.composite import detached
from nbgrad.vocabulary.shapes import as_node

Func = Callable[..., Any]


class Vector:
    """How nested data is one vector of real numbers; equal are those of one nest and shapes."""

    __slots__ = ("arrays", "device", "dtype", "made", "name", "shapes", "sizes")

    def __init__(self, nest: Any, name: str) -> None:
        parts = Parted(nest, object)
        nodes = _nodes(parts, name)
        self.name, self.made = name, parts
        self.arrays = not any(isinstance(x, Tensor) for x in parts.leaves)
        self.device = next((n.aval.device for n in nodes if n.aval.device), None)
        self.shapes = tuple([n.shape for n in nodes])
        self.sizes = tuple([n.size for n in nodes])
        dtype = np.result_type(*[n.dtype for n in nodes]) if nodes else np.dtype(float)
        if dtype.kind == "c":
            raise TypeError(f"{name}: the value is complex; write its real and imaginary parts")
        self.dtype = dtype if dtype.kind == "f" else np.dtype(float)
        parts.leaves = [None] * len(parts.leaves)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vector) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> Any:
        return self.made.made, self.shapes, self.dtype, self.device

    @property
    def aval(self) -> Any:
        return placed(make_aval((sum(self.sizes),), self.dtype), self.device)

    def packed(self, nest: Any, what: str) -> Node:
        """*nest* as one vector."""
        parts = Parted(nest, object)
        nodes = _nodes(parts, self.name)
        if parts.made != self.made.made or tuple([n.shape for n in nodes]) != self.shapes:
            raise ValueError(
                f"{self.name}: {what} has shapes {[n.shape for n in nodes]}, and the value it belongs to "
                f"{list(self.shapes)}: both must be nested and shaped alike"
            )
        flat = [_cast(reshape(n, shape=(n.size,)), self.dtype) for n in nodes]
        return moved(flat[0] if len(flat) == 1 else concatenate(*flat, axis=0), self.device)

    def nested(self, vector: Node) -> Any:
        """A vector, as tensors, nested."""
        found, start = [], 0
        for shape, size in zip(self.shapes, self.sizes, strict=True):
            part = slice_(vector, starts=(start,), sizes=(size,), steps=(1,))
            found.append(Tensor(reshape(part, shape=shape)))
            start += size
        return self.made.filled(found)

    def less(self, a: Any, b: Any) -> Any:
        """The difference of two values."""
        left, right = self.packed(a, "what the function returns"), self.packed(b, "the value")
        return self.nested(left - right)

    def result(self, vector: Node) -> Any:
        """What the user is given: arrays, if they gave such and nothing else is to come of it."""
        if not self.arrays or modes.tracing or vector.requires_grad:
            return self.nested(vector)
        demand([vector])
        return self.nested_values(value_of(vector), arrays=True)

    def values(self, nest: Any) -> Any:
        """The numbers of *nest*, as one array."""
        node = self.packed(nest, "what the function returns")
        demand([node])
        return np.array(value_of(node))

    def nested_values(self, vector: Any, arrays: bool = False) -> Any:
        """An array, or what is differentiated in its place, nested."""
        if isinstance(vector, Tensor):
            return self.nested(vector._node)
        if not arrays:
            return self.nested(leaf_node(place(np.array(vector, self.dtype), self.device)))
        ends = np.cumsum(self.sizes)[:-1]
        parts = zip(np.split(vector, ends), self.shapes, strict=True)
        return self.made.filled([x.reshape(shape)[()] for x, shape in parts])


def _nodes(parts: Parted, name: str) -> list[Node]:
    found = []
    for x in parts.leaves:
        try:
            found.append(x._node if isinstance(x, Tensor) else as_node(x))
        except (TypeError, ValueError):
            raise TypeError(f"{name}: a {type(x).__name__} is no array of numbers") from None
    return found


def _cast(x: Node, dtype: Any) -> Node:
    return x if x.dtype == dtype else cast(x, dtype=dtype)


def equation(f: Func, vector: Vector, name: str) -> tuple[Body, list[Node]]:
    """The function of a vector as a body, and what it reads from outside.

    The vector lies where that does, if it lies nowhere yet.
    """
    flat = lambda x: vector.packed(f(vector.nested(x)), "what the function returns")
    traced = ran(flat, [vector.aval], name)
    there = next((n.aval.device for n in traced.captured if n.aval.device), None)
    if vector.device is None and there is not None:
        vector.device = there
        return equation(f, vector, name)
    return Body(traced.tape), traced.captured


def solution(solve: Func, of: Func, start: Any, vector: Vector, name: str) -> Node:
    """What ``solve(of, start)`` returns, as one vector, of which nothing is recorded."""
    before, modes.grad = modes.grad, False
    first = vector.packed(start, "the value to start from")
    try:
        found = vector.packed(solve(of, vector.nested(detached(first))), "what the solver returns")
        if not modes.tracing:
            demand([found])
        return detached(found)
    except ConcretizationError:
        if not modes.tracing:
            raise
    finally:
        modes.grad = before
    traced = ran(lambda x: of(vector.nested(x)), [vector.aval], name)
    call = Hosted(solve, vector, traced.tape, traced.structure)
    return called(call, [first, *traced.captured], name)


def called(call: Any, nodes: Sequence[Node], name: str) -> Node:
    """A solver that looks at values, called when these are known."""
    found = callback(*map(detached, nodes), call=Called(call, (call.vector.aval,), name))
    return detached(found[0])


class WithMore:
    """A solver that returns a pair, of which the second is no part of the value; equal are those of one.

    Attributes
    ----------
    more : tuple
        The second, of the last call; empty before.
    """

    __slots__ = ("more", "name", "solve")

    def __init__(self, solve: Func, name: str) -> None:
        self.solve, self.name = solve, name
        self.more: tuple[Any, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WithMore) and self.solve == other.solve

    def __hash__(self) -> int:
        return hash((WithMore, self.solve))

    def __call__(self, *args: Any) -> Any:
        found = self.solve(*args)
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(
                f"{self.name}: with has_aux=True the solver must return a pair, the value and what is to be "
                f"handed out beside it, not a {type(found).__name__}"
            )
        self.more = (found[1],)
        return found[0]

    def handed_out(self, arrays: bool) -> Any:
        """The second, which no derivative passes; its tensors as *arrays* if asked."""
        if not self.more:
            raise AutogradError(
                f"{self.name}: the solver looks at values, which are not known while a function is traced, so "
                "neither is what it returns beside the value. Leave has_aux out here, or write the solver "
                "with nbgrad.while_loop"
            )
        leaves, structure = flatten(self.more[0])
        nodes = [detached(x._node) if isinstance(x, Tensor) else None for x in leaves]
        if arrays:
            demand([n for n in nodes if n is not None])
        made = [x if n is None else _handed(n, arrays) for x, n in zip(leaves, nodes, strict=True)]
        return unflatten(structure, made)


def _handed(node: Node, array: bool) -> Any:
    return np.array(value_of(node))[()] if array else Tensor(node)


class Hosted:
    """A solver of a function that is a tape, on values."""

    __slots__ = ("_key", "solve", "structure", "tape", "vector")

    def __init__(self, solve: Func, vector: Vector, tape: Tape, structure: Any) -> None:
        self.solve, self.vector, self.tape, self.structure = solve, vector, tape, structure
        self._key = solve, vector, Body(tape), structure

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hosted) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __call__(self, start: Any, *closed: Any) -> list[Any]:
        inputs = self.tape.inputs[1:]
        nodes = [_as(v.aval, x) for v, x in zip(inputs, closed, strict=True)]
        vector = self.vector

        def f(x: Any) -> Any:
            return boxed(
                self.structure, inline(self.tape, [vector.packed(x, "the value"), *nodes])
            )

        return [vector.values(self.solve(f, vector.nested_values(start)))]


def _as(aval: Any, x: Any) -> Node:
    """A value as the tape was traced for it: a number, or an array."""
    node = leaf_node(np.asarray(x))
    node.aval = aval
    return node


class LinearSolver:
    """A user's ``solve(g, y)`` of linear systems, on vectors; equal are those of one function."""

    __slots__ = ("solve", "vector")

    def __init__(self, solve: Func, vector: Vector) -> None:
        self.solve, self.vector = solve, vector

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LinearSolver) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> Any:
        return self.solve, self.vector

    def __call__(
        self, apply: Callable[[Node], Node], b: Node, tape: Tape, nodes: Sequence[Node]
    ) -> Node:
        vector = self.vector
        before, modes.grad = modes.grad, False
        try:
            g = lambda x: vector.nested(apply(vector.packed(x, "the value")))
            found = vector.packed(
                self.solve(g, vector.nested(detached(b))), "what the solver returns"
            )
            return detached(found)
        except ConcretizationError:
            pass
        finally:
            modes.grad = before
        return called(_HostedLinear(self.solve, vector, tape), [b, *nodes], vector.name)


class _HostedLinear(Hosted):
    """The same on values."""

    __slots__ = ()

    def __init__(self, solve: Func, vector: Vector, tape: Tape) -> None:
        super().__init__(solve, vector, tape, None)

    def __call__(self, b: Any, *closed: Any) -> list[Any]:
        nodes, vector = [leaf_node(x) for x in closed], self.vector

        def g(x: Any) -> Any:
            return vector.nested(inline(self.tape, [vector.packed(x, "the value"), *nodes])[0])

        return [vector.values(self.solve(g, vector.nested_values(b)))]
