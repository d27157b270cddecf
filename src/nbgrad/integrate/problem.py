"""An initial value problem of nested data as one of a vector, its right side traced once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nbgrad.api.bodies import boxed, leaves_of, names_of, ran
from nbgrad.core.aval import make_aval
from nbgrad.core.interpret import inline
from nbgrad.core.node import Node
from nbgrad.core.tape import Tape
from nbgrad.ops.basis import cast, concatenate, reshape, slice_, transpose
from nbgrad.tensors.tensor import Tensor
from nbgrad.vocabulary.shapes import as_node

Func = Callable[..., Any]


def _flat(x: Any) -> bool:
    """Whether *x* is a list or a tuple of numbers: an array, as SciPy takes it."""
    return x.__class__ in (list, tuple) and bool(x) and all(_scalar(v) for v in x)


def _scalar(x: Any) -> bool:
    return isinstance(x, (int, float, complex)) or getattr(x, "shape", None) == ()


class State:
    """How what is integrated is nested, and lies in one vector; equal are those of one nest."""

    def __init__(self, y0: Any, where: str) -> None:
        self.where = where
        leaves, self.structure = leaves_of(y0)
        self.names = names_of(self.structure, "y0")
        nodes = [self._node(x, name) for x, name in zip(leaves, self.names, strict=True)]
        self.shapes = tuple([n.shape for n in nodes])
        self.sizes = tuple([n.size for n in nodes])
        if not sum(self.sizes):
            raise ValueError(f"{where}: y0 holds no numbers; there is nothing to integrate")
        dtype = np.result_type(*[n.dtype for n in nodes])
        self.dtype = dtype if dtype.kind in "fc" else np.dtype(float)
        self.real = np.zeros(0, self.dtype).real.dtype  # of times and errors

    @classmethod
    def of(cls, y0: Any, where: str) -> tuple[State, Tensor]:
        """How *y0* is nested, and it as a vector."""
        y0 = Tensor(as_node(y0)) if _flat(y0) else y0
        state = cls(y0, where)
        return state, Tensor(state.packed(y0, "y0"))

    @property
    def avals(self) -> list[Any]:
        """Those of a time and of a vector."""
        return [make_aval((), self.real), make_aval((sum(self.sizes),), self.dtype)]

    def _key(self) -> Any:
        return self.structure, self.shapes, self.dtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _node(self, x: Any, name: str) -> Node:
        try:
            return x._node if isinstance(x, Tensor) else as_node(x)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{self.where}: {name} is a {type(x).__name__} and no array of numbers: {error}"
            ) from None

    def _joined(self, nodes: Sequence[Node]) -> Node:
        flat = [_as(reshape(n, shape=(n.size,)), self.dtype) for n in nodes]
        return flat[0] if len(flat) == 1 else concatenate(*flat, axis=0)

    @property
    def whole(self) -> bool:
        """Whether the state is one array."""
        return self.names == ["y0"]

    def packed(self, nest: Any, what: str) -> Node:
        """*nest* as a vector: *what* it is says the error, if it is nested or shaped otherwise."""
        if self.whole:
            leaves: list[Any] = [nest]
        else:
            leaves, structure = leaves_of(nest)
            if structure != self.structure:
                raise TypeError(
                    f"{self.where}: {what} is nested as {names_of(structure, '*')}, and y0 as "
                    f"{names_of(self.structure, '*')}: return one number for each of the state"
                )
        nodes = []
        for x, name, shape in zip(leaves, self.names, self.shapes, strict=True):
            node = self._node(x, f"{what}, for {name},")
            if node.shape != shape:
                raise ValueError(
                    f"{self.where}: {what} has shape {node.shape} where {name} has {shape}: it must "
                    "have the shape of the state"
                )
            if node.dtype.kind == "c" != self.dtype.kind:
                raise TypeError(
                    f"{self.where}: {what} is complex and {name} is {self.dtype}: start with a "
                    f"complex y0, y0.astype(complex)"
                )
            nodes.append(node)
        return self._joined(nodes)

    def number(self, x: Any, name: str) -> Node:
        """What an event returns, one real number."""
        node = self._node(x, f"what {name} returns")
        if node.size != 1 or node.dtype.kind not in "biuf":
            raise TypeError(
                f"{self.where}: {name} must return one real number, of which the sign counts, not "
                f"{node.aval!r}"
            )
        return _as(reshape(node, shape=()), self.real)

    def nested(self, y: Any, time: int | None = None) -> Any:
        """A vector as tensors, nested; *time* is 0 or -1 if it is a stack, and where its rows go."""
        node, found, start = y._node if isinstance(y, Tensor) else y, [], 0
        rows = () if time is None else (node.shape[0],)
        for shape, size in zip(self.shapes, self.sizes, strict=True):
            part = node
            if len(self.sizes) > 1:
                first = (0,) * len(rows)
                steps = (1,) * (len(rows) + 1)
                part = slice_(node, starts=(*first, start), sizes=(*rows, size), steps=steps)
            part = reshape(part, shape=(*rows, *shape))
            if time == -1 and shape:
                part = transpose(part, perm=(*range(1, part.ndim), 0))
            found.append(Tensor(part))
            start += size
        return found[0] if self.whole else boxed(self.structure, [t._node for t in found])

    def like(self, x: Any, name: str) -> Any:
        """A setting: a number, or nested as the state, as an array of its size."""
        if isinstance(x, (int, float)):
            return float(x)
        try:
            leaves, structure = ([x], self.structure) if self.whole else leaves_of(x)
            if structure != self.structure:
                raise ValueError
            parts = [
                np.broadcast_to(np.asarray(v, self.real), shape).ravel()
                for v, shape in zip(leaves, self.shapes, strict=True)
            ]
        except (TypeError, ValueError):
            raise ValueError(
                f"{self.where}: {name} must be a number, or one for each element of y0, nested and "
                f"shaped alike: {self.shapes}"
            ) from None
        return np.concatenate(parts)


def _as(x: Node, dtype: Any) -> Node:
    return x if x.dtype == dtype else cast(x, dtype=dtype)


class Function:
    """A function of a time and a state that is traced once, and what it reads from outside."""

    def __init__(self, tape: Tape, captured: Sequence[Node]) -> None:
        self.tape, self.captured = tape, captured

    def __call__(self, t: Any, y: Any) -> Tensor:
        """What it is of a time and a vector, as they are."""
        return Tensor(inline(self.tape, [t._node, y._node, *self.captured])[0])

    @classmethod
    def traced(cls, f: Func, state: State) -> Function:
        """*f*, of nodes, once for all."""
        found = ran(f, state.avals, state.where)
        return cls(found.tape, found.captured)


def right_side(f: Func, args: Sequence[Any], state: State, tfirst: bool = True) -> Function:
    """The derivative of the state as a vector."""
    if not callable(f):
        raise TypeError(f"{state.where}: expected a function of t and y, not {type(f).__name__}")

    def flat(t: Node, y: Node) -> Tensor:
        given = (Tensor(t), state.nested(y)) if tfirst else (state.nested(y), Tensor(t))
        return Tensor(state.packed(f(*given, *args), "what the function returns"))

    return Function.traced(flat, state)


def scalar_of(f: Func, args: Sequence[Any], state: State, name: str) -> Function:
    """A real number of the time and the state."""

    def flat(t: Node, y: Node) -> Tensor:
        found = state.number(f(Tensor(t), state.nested(y), *args), name)
        return Tensor(found)

    return Function.traced(flat, state)


def times_of(t: Any, state: State, name: str, dimensions: Sequence[int] = (1,)) -> Tensor:
    """Times as a tensor: a vector, or what else *dimensions* allows."""
    try:
        found = t if isinstance(t, Tensor) else Tensor(as_node(t))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{state.where}: {name} is no array of numbers: {error}") from None
    if found.ndim not in dimensions or not found.size or found.dtype.kind not in "iuf":
        kind = (
            "a vector of real times" if dimensions == (1,) else "a real time, or a vector of such"
        )
        raise ValueError(f"{state.where}: {name} must be {kind}, not {found._node.aval!r}")
    return Tensor(_as(found._node, state.real))
