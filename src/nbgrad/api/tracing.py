"""Tracing: a function of arrays run once on placeholders, and the program of what it recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nbgrad.api.arguments import (
    HOT_NUMBERS,
    as_input,
    aval_of_leaf,
    is_dynamic,
    node_of_leaf,
    stand_in,
)
from nbgrad.api.lambdified import traceable
from nbgrad.api.outside import Reader
from nbgrad.api.short import Short
from nbgrad.api.standing import stand_ins
from nbgrad.api.statics import names_of_leaves
from nbgrad.config import settings
from nbgrad.core.frozen import replace
from nbgrad.core.interpret import bind_results, read, replay
from nbgrad.core.memory import Buffer
from nbgrad.core.modes import lines, modes
from nbgrad.core.node import Node, constant, leaf_node, placeholder
from nbgrad.core.tape import Tape, Var
from nbgrad.core.telling import about, subject
from nbgrad.core.tree import builder, flatten, unflatten
from nbgrad.core.values import value_of
from nbgrad.engine import rolling
from nbgrad.engine.anomaly import refuse_non_finite
from nbgrad.engine.demand import demand
from nbgrad.engine.tiers import JIT_WAIT, Executable
from nbgrad.errors import TRACKED_OUTSIDE, ConcretizationError
from nbgrad.tensors.number import as_array
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.trace import Traced, leaves_of_results, rebuilder
from nbgrad.transforms.trace import trace as trace_nodes
from nbgrad.vocabulary.shapes import as_node

Func = Callable[..., Any]


class OpenFunction(Exception):
    """The function reads what an enclosing one differentiates, so no program stands for it."""


class Compiled(Short):
    """One traced structure: its tape, its program, and how the results are nested.

    Outputs of the tape beyond the results are gradients that ``nan_policy="raise"`` checks.
    *active* are the variables that a gradient passes through, where arguments require grad: what
    the function computed in ``no_grad`` or of a ``detach`` is none. *structure* is that of
    ``(args, kwargs)``; *numbers* are the classes of numbers, by their places among the leaves; *plain* says that
    the arguments are arrays and nothing else; *watched* that the function calls a user-written
    backward or a hook, which a tape does not hold. It is compiled *soon*, or when it is first run.
    """

    def __init__(
        self,
        traced: Traced,
        *,
        active: frozenset[Var],
        structure: Any,
        numbers: Mapping[int, type],
        flat: bool,
        plain: bool,
        watched: bool,
        outside: tuple[int, ...],
        soon: bool,
    ) -> None:
        self.tape = tape = traced.tape
        self.constants = traced.constants
        self.made, self.rebuild = traced.made, traced.rebuild
        self.active, self.plain, self.watched = active, plain, watched
        self.results = len(traced.outputs)
        self.checked = len(tape.outputs) > self.results
        outputs = enumerate(tape.outputs[: self.results])
        self.scalars = {k for k, a in outputs if isinstance(a, Var) and not a.aval.ndim}
        # Nests arrays as the function did; 0-d ones become NumPy's scalars.
        self.finish = builder(traced.made, self.scalars) if self.scalars else self.rebuild
        self._exe: Executable | None = None
        self.name = subject()  # for what compiles its program later
        self.giving: dict[frozenset[int], Executable] = {}  # see owned.py
        # What is recorded is run with what follows.
        if soon and active.isdisjoint(tape.outputs):
            self.exe.compile_soon()
        # Places of its inputs among all leaves of the arguments; None if all are inputs.
        self.picked: tuple[int, ...] | None = None
        # Finds the tensors from outside that are its further inputs: *outside* of those given.
        self.read: Callable[[], list[Tensor]] | None = None
        self.outside = outside
        # Whether what the function read from outside is as it was.
        self.guard: Callable[[], bool] | None = None
        self.reader: Reader | None = None  # what read it
        self.cool(bool(tape.inputs) and not self.checked and not outside)
        self.structure, self.numbers, self.flat = structure, numbers, flat
        self.samples: tuple[Any, ...] = ()  # a leaf like each that it was traced for

    @property
    def outputs(self) -> Sequence[Any]:
        """The results among the outputs of the tape."""
        return self.tape.outputs[: self.results]

    @property
    def recorded(self) -> bool:
        """Whether a gradient passes through a result."""
        return not self.active.isdisjoint(self.tape.outputs)

    def pick(self, leaves: Sequence[Any]) -> Sequence[Any]:
        """Those of *leaves* that are inputs, the others are settings, and inputs from outside."""
        if self.picked is not None:
            leaves = [leaves[k] for k in self.picked]
        return leaves if self.read is None else [*leaves, *self.read()]

    @property
    def exe(self) -> Executable:
        """The program, made on first use."""
        if self._exe is None:
            with about(self.name):
                self._exe = rolling.traced(self.tape, self.constants, JIT_WAIT)
        return self._exe

    def run(self, args: tuple[Any, ...]) -> Any:
        """Run on arrays and numbers, and return arrays; 0-d results become NumPy scalars."""
        if not self.plain or not all(a.flags.carray for a in args):
            args = tuple(as_input(a, v) for a, v in zip(args, self.tape.inputs, strict=False))
        return self.finish(self._computed(args))

    def _computed(self, args: Sequence[Any]) -> list[Any]:
        if lines.on > lines.timed:  # anomaly detection or profiling: show them each operation
            outs = [value_of(node) for node in self._replayed([leaf_node(a) for a in args])]
        else:
            outs = self.exe.run(list(args))
        if self.checked:
            refuse_non_finite([leaf_node(a) for a in outs[self.results :]])
            del outs[self.results :]
        return outs

    def write(self, args: Sequence[Any], outs: list[Any]) -> None:
        """Run on arrays and numbers, and write the results to arrays: see ``engine.tiers``."""
        values = list(args)
        if not self.plain or not all(a.flags.carray for a in args):
            values = [as_input(a, v) for a, v in zip(args, self.tape.inputs, strict=False)]
        if lines.on > lines.timed or self.checked:
            for out, y in zip(outs, self._computed(values), strict=True):
                out[...] = y
        else:
            self.exe.run_into(values, outs)

    def apply(self, leaves: Sequence[Any]) -> Any:
        """Run on tensors, whose results are tensors, or record the tape on them.

        It is recorded if the result can be differentiated, or if values are not known yet.
        """
        given = {id(a._node): a for a in leaves if isinstance(a, Tensor)}
        recorded = self.recorded
        if not recorded and all(a._node.value is not None for a in given.values()):
            inputs = zip(leaves, self.tape.inputs, strict=False)
            values = [
                a._node.value if isinstance(a, Tensor) else as_input(a, v) for a, v in inputs
            ]
            return self.rebuild([_tensor(y) for y in self._computed(values)])
        nodes = [node_of_leaf(a) for a in leaves]
        found = self._replayed(nodes)[: self.results]
        # An argument that is returned as it came is the argument: a leaf stays one.
        kept = given if recorded else {}
        return self.rebuild([kept[id(n)] if id(n) in kept else Tensor(n) for n in found])

    def _replayed(self, nodes: list[Node]) -> list[Node]:
        tape, active = self.tape, self.active
        env: dict[Var, Any] = dict(zip(tape.inputs, [*nodes, *self.constants], strict=True))
        for eqn in tape.eqns:
            bind_results(env, eqn, replay(eqn, [read(env, a) for a in eqn.inputs]))
            for out in eqn.outs:
                env[out].requires_grad = out in active
        found = [read(env, a) for a in tape.outputs]
        return [n if isinstance(n, Node) else constant(n) for n in found]


# What machine code finds among the arguments by itself.
_READ = (np.ndarray, *HOT_NUMBERS)


def _tensor(y: Any) -> Tensor:
    return Tensor(leaf_node(y) if isinstance(y, (np.ndarray, Buffer)) else constant(y))


def trace(
    f: Func,
    leaves: Sequence[Any],
    structure: Any,
    outside: Sequence[Tensor] = (),
    soon: bool = True,
) -> Compiled:
    """Run *f* on placeholders for the arrays among its arguments, and for tensors from *outside*.

    Raises
    ------
    OpenFunction
        If *f* reads what an enclosing function differentiates.
    TypeError
        If it reads a leaf that requires grad.
    """
    with stand_ins(outside) as further:
        return _traced(f, leaves, structure, further, soon)


def _traced(
    f: Func, leaves: Sequence[Any], structure: Any, further: Sequence[Node], soon: bool
) -> Compiled:
    inputs = placeholders(leaves)
    for node, name in zip(inputs, names_of_leaves(f, structure), strict=True):
        node.line = f"argument {name!r}"  # which errors show
    before = modes.grad
    modes.grad = before or not any(node.requires_grad for node in (*inputs, *further))
    outer, modes.gradients = modes.gradients, []
    called = modes.functions
    try:
        traced = trace_nodes(
            lambda *nodes: _called(f, structure, map(stand_in, leaves, nodes)), inputs, _gradients
        )
    finally:
        modes.grad, modes.gradients = before, outer
    read = [node for node in further if node in traced.constants]
    traced = _computed_constants(_with_inputs(traced, read))
    native = all(a.__class__ is np.ndarray and a.dtype.isnative for a in leaves)
    flat = structure == flatten((tuple(leaves), {}), is_dynamic)[1]
    made = Compiled(
        traced,
        active=traced.active([node for node in (*inputs, *read) if node.requires_grad]),
        structure=structure,
        numbers={k: x.__class__ for k, x in enumerate(leaves) if x.__class__ in HOT_NUMBERS},
        flat=bool(leaves) and flat and not read and all(type(a) in _READ for a in leaves),
        plain=bool(leaves) and native and flat and not read,
        watched=modes.functions > called or traced.watched,
        outside=tuple([k for k, node in enumerate(further) if node in read]),
        soon=soon,
    )
    made.samples = tuple(map(_sample, leaves))
    return made


def recorded(
    f: Func, leaves: Sequence[Any], structure: Any, differentiable: bool = False
) -> Traced:
    """What *f* records on placeholders for its arguments, each operation with the user's line.

    What it reads beside them, differentiated or not, are constants. If it is to be *differentiable*,
    all arguments require grad that can.
    """
    inputs = placeholders(leaves)
    for node in inputs if differentiable else ():
        node.requires_grad = node.aval.inexact
    for node, name in zip(inputs, names_of_leaves(f, structure), strict=True):
        node.line = f"argument {name!r}"  # which errors show
    lines.on += 1
    try:
        return trace_nodes(
            lambda *nodes: _called(f, structure, map(stand_in, leaves, nodes)), inputs
        )
    finally:
        lines.on -= 1


def _sample(x: Any) -> Any:
    """A leaf of the same kind, which holds nothing of the user's: a tensor for arrays and tensors."""
    if isinstance(x, np.generic) or not isinstance(x, (np.ndarray, Tensor)):
        return x
    return Tensor(placeholder(aval_of_leaf(x)))


def _called(f: Func, structure: Any, given: Iterable[Any]) -> Any:
    args, kwargs = unflatten(structure, list(given))
    return traceable(f, args, kwargs)


def _gradients() -> Sequence[Node]:
    """The gradients that were made while the function was traced, if they are to be looked at."""
    return modes.gradients or () if settings.current.nan_policy == "raise" else ()


def _with_inputs(traced: Traced, nodes: Sequence[Node]) -> Traced:
    """*traced*, with *nodes* among the constants as the last of its arguments."""
    if not nodes:
        return traced
    tape, others = traced.tape, [n for n in traced.constants if n not in nodes]
    given = tape.inputs[: len(tape.inputs) - len(traced.constants)]
    inputs = (*given, *[traced.var_of[n] for n in (*nodes, *others)])
    return replace(traced, tape=Tape(inputs, tape.eqns, tape.outputs), constants=others)


def _computed_constants(traced: Traced) -> Traced:
    """*traced*, with the values of what the tape reads beside the arguments."""
    cap, start = traced.capture, traced.start
    # What a transform differentiates by may be a pending node, and not a leaf.
    nodes = (*traced.constants, *cap.nodes)
    tracked = [n for n in nodes if n.seq < start and n.requires_grad]
    if tracked and not traced.between(tracked).isdisjoint(traced.outputs):
        for node in tracked:
            if node.leaf is not None and not modes.transforms:
                raise TypeError(TRACKED_OUTSIDE.format(aval=node.aval))
        raise OpenFunction
    for node in traced.constants:
        value_of(node)
    return traced


def placeholders(leaves: Sequence[Any]) -> list[Node]:
    """Nodes that stand for arguments; they require grad if these are tensors that do."""
    return [
        placeholder(aval_of_leaf(a), isinstance(a, Tensor) and a.requires_grad) for a in leaves
    ]


def inlined(f: Func, leaves: Sequence[Any], structure: Any) -> Any:
    """Run *f* as it would be traced, on tensors, but with their values: every call is a new one.

    So it may read what an enclosing function differentiates or traces. The results are tensors if
    an argument is one, or if they depend on such a value; else arrays.
    """
    nodes = [node_of_leaf(a) for a in leaves]
    args, kwargs = unflatten(structure, list(map(stand_in, leaves, nodes)))
    outs, made = leaves_of_results(f(*args, **kwargs))
    rebuild = rebuilder(made)
    found = [as_array(out) if isinstance(out, Tensor) else Tensor(as_node(out)) for out in outs]
    if not any(isinstance(a, Tensor) for a in leaves) and not any(t.requires_grad for t in found):
        try:
            demand([t._node for t in found])
        except ConcretizationError:
            return rebuild(found)
        return rebuild([value_of(t._node)[()] if not t.ndim else t.numpy().copy() for t in found])
    return rebuild(found)
