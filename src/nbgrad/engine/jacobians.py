"""Jacobians by one program for each structure of what was recorded, as backward passes are.

A plain function is run at each call, since it may branch and keep a state. What it recorded is
looked up by its structure, and a program found for it; only a new structure meets the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbgrad.config import settings
from nbgrad.core.check import checked
from nbgrad.core.frozen import Value
from nbgrad.core.interpret import replay, walk
from nbgrad.core.linearize import (
    BOUND,
    CUT,
    INACTIVE,
    Capture,
    build_tape,
    linearize,
    places,
    variables,
)
from nbgrad.core.modes import lines, modes, watching
from nbgrad.core.node import Node, placeholder
from nbgrad.core.tape import Tape, Var
from nbgrad.engine.demand import computed, settle
from nbgrad.engine.programs import executable, programs
from nbgrad.engine.tiers import Executable
from nbgrad.ops.elements import arithmetic
from nbgrad.transforms.jacobian import columns, rows
from nbgrad.transforms.jvp import jvp

Array = np.ndarray[Any, Any]


class Plan(Value):
    """A differentiated structure: its program, and the captured nodes whose values it reads."""

    exe: Executable
    bound: tuple[int, ...]


def jacobian_values(
    cap: Capture, outs: Sequence[Node], inputs: Sequence[Node], by_column: bool, holomorphic: bool
) -> list[Array] | None:
    """The Jacobian of each of *outs* by each of *inputs*; None where only the rules will do.

    *cap* is the capture of *outs*. By rows, those of an analytic function are conjugated.
    """
    if not _plain(cap):
        return None
    policy = settings.current.nan_policy
    if policy == "raise" and not by_column:
        return None  # which looks at each gradient
    key = ("jacobian", cap.key, places(cap, inputs), by_column, holomorphic, policy)
    plan = programs.find(key, _plan, cap, outs, inputs, by_column, holomorphic)
    return plan.exe.run(cap.values + cap.scalars + [cap.nodes[k].value for k in plan.bound])


def tangent_values(
    cap: Capture, outs: Sequence[Node], inputs: Sequence[Node], directions: Sequence[Node]
) -> list[Array] | None:
    """The tangents of *outs* along *directions* of *inputs*; None where only the rules will do.

    *cap* is the capture of *outs*, which are computed, too.
    """
    fits = [
        d.__class__ is Node and d.aval is x.aval for d, x in zip(directions, inputs, strict=True)
    ]
    if not _plain(cap) or not all(fits) or not computed(directions):
        return None
    key = ("tangents", cap.key, places(cap, inputs), settings.current.nan_policy)
    plan: Plan = programs.find(key, _tangent_plan, cap, outs, inputs)
    given = [*(cap.nodes[k].value for k in plan.bound), *(d.value for d in directions)]
    values = plan.exe.run(cap.values + cap.scalars + given)
    for node, value in zip(outs, values, strict=False):
        if node.value is None:
            settle(node, value)
    return values[len(outs) :]


def _plain(cap: Capture) -> bool:
    """Whether a program can stand for a pass over *cap*."""
    if any(leaf.value is None or leaf.freed for leaf in cap.leaves) or lines.on:
        return False
    return not (watching.any and any(n.watch is not None for n in (*cap.nodes, *cap.leaves)))


class _Structure(Value):
    """The tape of a capture, and what its variables are to a derivative."""

    tape: Tape
    wrt: list[Var]
    bound: tuple[int, ...]
    given: list[Var]
    blocked: frozenset[Var]
    stop: frozenset[Var]


def _structure(cap: Capture, outs: Sequence[Node], inputs: Sequence[Node]) -> _Structure:
    tape, var_of = build_tape(cap, outs)
    states = list(zip(cap.nodes, cap.states, strict=True))
    bound = tuple(k for k, (_, state) in enumerate(states) if state == BOUND)
    return _Structure(
        tape,
        [var_of.get(node) or Var(node.aval) for node in inputs],
        bound,
        [var_of[cap.nodes[k]] for k in bound],
        frozenset(variables(var_of, [n for n, state in states if state == INACTIVE])),
        frozenset(var_of[n] for n, state in states if state == CUT),
    )


def _tangent_plan(cap: Capture, outs: Sequence[Node], inputs: Sequence[Node]) -> Plan:
    of = _structure(cap, outs, inputs)
    before, modes.grad = modes.grad, False
    try:
        tape, constants = jvp(of.tape, of.wrt, closed=of.blocked | of.stop, bound=of.given)
    finally:
        modes.grad = before
    return Plan(executable(tape, constants), of.bound)


def _plan(
    cap: Capture, outs: Sequence[Node], inputs: Sequence[Node], by_column: bool, holomorphic: bool
) -> Plan:
    of = _structure(cap, outs, inputs)
    tape, wrt, bound, blocked, stop = of.tape, of.wrt, of.bound, of.blocked, of.stop
    args = [placeholder(var.aval) for var in tape.inputs]
    given = [placeholder(var.aval) for var in of.given]
    known = dict(zip(of.given, given, strict=True))
    before, modes.grad = modes.grad, False
    try:
        env = walk(tape, args, replay, known)
        if by_column:
            blocks = columns(tape, env, wrt, blocked | stop)
        else:
            blocks = rows(tape, env, wrt, blocked, stop)
        found = [block for each in blocks for block in each]
        if holomorphic and not by_column:
            found = [arithmetic.conjugate(block) for block in found]
    finally:
        modes.grad = before
    new, constants = linearize(found, [*args, *given])
    return Plan(executable(checked(new.with_weak_inputs_of(tape)), constants), bound)
