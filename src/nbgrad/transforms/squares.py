"""Squares of roots and lengths, differentiated without the root: a pass before the rules.

The derivative of sqrt(u)**2 is that of u, at u = 0 too, where that of the root is infinite; that of
hypot(x, y)**2 is that of x*x + y*y. So where an even power reads a root, perhaps through views and
factors, as (norm(x) / l)**2 does, its equation is replaced by one of what is under the root. Values
stay what they were: only the rules meet these equations. What is smooth is then so at every order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from nbgrad.config import settings
from nbgrad.core.interpret import Environment, read, replay
from nbgrad.core.linearize import linearize
from nbgrad.core.node import Node, placeholder
from nbgrad.core.primitive import bind
from nbgrad.core.tape import Equation, Literal, Var
from nbgrad.ops.elements.arithmetic import integer_power, positive
from nbgrad.ops.kinds.forms import View

MAX_STEPS = 4  # between a root and the power that reads it

Path = list[tuple[Equation, int]]  # what is done to a root, in turn, and to which operand


def unrooted(
    eqns: Sequence[Equation], keep: Collection[Var], env: Environment | None = None
) -> tuple[Sequence[Equation], list[Equation]]:
    """Return *eqns* with the squares of roots replaced, and the equations that this added.

    The derivatives by the variables in *keep* are asked for, or nothing passes through them; in
    *env* somebody may watch a node.
    """
    if settings.current.nan_policy == "ieee" or not any(_is_root(eqn) for eqn in eqns):
        return eqns, []
    watched = set() if env is None else {v for v, node in env.items() if node.watch is not None}
    made = {eqn.out: eqn for eqn in eqns if eqn.out not in keep and eqn.out not in watched}
    found: list[Equation] = []
    added: list[Equation] = []
    for eqn in eqns:
        fresh = [] if eqn.out in watched else _without_root(eqn, made)
        added += fresh[:-1]
        found += fresh or [eqn]
    return found, added


def recorded(added: Sequence[Equation], env: Environment) -> Environment:
    """*env* with nodes for what *added* computes."""
    if added:
        env = dict(env)
        for eqn in added:
            env[eqn.out] = replay(eqn, [read(env, a) for a in eqn.inputs])
    return env


def _is_root(eqn: Equation) -> bool:
    square = eqn.sig.prim.square
    return square is not None and square.root is not None


def _without_root(eqn: Equation, made: dict[Any, Equation]) -> list[Equation]:
    """Equations that stand for *eqn* if it is the even power of a root; else none."""
    square = eqn.sig.prim.square
    half = square.half(eqn.inputs, eqn.params) if square is not None and square.half else 0
    path = _path(eqn.inputs[0], made) if half else None
    if path is None:
        return []
    stand_in: dict[Any, Node] = {}
    node = _squared(path, stand_in)
    if half > 1:
        node = integer_power(node, n=half)
    if node.sig is None:
        node = positive(node)
    return _equations(eqn, node, stand_in) if node.aval is eqn.out.aval else []


def _path(atom: Any, made: dict[Any, Equation], steps: int = 0) -> Path | None:
    """The equation of the root of which *atom* is a multiple, and what was done to its result."""
    eqn = made.get(atom)
    if eqn is None or steps > MAX_STEPS:
        return None
    if _is_root(eqn):
        return [(eqn, 0)]
    square, lower = eqn.sig.prim.square, eqn.sig.prim.lower
    is_view = lower.__class__ is View and lower.keeps_elements and len(eqn.inputs) == 1
    for k in (0,) if is_view else square.factors if square is not None else ():
        path = _path(eqn.inputs[k], made, steps + 1)
        if path is not None:
            return [*path, (eqn, k)]
    return None


def _squared(path: Path, stand_in: dict[Any, Node]) -> Any:
    """The square of what *path* leads to, of placeholders."""

    def value(atom: Any) -> Any:
        if isinstance(atom, Literal):
            return atom.value
        return stand_in.setdefault(atom, placeholder(atom.aval))

    def scaled(x: Any, times: int) -> Any:
        for eqn, k in path[1:]:
            others = [None if j == k else value(a) for j, a in enumerate(eqn.inputs)]
            for _ in range(1 if eqn.sig.prim.square is None else times):
                x = bind(eqn.sig.prim, *others[:k], x, *others[k + 1 :], **eqn.params)
        return x

    root = path[0][0]
    return root.sig.prim.square.root(scaled, *(value(a) for a in root.inputs))


def _equations(eqn: Equation, node: Node, stand_in: dict[Any, Node]) -> list[Equation]:
    """Those of *node*, the last of which has the result of *eqn*."""
    tape, constants = linearize([node], list(stand_in.values()))
    if constants:
        return []
    now: dict[Any, Any] = dict(zip(tape.inputs, stand_in, strict=True)) | {
        tape.outputs[0]: eqn.out
    }
    return [
        Equation(
            e.sig,
            tuple([now.get(a, a) for a in e.inputs]),
            (now.get(e.out, e.out),),
            eqn.line,
        )
        for e in tape.eqns
    ]
