"""Linear functions as data: what ``vjp``, ``linearize`` and ``linear_transpose`` return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.api.tracked import as_asked
from nbgrad.core.containers import Container, register
from nbgrad.core.foreign import numbers_of
from nbgrad.core.interpret import inline
from nbgrad.core.linearize import build_tape, capture, environment
from nbgrad.core.nested_alike import leaves_like
from nbgrad.core.node import Node, constant
from nbgrad.core.tape import Body
from nbgrad.core.tree import LEAF, Structure, builder, flatten, paths, unflatten
from nbgrad.core.values import value_of
from nbgrad.engine.demand import computed
from nbgrad.ops.basis import strong
from nbgrad.tensors.creation import as_tensor
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.linear import computed_of, depending, undetached
from nbgrad.vocabulary.elements import composite


class Form:
    """What a linear function is beside the arrays in it: a tape, and how its arguments are nested.

    Parameters
    ----------
    kind : str
        How errors call it.
    body : Body
        Takes the leaves of the arguments, then arrays; has the leaves of the results.
    given : structure
        Of the tuple of arguments.
    made : structure
        Of what it returns.
    """

    __slots__ = ("body", "given", "kind", "made")
    frozen = True  # a setting that is told by equality: see api/statics.py

    def __init__(self, kind: str, body: Body, given: Structure, made: Structure) -> None:
        self.kind, self.body, self.given, self.made = kind, body, given, made

    def _key(self) -> Any:
        return self.kind, self.body, self.given, self.made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Form) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> Any:
        return Form, self._key()


class Linear:
    """A linear function: of tangents, or of cotangents.

    It holds arrays, and no function and no graph: so it can be called any number of times, pickled,
    and passed to ``jit`` and other transforms as an argument, where its arrays are the leaves.
    """

    __slots__ = ("form", "held")

    def __init__(self, form: Form, held: Sequence[Any]) -> None:
        self.form, self.held = form, list(held)

    def __call__(self, *args: Any) -> Any:
        nodes = self._arguments(args)
        held = [strong(x._node if isinstance(x, Tensor) else constant(x)) for x in self.held]
        found = inline(self.form.body.tape, [*nodes, *held])
        made: list[Node] = found
        outer = any(n.requires_grad for n in made)
        leaves = as_asked(made, outer, ((*args, *self.held), {}))
        return leaves[0] if self.form.made == LEAF else builder(self.form.made)(leaves)

    def _arguments(self, args: tuple[Any, ...]) -> list[Node]:
        """The leaves of the arguments as nodes of the shapes and dtypes that the tape takes."""
        kind, given = self.form.kind, self.form.given
        if len(args) != len(given[2]):
            raise TypeError(f"{kind} takes {len(given[2])} arguments, not {len(args)}")
        names = [f"{kind}: argument {k}" for k in range(len(args))]
        if len(args) == 1:
            names = [f"{kind}: the argument"]
        found: list[Node] = []
        for x, part, name in zip(args, given[2], names, strict=True):
            leaves = leaves_like(part, x, name, "the function it belongs to")
            for leaf, path in zip(leaves, paths(part, name), strict=True):
                var = self.form.body.tape.inputs[len(found)]
                found.append(fitted(leaf, var.aval, path))
        return found

    def __repr__(self) -> str:
        tape = self.form.body.tape
        avals = ", ".join(str(v.aval) for v in tape.inputs[: len(tape.inputs) - len(self.held)])
        return f"<nbgrad {self.form.kind} of ({avals})>"

    def __reduce__(self) -> Any:
        held = [x.numpy(force=True) if isinstance(x, Tensor) else x for x in self.held]
        return Linear, (self.form, held)


def fitted(x: Any, aval: Any, path: str) -> Node:
    """A tangent or cotangent as a node of *aval*, the shape and dtype of what it belongs to."""
    try:
        node: Node = x._node if isinstance(x, Tensor) else constant(numbers_of(x))
    except (TypeError, ValueError):
        raise TypeError(f"{path} is a {type(x).__name__} that makes no array of numbers") from None
    if node.shape != aval.shape:
        raise ValueError(f"{path} has shape {node.shape}; it must have shape {aval.shape}")
    if node.dtype == aval.dtype:
        return strong(node)
    if node.dtype.kind == "c" and aval.dtype.kind != "c":
        raise TypeError(f"{path} is {node.dtype}; it must be real, as what it belongs to")
    cast: Node = composite.astype(node, aval.dtype)
    return cast


def agree(one: Linear, other: Linear) -> bool:
    """Whether two linear functions of the same arguments are the same, but for rounding."""
    tape = one.form.body.tape
    avals = [v.aval for v in tape.inputs[: len(tape.inputs) - len(one.held)]]
    cts = unflatten(one.form.given, [np.cos(np.arange(a.size)).reshape(a.shape) for a in avals])
    found = [[as_tensor(x)._node for x in flatten(linear(*cts))[0]] for linear in (one, other)]
    if not computed([*found[0], *found[1]]):
        return False  # while it is traced, nobody knows
    return all(
        np.allclose(value_of(x), value_of(y), 1e-5, 1e-8) for x, y in zip(*found, strict=True)
    )


def linear_in(
    nodes: Sequence[Node], wrt: Sequence[Node], points: Sequence[Node] = ()
) -> tuple[Body, list[Node], bool]:
    """The linear function of the placeholders *wrt* that *nodes* are.

    Returns
    -------
    body : Body
        Takes *wrt*, then what it reads beside them.
    held : list of Node
        That.
    constant : bool
        Whether none of it was computed of *points*.
    """
    cap = capture(nodes)
    tape, var_of = build_tape(cap, nodes, wrt, lift=False)
    linear, reads = depending(tape, [var_of[n] for n in wrt])
    node_of = environment(var_of)
    made = computed_of(tape, [var_of[n] for n in points if n in var_of])
    return Body(undetached(linear)), [node_of[v] for v in reads], made.isdisjoint(reads)


register(
    Container(
        Linear,
        lambda x: (x.held, x.form),
        lambda form, parts: Linear(form, parts),
        lambda form, count: [f".held[{k}]" for k in range(count)],
    )
)

__all__ = ["Linear"]
