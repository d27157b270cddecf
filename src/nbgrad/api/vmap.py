"""``vmap``: a function of one array made one of stacks, which runs once and not once for each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nbgrad.api.arguments import is_dynamic, node_of_leaf, plain
from nbgrad.api.axes import axes_of, out_axes_of, refuse_axes, size_of
from nbgrad.api.statics import names_of_leaves
from nbgrad.api.transformed import P, transform
from nbgrad.core.aval import alike
from nbgrad.core.memory import host
from nbgrad.core.modes import lines, modes
from nbgrad.core.node import Node, next_sequence, placeholder
from nbgrad.core.placing import zeros_leaf
from nbgrad.core.tape import Var
from nbgrad.core.tree import Same, flatten, unflatten
from nbgrad.core.values import looks
from nbgrad.engine.demand import demand
from nbgrad.engine.passes import again, learn
from nbgrad.errors import ConcretizationError
from nbgrad.ops.kinds.batching import at, joined, moved, stacked
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.linear import computed_of
from nbgrad.transforms.trace import Traced, leaves_of_results, node_of_result, rebuilder, trace
from nbgrad.transforms.vmap import batched
from nbgrad.vocabulary import shapes


@transform
def vmap(
    f: Callable[P, Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_size: int | None = None,
) -> Callable[P, Any]:
    """Return the function that maps ``f`` over an axis of its arguments, all at once.

    The function is run once, on placeholders for one element of each stack; every operation that it
    records becomes one on stacks. So a map over a thousand rows records no more than one row does.
    It composes with :func:`grad`, :func:`jacobian`, :func:`hessian`, :func:`jit` and itself, either way
    round.

    Parameters
    ----------
    f : callable
        Takes and returns arrays, which may be nested in tuples, lists and dicts. It may read
        tensors from outside; these, and arguments that are not mapped, are the same for all.
    in_axes : int, None, or tuple, list or dict of such
        The axis of each positional argument that is mapped over; None for an argument that is not.
        One for a container holds for all in it. Arrays among keyword arguments are mapped over their
        axis 0; what has no axes, such as a number or a string, is passed as it is.
    out_axes : int, None, or tuple, list or dict of such
        Where the axis is to stand in the results; None for one that is the same for all.
    axis_size : int, optional
        The size of the axis: needed only if no argument is mapped.

    Returns
    -------
    callable
        Arrays in give arrays out. Tensors among the arguments, or tensors read from outside that
        require grad, give tensors, differentiable as usual.

    Raises
    ------
    ValueError
        If sizes differ, an argument has no such axis, *in_axes* or *out_axes* is nested otherwise
        than the arguments or results, or ``out_axes`` is None for a result that is mapped.
    ConcretizationError
        If the function needs the number of an element.

    Examples
    --------
    >>> import numpy as np
    >>> import nbgrad as ng
    >>> ng.vmap(np.dot)(np.ones((3, 2)), np.arange(6.0).reshape(3, 2))
    array([1., 5., 9.])
    >>> per_sample = ng.vmap(ng.grad(lambda w, x: (w * x).sum() ** 2), in_axes=(None, 0))
    >>> per_sample(np.array([1.0, 2.0]), np.eye(2))
    array([[2., 0.],
           [0., 4.]])
    """
    refuse_axes(in_axes, out_axes)

    @functools.wraps(f)
    def mapped(*args: P.args, **kwargs: P.kwargs) -> Any:
        call = _Call(f, in_axes, axis_size, args, kwargs)
        made, outs, flags = call.run()
        axes = out_axes_of(out_axes, made, [x.ndim for x in outs], flags)
        placed = [
            _placed(x, axis, is_stack, call.size)
            for x, axis, is_stack in zip(outs, axes, flags, strict=True)
        ]
        return rebuilder(made)(_as_asked(placed, call.tensors))

    return mapped


class _Call:
    """One call: which leaves of its arguments are mapped, and over which axis."""

    def __init__(
        self, f: Any, in_axes: Any, axis_size: int | None, args: Any, kwargs: dict[str, Any]
    ) -> None:
        self.f = f
        leaves, self.structure = flatten((args, kwargs), _is_leaf, Same)
        self.leaves = [plain(x, "vmap") for x in leaves]
        names = functools.partial(names_of_leaves, f, self.structure)
        self.axes = axes_of(in_axes, self.structure, self.leaves, names)
        self.size = size_of(self.axes, self.leaves, names, axis_size)
        self.places = [k for k, axis in enumerate(self.axes) if axis is not None]
        self.tensors = any(isinstance(x, Tensor) for x in self.leaves)
        self.stacks = [_in_front(node_of_leaf(self.leaves[k]), self.axes[k]) for k in self.places]

    def run(self) -> tuple[Any, list[Node], Sequence[bool]]:
        """How the results are nested, these with the axis in front, and which of them have it."""
        before = modes.functions
        elements = [_element(x) for x in self.stacks]
        traced = trace(self.on_elements, elements)
        nodes = [*self.stacks, *traced.constants]
        tracked = modes.grad and any(x.requires_grad for x in nodes)
        if traced.watched or (tracked and modes.functions > before):
            return self.one_after_another(traced)
        flags = [True] * len(self.stacks) + [False] * len(traced.constants)
        closed = _closed(traced, elements) if tracked else frozenset()
        return traced.made, *self.recorded(traced, nodes, flags, closed)

    def recorded(
        self, traced: Traced, nodes: list[Node], flags: list[bool], closed: frozenset[Var]
    ) -> tuple[list[Node], Sequence[bool]]:
        """The results on stacks: by the rules, or as for the last function that recorded the same."""
        plain = not closed and not lines.on and len({id(x) for x in nodes}) == len(nodes)
        key = ("vmap", self.size, tuple(flags), traced.tape.key()) if plain else None
        known = None if key is None else again(key, nodes)
        if known is not None:
            return known[1], [bool(flag) for flag in known[0]]
        looked, start = looks.count, next_sequence()
        outs, stacks = batched(traced.tape, nodes, self.size, flags, closed)
        results = [shapes.as_node(x) for x in outs]
        if key is not None and looks.count == looked:
            learn(key, nodes, stacks, results, start)
        return results, stacks

    def on_elements(self, *nodes: Node) -> Any:
        """Call the function with *nodes* for the leaves that are mapped."""
        given = list(self.leaves)
        for k, node in zip(self.places, nodes, strict=True):
            given[k] = Tensor(node)
        args, kwargs = unflatten(self.structure, given)
        return self.f(*args, **kwargs)

    def one_after_another(self, traced: Traced) -> tuple[Any, list[Node], Sequence[bool]]:
        """By so many calls: what users wrote for the backward pass is run for each."""
        rows: list[list[Node]] = []
        made, tape = traced.made, traced.tape
        moving = computed_of(tape, tape.inputs[: len(self.stacks)])
        flags = [a in moving for a in tape.outputs]
        for k in range(max(self.size, 1)):
            elements = [at(x, k) if self.size else _zeros(x) for x in self.stacks]
            outs, made = leaves_of_results(self.on_elements(*elements))
            rows.append([node_of_result(out) for out in outs])
        found = []
        for row, flag in zip(zip(*rows, strict=True), flags, strict=True):
            some = joined(list(row)) if flag else row[0]
            found.append(_none_of(some) if flag and not self.size else some)
        return made, found, flags


def _is_leaf(x: Any) -> bool:
    return x.__class__ is int or is_dynamic(x)


def _in_front(x: Node, axis: int | None) -> Node:
    return moved(x, axis % x.ndim, 0) if axis is not None and axis % x.ndim else x


def _closed(traced: Traced, elements: Sequence[Node]) -> frozenset[Var]:
    """The variables that no gradient passes: of a detach, or computed in ``no_grad``."""
    inputs = [x for x in (*elements, *traced.constants) if x.requires_grad]
    active = traced.active(inputs)
    return frozenset(out for eqn in traced.tape.eqns for out in eqn.outs if out not in active)


def _element(stack: Node) -> Node:
    found = placeholder(alike(stack.aval, stack.shape[1:]), stack.requires_grad)
    found.line = "an element of a mapped argument"
    return found


def _zeros(stack: Node) -> Node:
    """In the place of an element, where there is none."""
    return zeros_leaf(stack.shape[1:], stack.aval)


def _none_of(stack: Node) -> Node:
    return zeros_leaf((0, *stack.shape[1:]), stack.aval)


def _placed(x: Node, axis: int | None, is_stack: bool, size: int) -> Node:
    """A result with the mapped axis where it is asked for."""
    if axis is None:
        return x
    if not is_stack:
        x = stacked(x, size)
    return moved(x, 0, axis % x.ndim) if axis % x.ndim else x


def _as_asked(nodes: list[Node], tensors: bool) -> list[Any]:
    """Arrays; or tensors, if a tensor was given or the result belongs to an outer graph."""
    if not tensors and not any(x.requires_grad for x in nodes):
        try:
            demand(nodes)
        except ConcretizationError:  # inside another transform
            return [Tensor(x) for x in nodes]
        return [host(x.value) if x.ndim else host(x.value)[()] for x in nodes]
    return [Tensor(x) for x in nodes]
