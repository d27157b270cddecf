"""Loops: a step that runs another program again and again, its results being the next operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nbgrad.core.frozen import Value
from nbgrad.core.interpret import inline
from nbgrad.core.linearize import linearize
from nbgrad.core.node import placeholder
from nbgrad.core.tape import Equation, Literal, Tape, Var
from nbgrad.ops.arrays.indexing import scatter_add
from nbgrad.ops.basis import detach
from nbgrad.ops.kinds.cotangents import materialize, plus
from nbgrad.ops.kinds.forms import Choice, Iterate, Repeat, Rounds

# Elements of a sum that may be added to as a whole in each run.
MANY = 4096

if TYPE_CHECKING:
    from nbgrad.program.program import Program
    from nbgrad.program.text import Emitted


class Round(Value):
    """An equation that is to be a loop over the program of *tape*."""

    eqn: Equation
    tape: Tape
    rounds: Rounds

    @property
    def reads(self) -> tuple[Var, ...]:
        return tuple(dict.fromkeys(a for a in self.eqn.inputs if isinstance(a, Var)))


class Loop(Value):
    """A step that runs the program ``inner`` ``rounds.count`` times.

    The operands of ``eqn`` are constants, then the carry, then stacks of which each run reads a row;
    its results the last carry, then stacks of which each run writes a row. Inputs and outputs of
    ``inner`` are those of one run; it is planned, by ``plan``, once somebody asks. ``kernel`` is the
    whole loop as one kernel, if there is such. ``kept`` has, by the number of a part of the carry,
    that of the result whose rows are what it was: these are no outputs of ``inner``, and where each
    run finds that part.
    """

    eqn: Equation
    rounds: Rounds
    plan: Callable[[], Program]
    kernel: Emitted | None
    kept: dict[int, int]

    @cached_property
    def inner(self) -> Program:
        return self.plan()

    @property
    def programs(self) -> tuple[Program, ...]:
        """What a step runs besides its kernel."""
        return (self.inner,)


class Trip(Value):
    """An equation that is to be one kernel: a loop whose number of runs is not known."""

    eqn: Equation

    @property
    def reads(self) -> tuple[Var, ...]:
        return tuple(dict.fromkeys(a for a in self.eqn.inputs if isinstance(a, Var)))


class Whole(Value):
    """A step that runs a loop until its condition fails: as one ``kernel``, or the programs ``inner``.

    These are the condition's, the body's, and that of a step of the way back, by the names of the params;
    they are planned, by ``plan``, once somebody asks.
    """

    eqn: Equation
    kernel: Emitted | None
    plan: Callable[[Tape], Program]

    @cached_property
    def inner(self) -> dict[str, Program]:
        params = self.eqn.params
        tapes = {name: params[name].tape for name in ("cond", "body")}
        if "back" in params:
            tapes["back"] = summed(self.eqn)
        return {name: self.plan(with_own_outputs(tape)) for name, tape in tapes.items()}

    @property
    def programs(self) -> tuple[Program, ...]:
        """What a step runs besides its kernel."""
        return tuple(self.inner.values())


class Fork(Value):
    """An equation that is one of several tapes, chosen when it is run."""

    eqn: Equation

    @property
    def reads(self) -> tuple[Var, ...]:
        return tuple(dict.fromkeys(a for a in self.eqn.inputs if isinstance(a, Var)))


class Chosen(Value):
    """A step that runs one of its ``programs``: they are planned, by ``plan``, once somebody asks."""

    eqn: Equation
    plan: Callable[[Tape], Program]
    kernel: None = None

    @cached_property
    def programs(self) -> tuple[Program, ...]:
        outs = self.eqn.outs
        tapes = [solid(body.tape, outs) for body in self.eqn.params["branches"]]
        return tuple([self.plan(with_own_outputs(tape)) for tape in tapes])


def solid(tape: Tape, outs: Sequence[Var]) -> Tape:
    """*tape* with arrays in the place of outputs that are numbers."""
    if not any(isinstance(a, Literal) for a in tape.outputs):
        return tape
    nodes = [placeholder(v.aval) for v in tape.inputs]
    found = [materialize(y, out.aval) for y, out in zip(inline(tape, nodes), outs, strict=True)]
    return linearize(found, nodes)[0]


def fork_of(eqn: Equation) -> Fork | None:
    """*eqn*, if it is a choice among tapes, of arrays."""
    plain = all(isinstance(a, Var) and not a.weak for a in eqn.inputs)
    return Fork(eqn) if isinstance(eqn.prim.lower, Choice) and plain else None


def summed(eqn: Equation) -> Tape:
    """A step of the way back of a loop, whose last inputs and first outputs are the sums so far."""
    params, back = eqn.params, eqn.params["back"].tape
    sums = [v.aval for v in params["finish"].tape.inputs[: len(params["scattered"])]]
    nodes = [placeholder(aval) for aval in (*[v.aval for v in back.inputs], *sums)]
    found = iter(inline(back, nodes[: len(back.inputs)]))
    new = []
    for total, by_index in zip(nodes[len(back.inputs) :], params["scattered"], strict=True):
        part = next(found)
        new.append(
            plus(total, scatter_add(part, next(found), size=total.shape[0]) if by_index else part)
        )
    return linearize([*new, *found], nodes)[0]


def framed(eqn: Equation) -> bool:
    """Whether a loop can be a frame that runs frames: sums by index are of small arrays."""
    params = eqn.params
    if any(isinstance(a, Literal) for name in ("cond", "body") for a in params[name].tape.outputs):
        return False
    if "back" not in params:
        return True
    sums = zip(params["finish"].tape.inputs, params["scattered"], strict=False)
    large = any(on and v.aval.size > MANY for v, on in sums)
    literals = any(isinstance(a, Literal) for a in params["back"].tape.outputs)
    return not large and not literals


def trip_of(eqn: Equation) -> Trip | None:
    """*eqn*, if it is a loop that may be one kernel."""
    plain = all(isinstance(a, Var) and not a.weak for a in eqn.inputs)
    return Trip(eqn) if isinstance(eqn.prim.lower, Iterate) and plain else None


def round_of(eqn: Equation) -> Round | None:
    """What *eqn* repeats, if a program can: it needs arrays, and a carry that is computed."""
    form = eqn.prim.lower
    if not isinstance(form, Repeat):
        return None
    rounds, tape = form.layout(eqn.params), eqn.params["body"].tape
    plain = all(isinstance(a, Var) and not a.weak for a in (*eqn.inputs, *tape.inputs))
    if not plain or not rounds.count or any(isinstance(a, Literal) for a in tape.outputs):
        return None
    return Round(eqn, with_own_outputs(tape), rounds)


def without_kept(item: Round) -> tuple[Tape, dict[int, int]]:
    """The tape of one run without the rows that are what the carry was; which these are."""
    body, rounds = item.eqn.params["body"].tape, item.rounds
    carry = {v: k for k, v in enumerate(body.inputs[rounds.constants :][: rounds.carry])}
    kept: dict[int, int] = {}
    for k, out in enumerate(body.outputs[rounds.carry :], rounds.carry):
        if out in carry:
            kept.setdefault(carry[out], k)
    copies = {item.tape.outputs[k] for k in kept.values()}
    eqns = tuple([eqn for eqn in item.tape.eqns if copies.isdisjoint(eqn.outs)])
    outputs = tuple([out for out in item.tape.outputs if out not in copies])
    return Tape(item.tape.inputs, eqns, outputs), kept


def with_own_outputs(tape: Tape, among: Callable[[Var], bool] = lambda out: True) -> Tape:
    """*tape* with outputs that are no inputs, and none twice: each has memory of its own; of those *among*."""
    taken: set[Any] = set(tape.inputs)
    eqns, outputs = list(tape.eqns), list[Any]()
    for out in tape.outputs:
        if isinstance(out, Var) and out in taken and among(out):
            x = placeholder(out.aval)
            copy = linearize([detach(x)], [x])[0].eqns[0]
            eqns.append(Equation(copy.sig, (out,), copy.outs))
            out = copy.out
        taken.add(out)
        outputs.append(out)
    return Tape(tape.inputs, tuple(eqns), tuple(outputs)) if len(eqns) > len(tape) else tape
