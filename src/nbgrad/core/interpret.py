"""The one equation loop: evaluating, replaying, lowering and checking are all this walk."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from nbgrad.core.memory import host
from nbgrad.core.node import Node
from nbgrad.core.placing import moved, stays
from nbgrad.core.primitive import PYTHON_NUMBERS, bind
from nbgrad.core.record import record
from nbgrad.core.results import results_of
from nbgrad.core.tape import Atom, Equation, Literal, Tape, Var

Environment = dict[Var, Any]


def read(env: Environment, atom: Atom) -> Any:
    """Return the value of a Var, or the Python scalar of a Literal."""
    return atom.value if isinstance(atom, Literal) else env[atom]


def walk(
    tape: Tape,
    args: Iterable[Any],
    apply: Callable[[Equation, list[Any]], Any],
    known: Environment | None = None,
) -> Environment:
    """Run *apply* over the equations in order and return every variable's value.

    ``known`` holds values of variables that are not to be computed again.
    """
    env: Environment = dict(zip(tape.inputs, args, strict=True))
    if known:
        env.update(known)
    for eqn in tape.eqns:
        if not known or any(out not in known for out in eqn.outs):
            bind_results(env, eqn, apply(eqn, [read(env, a) for a in eqn.inputs]))
            if known and len(eqn.outs) > 1:
                env.update([(out, known[out]) for out in eqn.outs if out in known])
    return env


def bind_results(env: Environment, eqn: Equation, found: Any) -> None:
    """Give the variables of *eqn* its result, or its several."""
    outs = eqn.outs
    if len(outs) == 1:
        env[outs[0]] = found
    else:
        env.update(zip(outs, found, strict=True))


def results_in(env: Environment, eqn: Equation) -> Any:
    """The result of *eqn*, as a rule takes it: a tuple of several."""
    outs = eqn.outs
    return env[outs[0]] if len(outs) == 1 else tuple([env[out] for out in outs])


def replay(eqn: Equation, xs: list[Any]) -> Any:
    """``apply`` that records the equation again on the nodes *xs*."""
    node = record(eqn.sig, tuple(xs))
    node.line = eqn.line
    return node if len(eqn.outs) == 1 else results_of(node)


def evaluate(eqn: Equation, xs: list[Any]) -> Any:
    """``apply`` that computes the equation with its NumPy reference."""
    sig = eqn.sig
    if (
        xs
        and xs[0].__class__ in PYTHON_NUMBERS
        and PYTHON_NUMBERS.issuperset([x.__class__ for x in xs])
    ):
        # Numbers that stand for values of a dtype: of themselves they would give any other.
        dtypes = sig.loop or (None,) * len(xs)
        xs = [np.asarray(x, dtype) for x, dtype in zip(xs, dtypes, strict=False)]
    return sig.prim.evaluate(*xs, **sig.params)


def again(eqn: Equation, xs: list[Any]) -> Any:
    """``replay`` of an equation that was recorded on nodes that lay elsewhere."""
    found = bind(eqn.prim, *xs, **eqn.params)
    return found if len(eqn.outs) == 1 else results_of(found)


def _brought(x: Any, device: str | None) -> Any:
    """An operand on *device*, if nobody put it elsewhere by hand."""
    if x.__class__ is not Node or x.aval.device == device or stays(x):
        return x
    return moved(x, device)


def inline(tape: Tape, nodes: Iterable[Any]) -> list[Any]:
    """Record the tape on *nodes* and return the nodes (or numbers) of its outputs."""
    nodes = list(nodes)
    if any(v.aval.device is not None for v in tape.inputs):
        nodes = [_brought(x, v.aval.device) for x, v in zip(nodes, tape.inputs, strict=True)]
    apart = any(
        x.__class__ is Node and x.aval.device != v.aval.device
        for x, v in zip(nodes, tape.inputs, strict=True)
    )
    env = walk(tape, nodes, again if apart else replay)
    return [read(env, a) for a in tape.outputs]


def computed(tape: Tape, arrays: Iterable[Any]) -> list[Any]:
    """Run the tape on arrays, or copies of buffers, with the NumPy references; return its outputs."""
    env = walk(tape, map(host, arrays), evaluate)
    return [read(env, a) for a in tape.outputs]


def runner(tape: Tape) -> Callable[[Iterable[Any]], list[Any]]:
    """``computed`` of *tape*, to be called many times: variables are places in a list.

    Examples
    --------
    >>> from nbgrad.core.tape import Tape, Var
    >>> x = Var(None)
    >>> runner(Tape((x,), (), (x, x)))([2.0])
    [2.0, 2.0]
    """
    literals: dict[Any, Any] = {}
    for atom in (*[a for eqn in tape.eqns for a in eqn.inputs], *tape.outputs):
        if isinstance(atom, Literal):
            literals[atom] = atom.value
    numbers = {a: k for k, a in enumerate((*tape.inputs, *literals))}
    steps = []
    for eqn in tape.eqns:
        function, params, reads = eqn.prim.evaluate, eqn.params, [numbers[a] for a in eqn.inputs]
        numbers.update(
            zip(eqn.outs, range(len(numbers), len(numbers) + len(eqn.outs)), strict=True)
        )
        function = functools.partial(function, **params) if params else function
        steps.append((function, reads[0] if len(reads) == 2 else -1, reads, len(eqn.outs) > 1))
    outs, values = [numbers[a] for a in tape.outputs], list(literals.values())

    def run(args: Iterable[Any]) -> list[Any]:
        env = [*args, *values]
        add, extend = env.append, env.extend
        for function, first, reads, several in steps:
            if first >= 0:
                found = function(env[first], env[reads[1]])
            else:
                found = function(*[env[k] for k in reads])
            (extend if several else add)(found)
        return [env[k] for k in outs]

    return run


def last_uses(tape: Tape) -> list[list[Var]]:
    """For each equation, the variables that no later equation and no output reads."""
    keep = {a for a in tape.outputs if isinstance(a, Var)}
    uses: list[list[Var]] = [[] for _ in tape.eqns]
    for k in range(len(tape.eqns) - 1, -1, -1):
        eqn = tape.eqns[k]
        for atom in (*eqn.inputs, *eqn.outs):
            if isinstance(atom, Var) and atom not in keep:
                keep.add(atom)
                uses[k].append(atom)
    return uses
