"""Bodies of loops and branches: a user's function of nested data as a closed tape.

The function runs once, on tensors without numbers. What it reads from outside becomes operands of the
operation, so gradients reach that, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from nbgrad.api.draws import undrawn
from nbgrad.api.enclosing import finished
from nbgrad.core.aval import Aval
from nbgrad.core.linearize import linearize, variables
from nbgrad.core.modes import as_a_whole, modes, unrecorded
from nbgrad.core.node import Node, constant, placeholder
from nbgrad.core.operands import as_operand
from nbgrad.core.tape import Equation, Tape, Var
from nbgrad.core.tree import builder, flatten, paths
from nbgrad.errors import WATCHED_IN_LOOP, AutogradError
from nbgrad.ops.basis import detach
from nbgrad.tensors.number import Number
from nbgrad.tensors.tensor import Tensor
from nbgrad.transforms.simplify import simplify
from nbgrad.transforms.trace import Traced, trace
from nbgrad.vocabulary.elements.composite import detached

NUMBERS = (float, int, complex)
MERGED = 4 << 20  # bytes of a constant up to which it is compared with others
_builder = lru_cache(maxsize=256)(builder)  # to make one takes longer than to trace a small body


def leaves_of(x: Any) -> tuple[list[Any], Any]:
    """Arrays, tensors and numbers in nested data, and how they are nested; None holds nothing."""
    return flatten(x)


def nodes_of(leaves: Sequence[Any], names: Sequence[str], where: str) -> list[Node]:
    """Leaves as nodes."""
    found = []
    for leaf, name in zip(leaves, names, strict=True):
        try:
            x = as_operand(leaf)
            found.append(x if x.__class__ is Node else constant(x))
        except (TypeError, ValueError) as error:
            raise TypeError(f"{where}: {name} is a {type(leaf).__name__}: {error}") from None
    return found


def names_of(structure: Any, name: str) -> list[str]:
    """Where each leaf of nested data is: ``carry['x'][0]``."""
    return paths(structure, name)


def boxed(structure: Any, nodes: Sequence[Node]) -> Any:
    """Nodes as tensors, nested; what stands for a Python number is one to promotion."""
    return _builder(structure)([Number(n) if n.aval.weak else Tensor(n) for n in nodes])


@dataclass(frozen=True)
class Ran:
    """What a function records of placeholders, and how what it returned is nested."""

    tape: Tape
    captured: list[Node]
    structure: Any
    numbers: list[bool]  # which of its results are Python's, to promotion

    @property
    def avals(self) -> list[Aval]:
        return [a.aval for a in self.tape.outputs]  # type: ignore[union-attr]


def ran(f: Callable[..., Any], avals: Sequence[Aval], where: str) -> Ran:
    """Trace *f*, which takes a node for each of *avals* and returns nested data.

    Raises
    ------
    RuntimeError
        If what it calls cannot be part of a body: a hook, a ``Function``.
    """
    made: list[Any] = []

    def flat(*nodes: Node) -> list[Node]:
        leaves, structure = leaves_of(f(*nodes))
        results = nodes_of(leaves, names_of(structure, "the result"), where)
        pairs = zip(leaves, results, strict=True)
        made[:] = [structure, [x.__class__ in NUMBERS or n.aval.weak for x, n in pairs]]
        return results

    grad = modes.grad
    modes.grad = True  # in which mode the operation is recorded is for that to say
    try:
        with unrecorded(), undrawn(f), as_a_whole():
            traced = trace(flat, [placeholder(a, a.inexact) for a in avals])
    finally:
        modes.grad = grad
    _refuse_watched(traced, where)
    # What a transform inside has differentiated by leads nowhere, though it requires grad.
    captured = [detached(n) if n in finished else n for n in traced.constants]
    tape, constants = _merged(_cut(traced), captured)
    return Ran(simplify(tape, final=False), constants, *made)


def _merged(tape: Tape, constants: list[Node]) -> tuple[Tape, list[Node]]:
    """*tape*, whose last inputs stand for *constants*, reading arrays that are alike as one.

    An array of NumPy's that a body reads twice is a constant twice.
    """
    given = tape.inputs[: len(tape.inputs) - len(constants)]
    alike = Counter([n.aval for n in constants])
    first: dict[Any, Var] = {}
    kept: dict[Var, Node] = {}
    now: dict[Any, Var] = {}
    for var, node in zip(tape.inputs[len(given) :], constants, strict=True):
        value = node.value
        small = alike[node.aval] > 1 and node.aval.nbytes <= MERGED
        if small and not node.requires_grad and value.__class__ is np.ndarray:
            now[var] = first.setdefault((node.aval, value.tobytes()), var)
        if now.get(var, var) is var:
            kept[var] = node
    if len(kept) == len(constants):
        return tape, constants
    eqns = [
        Equation(e.sig, tuple([now.get(a, a) for a in e.inputs]), e.outs, e.line)
        for e in tape.eqns
    ]
    outputs = tuple([now.get(a, a) for a in tape.outputs])
    return Tape((*given, *kept), tuple(eqns), outputs), list(kept.values())


def _refuse_watched(traced: Traced, where: str) -> None:
    """Raise if some rule of the user's, which no tape holds, would be lost."""
    for node in (*traced.capture.nodes, *traced.constants):
        if node.seq >= traced.start and node.watch is not None:
            raise AutogradError(WATCHED_IN_LOOP.format(where=where))


def _cut(traced: Traced) -> Tape:
    """The tape, in which no gradient passes through what was computed in ``no_grad``."""
    tape = traced.tape
    tracked = set(variables(traced.var_of, [n for n in traced.var_of if n.requires_grad]))
    eqns: list[Equation] = []
    now: dict[Any, Var] = {}
    for eqn in tape.eqns:
        blocked = eqn.sig.differentiable and not tracked.isdisjoint(eqn.inputs)
        if blocked and tracked.isdisjoint(eqn.outs):
            inputs: list[Any] = []
            for a in eqn.inputs:
                if isinstance(a, Var) and a in tracked and a not in now:
                    x = placeholder(a.aval)
                    made, _ = linearize([detach(x)], [x])
                    now[a] = made.eqns[0].out
                    eqns.append(Equation(made.eqns[0].sig, (a,), made.eqns[0].outs, eqn.line))
                inputs.append(now.get(a, a))
            eqn = Equation(eqn.sig, tuple(inputs), eqn.outs, eqn.line)
        eqns.append(eqn)
    return Tape(tape.inputs, tuple(eqns), tape.outputs) if now else tape
